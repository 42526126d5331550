"""``isoslice info``: describe a volume or a model folder."""

from __future__ import annotations

import math
import warnings
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoslice.cli.options import JsonFlag, StackReading, with_option_groups
from isoslice.runtime.text import as_json, as_lines, spoken_bytes

if TYPE_CHECKING:
    from isoslice.data.volume import Volume
    from isoslice.io.decoded import Raw
    from isoslice.io.options import ReadOptions


@with_option_groups
def info(
    path: Annotated[
        str, typer.Argument(metavar="PATH", help="A volume or a model folder, or pretrained.")
    ],
    reading: StackReading,
    json: JsonFlag = False,
) -> None:
    """Describe a volume or a model."""
    options = reading.options()
    # Only a folder can be a model; a file needs no torch.
    from isoslice.models.pretrained import model_path

    if model_path(path).is_dir() and _is_model(path):
        described = describe_model(path)
        if not json:
            # Long lists are only in the JSON.
            described = {n: v for n, v in described.items() if n not in ("history", "intensities")}
            if "slice_profile" in described:
                described["slice_profile"] = described["slice_profile"]["told"]
    else:
        described = describe_file(Path(path), options)
        if not json:
            described = _for_terminal(described)
    typer.echo(as_json(described) if json else as_lines(described))


def describe_file(path: Path, reading: ReadOptions) -> dict[str, Any]:
    """Describe an image file, as plain values."""
    from isoslice.errors import IsosliceWarning
    from isoslice.io.decoded import to_volume
    from isoslice.io.reading import read_raw

    with warnings.catch_warnings():
        # The output says which of several images it describes.
        warnings.filterwarnings("ignore", ".*--series", IsosliceWarning)
        raw = read_raw(path, reading.series)
        volume = to_volume(raw, path, reading)
    return {"path": volume.source, **_series(raw), **describe_volume(volume)}


def describe_volume(volume: Volume) -> dict[str, Any]:
    """Describe a volume, as plain values."""
    from isoslice.cli.intensities import intensity_range
    from isoslice.data.optics import stated_message, stated_profile

    shown = volume.metadata
    return {
        "shape": list(volume.data.shape),
        "axes": volume.axes,
        "dtype": volume.data.dtype.name,
        "bytes": volume.data.nbytes,
        "chunks": _chunks(volume),
        "voxel_size": {axis: volume.spacing.get(axis) for axis in "ZYX" if axis in volume.axes},
        "unit": volume.unit,
        **_sampling(volume),
        "restored": _restored(volume),
        "z_positions": None if volume.z_positions is None else list(volume.z_positions),
        "slice_thickness": shown.slice_thickness,
        "optics": None if shown.optics is None else asdict(shown.optics),
        "stated_profile": stated_profile(volume),
        "stated": stated_message(volume),
        "channels": list(volume.channel_names) if volume.channel_names else volume.size("C"),
        "displays": None
        if shown.displays is None
        else [
            {
                "color": display.color,
                "window": None if display.window is None else list(display.window),
                "lut": display.lut is not None,
            }
            for display in shown.displays
        ],
        "time_step": shown.time_step,
        "time_unit": shown.time_unit if shown.time_step is not None else None,
        **({} if shown.time_start is None else {"time_start": shown.time_start}),
        "origin": dict(shown.origin) or None,
        "orientation": _orientation(volume),
        "intensity": intensity_range(volume),
        "provenance": dict(volume.provenance) if volume.provenance else None,
    }


def _series(raw: Raw) -> dict[str, Any]:
    """List the images of a file that may hold several."""
    if not raw.series:
        return {}
    return {
        "series": [
            {
                "number": number,
                "name": one.name,
                "axes": one.axes,
                "shape": list(one.shape),
                "dtype": one.dtype,
                "shown": number == raw.chosen,
            }
            for number, one in enumerate(raw.series)
        ]
    }


def _sampling(volume: Volume) -> dict[str, Any]:
    """Describe which axis is coarse, by how much, and the factor that follows."""
    from isoslice.data.coarse import COARSE_RATIO
    from isoslice.data.grid import factor_from_voxel_size
    from isoslice.data.volume import VoxelSize

    size = volume.voxel_size
    if size is None or "Z" not in volume.axes:
        return {"anisotropy": None, "coarse_along": None, "coarse_by": None, "factor": None}
    ratios, coarse = {}, None
    for axis in "ZXY":
        others = [volume.spacing[other] for other in "ZYX" if other != axis]
        ratios[axis] = volume.spacing[axis] / (others[0] * others[1]) ** 0.5
        # X or Y must be coarser than both: where Z is finer, two axes are as coarse as each other.
        least = ratios[axis] if axis == "Z" else volume.spacing[axis] / max(others)
        if coarse is None and least >= COARSE_RATIO * (1 - 1e-6):
            coarse = axis
    return {
        "anisotropy": ratios["Z"],
        "coarse_along": coarse,
        "coarse_by": None if coarse is None else ratios[coarse],
        # Relative to the geometric mean of the other two.
        "factor": None
        if coarse is None
        else factor_from_voxel_size(VoxelSize(ratios[coarse], 1, 1)),
    }


def _chunks(volume: Volume) -> list[int] | None:
    """Return what is decoded at once, where that is not the whole."""
    from isoslice.io.lazy_array import LazyArray

    return list(volume.data.chunks) if isinstance(volume.data, LazyArray) else None


