"""NRRD, written in one file: a text header, then the voxels as they are."""

from __future__ import annotations

import math
from pathlib import Path

from isoslice.data.units import unit_name
from isoslice.data.volume import Volume
from isoslice.io.formats.itk.conventions import (
    affine_in_millimeters,
    in_itk_order,
    note_line,
    written_dtype,
)
from isoslice.io.formats.itk.nrrd_header import TYPE_NAMES
from isoslice.io.formats.itk.payload import write_payload
from isoslice.io.notes import KEY

_TIME_SYMBOLS = {"second": "s", "millisecond": "ms", "microsecond": "us", "minute": "min"}


def write_nrrd(path: Path, volume: Volume) -> None:
    """Write `volume` with its orientation, lengths in millimetres, time as a fourth axis."""
    data, axes = in_itk_order(volume)
    fastest_first = axes[::-1]
    stored = written_dtype(data.dtype)
    dtype = stored.name
    spellings = TYPE_NAMES[dtype]
    lines = [
        "NRRD0005",
        f"type: {dtype if dtype in spellings else spellings[0]}",
        f"dimension: {data.ndim}",
        "sizes: " + " ".join(str(n) for n in data.shape[::-1]),
        "kinds: " + " ".join("vector" if axis == "C" else "domain" for axis in fastest_first),
        "endian: little",
        "encoding: raw",
    ]
    metadata = volume.metadata
    if volume.spacing or metadata.origin or metadata.orientation or metadata.time_step:
        lines += _space(volume, fastest_first)
    text = note_line(volume).replace("\\", "\\\\")
    write_payload(path, "\n".join([*lines, f"{KEY}:={text}"]) + "\n\n", data, stored)


def _space(volume: Volume, axes: str) -> list[str]:
    """Return the fields that place the voxels in space; `axes` go from the fastest on."""
    positioned = [axis for axis in axes if axis in "XYZT"]
    matrix = affine_in_millimeters(volume)
    vectors = {axis: matrix[:3, i] for i, axis in enumerate("XYZ")}
    oriented = volume.metadata.orientation is not None and "Z" in axes
    rows = range(3) if oriented else ["XYZ".index(axis) for axis in positioned if axis != "T"]
    origin = [matrix[row, 3] for row in rows]
    time = "T" in axes
    directions = []
    for axis in axes:
        if axis == "C":
            directions.append("none")
        elif axis == "T":
            directions.append(_vector([0.0] * len(origin) + [volume.metadata.time_step or 1.0]))
        else:
            length = math.hypot(*vectors[axis])
            unoriented = [length if "XYZ"[row] == axis else 0.0 for row in rows]
            numbers = [float(vectors[axis][row]) for row in rows] if oriented else unoriented
            directions.append(_vector(numbers + [0.0] * time))
    space = "space: left-posterior-superior" + "-time" * time
    lines = [
        space if oriented else f"space dimension: {len(positioned)}",
        "space directions: " + " ".join(directions),
        "space origin: " + _vector(origin + [0.0] * time),
    ]
    if unit_name(volume.unit):
        time_unit = _TIME_SYMBOLS.get(volume.metadata.time_unit or "", "") if time else ""
        units = ["mm"] * len(origin) + [time_unit] * time
        lines.append("space units: " + " ".join(f'"{unit}"' for unit in units))
    return lines


def _vector(numbers: list[float]) -> str:
    return "(" + ",".join(repr(float(n)) for n in numbers) + ")"
