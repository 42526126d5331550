"""NRRD, written in one file: a text header, then the voxels as they are."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoslice.data.units import convert, unit_name
from isoslice.data.volume import AXES, Volume
from isoslice.io.formats.itk.payload import write_payload
from isoslice.io.notes import KEY, make_note, note_text
from isoslice.io.orientation import LPS, placed

#: Programs that read NRRD (3D Slicer, ITK) take all lengths for millimetres.
UNIT = "millimeter"
_TYPES = {"float32": "float", "float64": "double"}
_SECONDS = {"second": "s", "millisecond": "ms", "microsecond": "us", "minute": "min"}


def stored(volume: Volume) -> tuple[NDArray[np.generic], str]:
    """Return voxels in ITK's order, colour fastest, and a letter per dimension, slowest first.

    float16, which neither NRRD nor MetaImage has, becomes float32.
    """
    # A fourth axis is time, a third one is not.
    needed = volume.axes + ("Z" if "T" in volume.axes else "")
    axes = "".join(axis for axis in "TZYXC" if axis in needed)
    data = volume.tczyx().transpose([AXES.index(axis) for axis in "TZYXC"])
    data = data.reshape([volume.size(axis) for axis in axes])
    kind = np.dtype(np.float32) if data.dtype == np.float16 else data.dtype
    return np.ascontiguousarray(data, kind.newbyteorder("<")), axes


def ratio_of(volume: Volume) -> float:
    """Return millimetres in the volume's unit; 1 where it has none."""
    unit = unit_name(volume.unit)
    return convert(1.0, unit, UNIT) if unit else 1.0


def noted(volume: Volume) -> str:
    """Return the note as one line; axes as a reader of these formats finds them."""
    return note_text(make_note(volume, "".join(axis for axis in AXES if axis in volume.axes)))


def write_nrrd(path: Path, volume: Volume) -> None:
    """Write `volume` with its orientation, lengths in millimetres, time as a fourth axis."""
    data, axes = stored(volume)
    fastest = axes[::-1]
    kind = data.dtype.newbyteorder("=").name
    lines = [
        "NRRD0005",
        f"type: {_TYPES.get(kind, kind)}",
        f"dimension: {data.ndim}",
        "sizes: " + " ".join(str(n) for n in data.shape[::-1]),
        "kinds: " + " ".join("vector" if axis == "C" else "domain" for axis in fastest),
        "endian: little",
        "encoding: raw",
    ]
    metadata = volume.metadata
    if volume.spacing or metadata.origin or metadata.orientation or metadata.time_step:
        lines += _space(volume, fastest)
    text = noted(volume).replace("\\", "\\\\")
    write_payload(path, "\n".join([*lines, f"{KEY}:={text}"]) + "\n\n", data)


def _space(volume: Volume, axes: str) -> list[str]:
    """Say where voxels are; axes from the fastest on."""
    places = [axis for axis in axes if axis in "XYZT"]
    matrix = np.eye(4)
    matrix[:3] = placed(volume, ratio_of(volume), LPS)[:3]
    vectors = {axis: matrix[:3, i] for i, axis in enumerate("XYZ")}
    turned = volume.metadata.orientation is not None and "Z" in axes
    rows = range(3) if turned else ["XYZ".index(axis) for axis in places if axis != "T"]
    origin = [matrix[row, 3] for row in rows]
    time = "T" in axes
    told = []
    for axis in axes:
        if axis == "C":
            told.append("none")
        elif axis == "T":
            told.append(_vector([0.0] * len(origin) + [volume.metadata.time_step or 1.0]))
        else:
            length = math.hypot(*vectors[axis])
            own = [length if "XYZ"[row] == axis else 0.0 for row in rows]
            numbers = [float(vectors[axis][row]) for row in rows] if turned else own
            told.append(_vector(numbers + [0.0] * time))
    space = "space: left-posterior-superior" + "-time" * time
    lines = [
        space if turned else f"space dimension: {len(places)}",
        "space directions: " + " ".join(told),
        "space origin: " + _vector(origin + [0.0] * time),
    ]
    if unit_name(volume.unit):
        time_unit = _SECONDS.get(volume.metadata.time_unit or "", "") if time else ""
        units = ["mm"] * len(origin) + [time_unit] * time
        lines.append("space units: " + " ".join(f'"{unit}"' for unit in units))
    return lines


def _vector(numbers: list[float]) -> str:
    return "(" + ",".join(repr(float(n)) for n in numbers) + ")"