def _restored(volume: Volume) -> dict[str, Any] | None:
    """Say what predict would make, unless told otherwise: shape, and bytes before compression."""
    from isoslice.data.coarse import turned
    from isoslice.data.output_spacing import Wanted, output_spacing
    from isoslice.errors import IsosliceError

    along = _sampling(volume)["coarse_along"]
    if along is None or volume.size(along) < 2:
        return None
    try:
        depth = output_spacing(turned(volume, along), Wanted()).depth
    except IsosliceError:  # which predict will tell
        return None
    shape = [
        depth if axis == along else size
        for axis, size in zip(volume.axes, volume.data.shape, strict=True)
    ]
    return {"shape": shape, "bytes": math.prod(shape) * volume.data.dtype.itemsize}


def _orientation(volume: Volume) -> dict[str, Any] | None:
    from isoslice.data.anatomy import axis_codes

    place = volume.metadata.orientation
    if place is None or place.affine is None:
        return None
    return {"codes": axis_codes(place.affine), "affine": [list(row) for row in place.affine]}


def _for_terminal(described: dict[str, Any]) -> dict[str, Any]:
    """Rearrange a description for a terminal, in fewer, longer lines."""
    shown: dict[str, Any] = {}
    for name, value in described.items():
        if name == "anisotropy":
            shown["sampling"] = _sampling_text(described)
        elif name not in _MERGED_KEYS:
            shown[name] = value
    if "series" in described:
        shown["series"] = {
            str(one["number"]): _joined(
                one["name"],
                f"{one['axes']} {' x '.join(map(str, one['shape']))}",
                one["dtype"],
                "shown here" if one["shown"] else None,
            )
            for one in described["series"]
        }
    shown["shape"] = f"{_times(described['shape'])}, {spoken_bytes(described['bytes'])}"
    if described["chunks"] is not None:
        shown["chunks"] = _times(described["chunks"])
    if (restored := described["restored"]) is not None:
        size = spoken_bytes(restored["bytes"])
        shown["restored"] = f"{_times(restored['shape'])}, {size} before compression"
    names, displays = described["channels"], described["displays"]
    if displays is not None:
        names = names if isinstance(names, list) else [None] * len(displays)
        shown["channels"] = {
            str(number): _joined(
                name,
                f"#{display['color']}" if display["color"] else None,
                "lookup table" if display["lut"] else None,
                "window {:.6g} to {:.6g}".format(*display["window"]) if display["window"] else None,
            )
            for number, (name, display) in enumerate(zip(names, displays, strict=True))
        }
    shown |= _planes_text(described)
    if described["time_step"] is not None:
        shown["time step"] = f"{described['time_step']:.6g} {described['time_unit'] or ''}".rstrip()
    if described["origin"] is not None:
        shown["origin"] = described["origin"]
    if described["orientation"] is not None:
        codes = described["orientation"]["codes"] or "unknown"
        shown["orientation"] = f"{codes} (where X, Y and Z run to)"
    last = {name: shown.pop(name) for name in ("intensity", "provenance")}
    return {**shown, **last}


#: Keys that a terminal shows in another form, or not at all.
_MERGED_KEYS = (
    "bytes",
    "coarse_along",
    "coarse_by",
    "displays",
    "time_step",
    "time_unit",
    "origin",
    "orientation",
    "z_positions",
    "slice_thickness",
    "optics",
    "stated_profile",
    "stated",
)


def _sampling_text(described: dict[str, Any]) -> str:
    from isoslice.data.coarse import COARSE_RATIO

    if described["coarse_along"] is not None:
        return f"coarse along {described['coarse_along']} by {described['coarse_by']:.1f}"
    if described["anisotropy"] is not None:
        return "isotropic" if described["anisotropy"] > 1 / COARSE_RATIO else "finer along Z"
    return "unknown, without a voxel size along Z, Y and X"


def _planes_text(described: dict[str, Any]) -> dict[str, str]:
    """Say where planes are, what they see of Z, and with which option that would be undone."""
    unit, shown = described["unit"] or "", {}
    if described["z_positions"] is not None:
        places = described["z_positions"]
        gaps = [b - a for a, b in pairwise(places)]
        shown["planes"] = f"uneven, {min(gaps):.4g} to {max(gaps):.4g} {unit} apart"
    if described["slice_thickness"] is not None:
        shown["slice thickness"] = f"{described['slice_thickness']:.4g} {unit}".rstrip()
    optics = described["optics"]
    if optics is not None:
        aperture, index = optics["numerical_aperture"], optics["refractive_index"]
        waves = [f"{wave:g}" if wave else "?" for wave in optics["emission"] or ()]
        shown["optics"] = _joined(
            optics["microscope"],
            None if aperture is None else f"numerical aperture {aperture:g}",
            None if index is None else f"refractive index {index:g}",
            f"emission {', '.join(waves)} nm" if waves else None,
        )
    if described["stated"] is not None:
        shown["stated"] = described["stated"]
    return shown


def _times(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


def _joined(*parts: str | None) -> str:
    return ", ".join(part for part in parts if part) or "-"


def describe_model(path: str) -> dict[str, Any]:
    """Describe a model folder, as plain values."""
    from isoslice.inference.model import Model

    model = Model.load(Path(path))
    config, stored = model.config, model.config.slice_profile
    return {
        "model": path,
        "fingerprint": model.fingerprint,
        "recipe": config.recipe,
        **({"distilled": True} if getattr(config, "distilled", None) else {}),
        "channels": list(config.channel_names or ()) or config.network.channels,
        "pixel_size": config.pixel_size,
        "unit": config.unit,
        **({} if stored is None else {"slice_profile": stored.model_dump(mode="json")}),
        "seed": config.training.seed,
        **model.info,
    }


def _is_model(path: str) -> bool:
    from isoslice.models.files.bundle import is_model_folder

    return is_model_folder(Path(path))
