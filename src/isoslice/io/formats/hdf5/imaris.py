"""Imaris (.ims): HDF5 with numbers as text, and with arrays padded to whole chunks."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path
from typing import Any

from isoslice.data.metadata import Display, Metadata, Optics
from isoslice.data.units import unit_name
from isoslice.io.decoded import Raw
from isoslice.io.formats.hdf5.grid import Grid
from isoslice.io.formats.hdf5.integrity import MAX_OBJECTS, Stored, member, text
from isoslice.io.formats.ome_optics import optics_of
from isoslice.io.formats.text_numbers import positive
from isoslice.io.lazy_array import LazyArray

_FINEST_LEVEL = "DataSet/ResolutionLevel 0"
_INFO = "DataSetInfo"
#: Attributes that name the kind of microscope, and OME's names of the kinds.
_MODE_NAMES = ("MicroscopyMode", "MicroscopeMode", "MicroscopeModality")
_MODES = {"widefield": "WideField", "wide field": "WideField"} | dict.fromkeys(
    ("confocal", "point scanning confocal", "laser scanning confocal"),
    "LaserScanningConfocalMicroscopy",
)


def read_imaris(path: Path, file: Any) -> Raw:
    """Read the finest level of an Imaris file: all channels and time points.

    Raises
    ------
    ValueError
        If its structure is not that of Imaris.
    """
    times = _count(file, f"{_FINEST_LEVEL}/TimePoint {{}}")
    channels = _count(file, f"{_FINEST_LEVEL}/TimePoint 0/Channel {{}}")
    if not times or not channels:
        raise ValueError("it has no time point or no channel")
    image = member(file, f"{_INFO}/Image")
    volumes = [[_channel(file, image, t, c, path) for c in range(channels)] for t in range(times)]
    grid = Grid(volumes)
    kept = [i for i, n in enumerate(grid.shape) if n > 1 or i > 1]
    data = LazyArray(grid, kept)
    spacing, origin = _spacing_and_origin(image, grid.shape[2:])
    unit = unit_name(text(image, "Unit") or "um") if image is not None else None
    infos = [member(file, f"{_INFO}/Channel {c}") for c in range(channels)]
    names = tuple((text(info, "Name") or "") if info is not None else "" for info in infos)
    step = _time_step(member(file, f"{_INFO}/TimeInfo"), times)
    metadata = Metadata(
        origin=origin,
        time_step=step,
        time_unit=None if step is None else "second",
        displays=tuple(_display(info) for info in infos),
        optics=_optics(image, infos),
    )
    axes = "".join("TCZYX"[i] for i in kept)
    return Raw(data, axes, spacing, unit, names if all(names) else None, metadata=metadata)


def _count(file: Any, pattern: str) -> int:
    number = 0
    while number < MAX_OBJECTS and member(file, pattern.format(number)) is not None:
        number += 1
    return number


def _channel(file: Any, image: Any, time: int, channel: int, path: Path) -> Stored:
    """Return a volume cropped to the image: data sets are padded to whole chunks."""
    group = member(file, f"{_FINEST_LEVEL}/TimePoint {time}/Channel {channel}")
    dataset = None if group is None else member(group, "Data")
    if dataset is None or not hasattr(dataset, "shape"):
        raise ValueError(f"channel {channel} of time point {time} is missing")
    sizes = [_number(group, f"ImageSize{axis}") or _number(image, axis) for axis in "ZYX"]
    whole = tuple(int(n) for n in dataset.shape or ())
    if len(whole) != 3:
        raise ValueError(f"its data have shape {whole}, expected three dimensions")
    shape = tuple(n if s is None else int(s) for n, s in zip(whole, sizes, strict=True))
    return Stored(dataset, path, shape)


def _spacing_and_origin(
    image: Any, shape: tuple[int, ...]
) -> tuple[dict[str, float], dict[str, float]]:
    """Return spacing and the position of the first voxel's centre, from the image's outer edges."""
    spacing, edges = {}, {}
    for number, axis, size in zip((2, 1, 0), "ZYX", shape, strict=True):
        first, last = (_number(image, f"Ext{name}{number}") for name in ("Min", "Max"))
        if first is not None and last is not None and last > first:
            spacing[axis] = (last - first) / size
            edges[axis] = first
    if not any(edges.values()):  # unknown position
        return spacing, {}
    return spacing, {axis: edge + spacing[axis] / 2 for axis, edge in edges.items()}


def _display(info: Any) -> Display:
    color = _numbers(info, "Color")
    window = _numbers(info, "ColorRange")
    shade = None
    if len(color) == 3 and all(0 <= part <= 1 for part in color):
        shade = "".join(f"{round(255 * part):02X}" for part in color)
    fits = len(window) == 2 and window[0] < window[1]
    return Display(shade, (window[0], window[1]) if fits else None)


def _optics(image: Any, infos: list[Any]) -> Optics | None:
    """Return what the image or its first channels say of the microscope."""
    owners = [image, *infos]
    apertures = [_number(owner, "NumericalAperture") for owner in owners]
    indices = [_number(owner, "RefractionIndexImmersion") for owner in owners]
    modes = [text(o, name) for o in owners if o is not None for name in _MODE_NAMES]
    return optics_of(
        next(filter(None, apertures), None),
        next(filter(None, indices), None),
        None,
        [positive(_number(info, "LSMEmissionWavelength")) for info in infos],
        [_MODES.get(mode.strip().lower(), mode.strip()) for mode in modes if mode],
    )


def _time_step(info: Any, times: int) -> float | None:
    """Return the mean time between time points in seconds, or None."""
    if info is None or times < 2:
        return None
    moments = []
    for number in (1, times):
        try:
            moments.append(datetime.fromisoformat((text(info, f"TimePoint{number}") or "").strip()))
        except ValueError:
            return None
    if (moments[0].tzinfo is None) != (moments[1].tzinfo is None):
        return None
    seconds = (moments[1] - moments[0]).total_seconds() / (times - 1)
    return seconds if seconds > 0 else None


def _number(owner: Any, name: str) -> float | None:
    values = _numbers(owner, name)
    return values[0] if len(values) == 1 else None


def _numbers(owner: Any, name: str) -> list[float]:
    content = (text(owner, name) or "") if owner is not None else ""
    parts = content.split()
    if not parts or not all(re.fullmatch(r"[-+]?[0-9.]+(e[-+]?\d{1,2})?", part) for part in parts):
        return []
    try:
        return [float(part) for part in parts]
    except ValueError:
        return []
