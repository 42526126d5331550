"""The report of a restored volume: input, linear, restored, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.frames import fill_along_z
from isoslice.data.grid import PlaneGrid, check_factor, even_grid, planes_around
from isoslice.data.interpolation import interpolate
from isoslice.data.recorded import recorded_axis, recorded_lost, recorded_reasons
from isoslice.data.survey import format_planes
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.report.crop import MAX_VOXELS, Crop, choose_box
from isoslice.evaluation.report.data import Advice, Derived, Layer, Report, Scene
from isoslice.evaluation.report.parts import (
    finite,
    finite_reader,
    lengths,
    name_of,
    read_box,
    reader,
    spacing,
    times,
    turned_text,
    which_part,
    whole_shape,
)

if TYPE_CHECKING:
    from isoslice.inference.prediction import Prediction

RESTORED, UNCERTAINTY = "Restored", "Uncertainty"
INVENTED = (
    "Detail between the measured planes is invented: it is what the model's training images make "
    "plausible, not a measurement. Do not count, measure or diagnose from structures that exist "
    "only there."
)


def prediction_report(
    stack: Volume | NDArray[Any],
    restored: Volume | Prediction,
    *,
    uncertainty: Volume | NDArray[Any] | None = None,
    band: str = "± 1 standard deviation",
    channel: int = 0,
    time: int = 0,
    limit: float = MAX_VOXELS,
) -> Report:
    """Compose the report of a volume that `isoslice predict` restored.

    Parameters
    ----------
    stack
        The measured stack; an array has the result's axes.
    restored
        The result, with its provenance; lazily opened volumes are read in parts.
    uncertainty
        Uncertainty of each voxel, in intensities, of the result's shape; by default the
        prediction's own, if it has one.
    band
        Label of the uncertainty around the profile.
    channel, time
        Indices of those shown.
    limit
        Most voxels of the part shown.

    Raises
    ------
    DataError
        If the shapes do not fit, the result does not say its factor, or there is no such channel
        or time point.
    """
    stack, restored, uncertainty = _as_volumes(stack, restored, uncertainty)
    made_by, messages = _record(restored)
    factor = check_factor(made_by["factor"])
    along = recorded_axis(restored)
    stack, restored = turned(stack, along), turned(restored, along)
    uncertainty = None if uncertainty is None else turned(uncertainty, along)
    lost = tuple(z for z in recorded_lost(made_by, time, channel) if z < stack.size("Z") - 1)
    whole = whole_shape(restored)
    _check(stack, restored, uncertainty, factor, channel, time)
    box = choose_box(finite_reader(reader(restored, time, channel)), whole, factor, limit)
    ours = read_box(restored, box, time, channel)
    volumes = list(measured_and_linear(restored, box, factor, time, channel, RESTORED, lost))
    volumes.append(
        Layer(RESTORED, "sample" if made_by.get("mode") == "sample" else "restored", finite(ours))
    )
    if uncertainty is not None:
        std = read_box(uncertainty, box, time, channel)
        volumes.append(Layer(UNCERTAINTY, "uncertainty", np.nan_to_num(std)))
    size, unit = spacing(restored)
    gone = tuple(z * factor for z in lost)
    scene = Scene(tuple(volumes), size, unit, box, whole, factor, band, gone)
    checked, profile = "", made_by.get("slice_profile")
    # Channels may have been computed from those measured; blurred planes are not put back.
    if stack.size("C") == restored.size("C") and profile is None:
        checked = _check_planes(stack, ours, box, factor, time, channel, lost)
    planes = stack.size("Z")
    reasons = recorded_reasons(made_by, time, channel)
    facts = _facts(scene, factor, planes, lost, reasons, made_by)
    part = which_part(restored, time, channel)
    return Report(
        title=f"{name_of(stack)}, restored {times(factor)}",
        kind="predict",
        summary=(
            f"{planes} measured planes became {whole[0]}; {factor - 1} of every {factor} planes "
            "were filled in by a model"
            + (f", and {len(lost)} that had been lost." if lost else ".")
        ),
        facts={
            **facts,
            **({} if along == "Z" else {"Turned": turned_text(along)}),
            **({"Shown": part} if part else {}),
            **({} if profile is None else {"Slice profile": _profile_text(profile, size.z, unit)}),
        },
        warning=INVENTED + "".join(f" Warned of: {message}." for message in messages),
        advice=_advice(made_by, factor, size.z, unit, checked, uncertainty is not None),
        scene=scene,
        provenance=made_by,
    )


def _as_volumes(
    stack: Volume | NDArray[Any],
    restored: Volume | Prediction,
    uncertainty: Volume | NDArray[Any] | None,
) -> tuple[Volume, Volume, Volume | None]:
    """Return stack, result and uncertainty as volumes with axes; see `prediction_report`."""
    if not isinstance(restored, Volume):
        uncertainty = restored.std if uncertainty is None else uncertainty
        restored = restored.to_volume()
    if not isinstance(stack, Volume):
        stack = Volume(stack, restored.axes)
    if uncertainty is not None and not isinstance(uncertainty, Volume):
        uncertainty = Volume(uncertainty, restored.axes)
    return stack, restored, uncertainty


def _record(restored: Volume) -> tuple[dict[str, Any], Sequence[str]]:
    """Return the provenance of a result, and what was warned of.

    Raises
    ------
    DataError
        If it does not say the factor.
    """
    made_by = dict(restored.provenance or {})
    if "factor" not in made_by:
        raise DataError(
            f"{restored.source}: got no record of the factor, expected a volume that isoslice "
            "predict wrote; restore the stack again"
        )
    messages = made_by.pop("warnings", ())
    if isinstance(messages, list | tuple) and all(isinstance(text, str) for text in messages):
        return made_by, messages
    return made_by, ()  # another program's


def _profile_text(profile: Any, step: float, unit: str) -> str:
    """Say what planes were taken to see along Z; another program may have written anything."""
    try:
        kind, width = str(profile["kind"]), float(profile["width_in_output_planes"])
    except (KeyError, TypeError, ValueError):
        return "–"
    return f"{kind} of {lengths(width * step)} {unit}, undone"


def _facts(
    scene: Scene,
    factor: int,
    planes: int,
    lost: Sequence[int],
    reasons: Sequence[str],
    made_by: Mapping[str, Any],
) -> dict[str, str]:
    """Say what was measured, and what became of it."""
    size, unit, whole = scene.voxel_size, scene.unit, scene.whole
    apart = f"{lengths(size.z * factor)} {unit} apart"
    missing = f"; lost: {format_planes(lost)} (counted from 0)" if lost else ""
    missing += f", {'; '.join(reasons)}" if lost and reasons else ""
    return {
        "Measured planes": f"{planes - len(lost)}, {apart}{missing}",
        "Restored planes": f"{whole[0]}, {lengths(size.z)} {unit} apart ({times(factor)})",
        "Voxel size (Z, Y, X)": f"{lengths(*map(float, size))} {unit}",
        "Shape (Z, Y, X)": lengths(*whole),
        "Mode": str(made_by.get("mode", "–")),
        "Model": str(made_by.get("model", "–")),
    }


def measured_and_linear(
    source: Volume,
    box: Crop,
    factor: int,
    time: int,
    channel: int,
    name: str,
    lost: tuple[int, ...] = (),
) -> tuple[Layer, ...]:
    """Interpolate the measured planes of a volume by nearest neighbour and linearly.

    Measured planes are those at multiples of the factor of the volume shown as `name`, without the
    `lost` ones; those just outside the part shown are read too, so that its first and last planes
    are right.
    """
    count = (source.size("Z") - 1) // factor + 1
    kept = [z * factor for z in range(count) if z not in lost]
    first, last, grid = planes_around(PlaneGrid(tuple(kept)), box.start[0], behind(box))
    _, y, x = box.slices
    start = kept[first]
    around = reader(source, time, channel)(slice(start, kept[last] + 1), y, x)
    planes = finite(fill_along_z(around[[z - start for z in kept[first : last + 1]]]))
    inside = slice(box.start[0] - start, behind(box) - start)
    volumes = []
    for role, method in (("input", "nearest"), ("linear", "linear")):
        filled = interpolate(planes, grid, method)[inside]  # type: ignore[arg-type]
        # The page has only the planes of its part, so it cannot interpolate across lost ones.
        derived = None if lost else Derived(method, (name,))  # type: ignore[arg-type]
        volumes.append(Layer(role.capitalize(), role, filled, derived))  # type: ignore[arg-type]
    return tuple(volumes)


def behind(box: Crop) -> int:
    """Return the index of the plane behind the last one of a box."""
    return box.start[0] + box.shape[0]


def _check(
    stack: Volume,
    restored: Volume,
    uncertainty: Volume | None,
    factor: int,
    channel: int,
    time: int,
) -> None:
    depth = even_grid(stack.size("Z"), factor).depth
    if whole_shape(restored) != (depth, stack.size("Y"), stack.size("X")):
        raise DataError(
            f"got {restored.source} of shape {whole_shape(restored)} for {stack.source} of shape "
            f"{whole_shape(stack)} (Z, Y, X), expected {depth} planes of the same size; give the "
            "stack that it was made from"
        )
    if uncertainty is not None and uncertainty.tczyx().shape != restored.tczyx().shape:
        raise DataError(
            f"got an uncertainty of shape {uncertainty.tczyx().shape}, expected that of the "
            f"restored volume, {restored.tczyx().shape} (T, C, Z, Y, X)"
        )
    for what, index, axis in (("channel", channel, "C"), ("time point", time, "T")):
        if not 0 <= index < restored.size(axis):
            raise DataError(f"got {what} {index}, expected one from 0 to {restored.size(axis) - 1}")


def _check_planes(
    stack: Volume,
    ours: NDArray[Any],
    box: Crop,
    factor: int,
    time: int,
    channel: int,
    lost: tuple[int, ...],
) -> str:
    """Compare the measured planes of the part shown with the input's, and describe the result."""
    first, last = -(-box.start[0] // factor), (behind(box) - 1) // factor
    _, y, x = box.slices
    measured = reader(stack, time, channel)(slice(first, last + 1), y, x)
    output = ours[first * factor - box.start[0] :: factor]
    numbered = enumerate(zip(measured, output, strict=True), first)
    pairs = [(a, b) for z, (a, b) in numbered if z not in lost]
    nan = ours.dtype.kind == "f"
    differ = sum(not np.array_equal(a, b, equal_nan=nan) for a, b in pairs)
    if differ:
        return (
            f"Attention: {differ} of the {len(pairs)} measured planes of the part shown differ "
            "from the input."
        )
    return (
        f"Checked: the {len(pairs)} measured planes of the part shown equal the input, bit for bit."
    )


def _advice(
    made_by: Mapping[str, Any], factor: int, step: float, unit: str, checked: str, has_doubt: bool
) -> tuple[Advice, ...]:
    mean = made_by.get("mode") == "mean"
    if mean:
        invented = (
            "This is the expected volume (mode mean): of all that could lie between two planes, "
            "the average. It is the most accurate guess of every voxel, and smoother than the "
            "specimen is: missing fine detail is not proof that there is none."
        )
    else:
        invented = (
            "This is one plausible volume (mode sample), as sharp as the training images. Another "
            "seed invents other detail that fits the measured planes as well. What differs between "
            "seeds is not known from your data."
        )
    far = factor // 2
    doubt = (
        f"Most of all halfway between measured planes, here {far} "
        f"{'plane' if far == 1 else 'planes'} or {far * step:.4g} {unit} from the nearest. "
    )
    doubt += (
        "The uncertainty volume says how far off each voxel may be; bright is doubtful. "
        if has_doubt
        else ""
    )
    doubt += (
        "The places listed beside the views are where to look first: compare all volumes there."
    )
    return (
        Advice(
            "What is measured",
            f"Every {_ordinal(factor)} plane, marked by dots in the profile, is your data. "
            f"{checked}",
        ),
        Advice("What is invented", invented),
        Advice("Where to doubt it", doubt),
        Advice(
            "When the method fails",
            "It assumes that the specimen looks alike in all directions, and planes that are "
            "samples, not thick slabs. Layered tissue, strong blur along Z, or a wrong voxel size "
            "give wrong volumes that may look right. So does a model trained on another kind of "
            "image. Compare XZ and YZ with XY: texture should look the same.",
        ),
        Advice(
            "What it is good for",
            "Looking, tracing and segmenting in three dimensions, as a start that you check "
            "against measured planes. Numbers that matter should be computed on measured planes "
            "alone, or with an error bar from several seeds.",
        ),
    )


def _ordinal(number: int) -> str:
    small = {
        2: "second",
        3: "third",
        4: "fourth",
        5: "fifth",
        6: "sixth",
        7: "seventh",
        8: "eighth",
    }
    return small.get(number, f"{number}th")
