"""The report of a restored volume: input, linear, restored, and how far to trust it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.grid import check_factor
from isoslice.data.recorded import recorded_axis, recorded_reasons
from isoslice.data.survey import format_planes
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.report.advice import advice
from isoslice.evaluation.report.crop import MAX_VOXELS, Crop, choose_box
from isoslice.evaluation.report.data import Layer, Report, Scene
from isoslice.evaluation.report.measured import measured_tables, without_lists
from isoslice.evaluation.report.parts import (
    finite,
    finite_reader,
    lengths,
    name_of,
    read_box,
    reader,
    spacing,
    times,
    towards,
    turned_text,
    which_part,
    whole_shape,
)
from isoslice.evaluation.report.planes import Planes, check_planes, measured_and_linear, planes_of
from isoslice.evaluation.report.text import profile_text

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

    Examples
    --------
    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
    >>> stack = isoslice.Volume(planes, "ZYX", {"Z": 2.0, "Y": 1.0, "X": 1.0})
    >>> result = isoslice.Model.pretrained().predict(stack, mode="mean")
    >>> report = isoslice.prediction_report(stack, result)
    >>> report.title
    'array, restored 2×'
    """
    stack, restored, uncertainty = _as_volumes(stack, restored, uncertainty)
    made_by, messages = _record(restored)
    check_factor(made_by["factor"])
    along = recorded_axis(restored)
    stack, restored = turned(stack, along), turned(restored, along)
    uncertainty = None if uncertainty is None else turned(uncertainty, along)
    planes = planes_of(restored, stack.size("Z"), time, channel)
    whole = whole_shape(restored)
    _check(stack, restored, uncertainty, planes.depth, channel, time)
    box = choose_box(finite_reader(reader(restored, time, channel)), whole, planes.factor, limit)
    ours = read_box(restored, box, time, channel)
    volumes = list(_from_planes(stack, restored, planes, box, time, channel))
    volumes.append(
        Layer(RESTORED, "sample" if made_by.get("mode") == "sample" else "restored", finite(ours))
    )
    if uncertainty is not None:
        std = read_box(uncertainty, box, time, channel)
        volumes.append(Layer(UNCERTAINTY, "uncertainty", np.nan_to_num(std)))
    size, unit = spacing(restored)
    scene = Scene(
        tuple(volumes),
        size,
        unit,
        box,
        whole,
        planes.factor,
        band,
        tuple(z * (planes.factor or 0) for z in planes.lost),
        planes.marked if planes.factor is None else (),
        planes.ratio,
        planes.points,
        towards(restored),
    )
    checked = ""
    # Channels may have been computed from those measured; blurred planes are not put back.
    if stack.size("C") == restored.size("C") and planes.points:
        checked = check_planes(stack, ours, box, planes, time, channel)
    part = which_part(restored, time, channel)
    profile = made_by.get("slice_profile")
    return Report(
        title=f"{name_of(stack)}, restored {times(planes.ratio)}",
        kind="predict",
        summary=_summary(planes, stack.size("Z")),
        facts={
            **_facts(scene, planes, recorded_reasons(made_by, time, channel), made_by),
            **({} if along == "Z" else {"Turned": turned_text(along)}),
            **({"Shown": part} if part else {}),
            **({} if profile is None else {"Slice profile": _profile_text(profile, size.z, unit)}),
        },
        warning=INVENTED + "".join(f"\n\nWarned of: {message}." for message in messages),
        advice=advice(made_by, planes, size.z, unit, checked, uncertainty is not None),
        scene=scene,
        tables=measured_tables(made_by, restored, planes, time, channel, unit),
        provenance=without_lists(made_by),
    )


def _from_planes(
    stack: Volume, restored: Volume, planes: Planes, box: Crop, time: int, channel: int
) -> tuple[Layer, ...]:
    """Interpolate the measured planes: of the result where they are points, else of the stack.

    Without any where the result has other channels than the stack, which it was computed from.
    """
    if planes.points:
        numbers = tuple(int(z) for z in planes.grid.known)
        # The page has only the planes of its part, so it cannot interpolate across lost ones.
        name = None if planes.lost or planes.factor is None else RESTORED
        return measured_and_linear(restored, numbers, planes.grid, box, time, channel, name)
    if stack.size("C") != restored.size("C"):
        return ()
    return measured_and_linear(stack, planes.numbers, planes.grid, box, time, channel)


def _summary(planes: Planes, count: int) -> str:
    lost = f", and {len(planes.lost)} that had been lost" if planes.lost else ""
    became = f"{count} measured planes became {planes.depth}"
    if not planes.points:
        return f"{became}, all of them restored by a model{lost}."
    if planes.factor is None:
        return f"{became}; those between were filled in by a model{lost}."
    return (
        f"{became}; {planes.factor - 1} of every {planes.factor} planes were filled in by a model"
        f"{lost}."
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
    if kind == "point":
        return "none; noise, or planes between output planes, undone"
    return f"{profile_text(kind, f'{lengths(width * step)} {unit}')}, undone"


def _facts(
    scene: Scene, planes: Planes, reasons: Sequence[str], made_by: Mapping[str, Any]
) -> dict[str, str]:
    """Say what was measured, and what became of it."""
    size, unit, whole = scene.voxel_size, scene.unit, scene.whole
    gaps = np.diff(planes.grid.known) * size.z
    apart = lengths(size.z * planes.ratio)
    if not planes.lost and np.ptp(gaps) > 0.01 * gaps.min():
        apart = f"{lengths(float(gaps.min()))} to {lengths(float(gaps.max()))}"
    lost = planes.lost
    missing = f"; lost: {format_planes(lost)} (counted from 0)" if lost else ""
    missing += f", {'; '.join(reasons)}" if lost and reasons else ""
    return {
        "Measured planes": f"{len(planes.numbers)}, {apart} {unit} apart{missing}",
        "Restored planes": f"{whole[0]}, {lengths(size.z)} {unit} apart ({times(planes.ratio)})",
        "Voxel size (Z, Y, X)": f"{lengths(*map(float, size))} {unit}",
        "Shape (Z, Y, X)": lengths(*whole),
        "Mode": str(made_by.get("mode", "–")),
        "Model": str(made_by.get("model", "–")),
    }


def _check(
    stack: Volume,
    restored: Volume,
    uncertainty: Volume | None,
    depth: int,
    channel: int,
    time: int,
) -> None:
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
