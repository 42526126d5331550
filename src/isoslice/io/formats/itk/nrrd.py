"""NRRD: a text header, and voxels behind it or in a file of their own.

Format: http://teem.sourceforge.net/nrrd/format.html. Sizes and all that is said of axes go from the
fastest to the slowest one; here the slowest comes first, as everywhere in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.metadata import Orientation
from isoslice.data.units import unit_name
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.itk.nrrd_header import (
    Header,
    Vector,
    numbers,
    parse_header,
    quoted,
    vectors,
)
from isoslice.io.formats.itk.payload import beside, declared_shape, read_payload
from isoslice.io.limits import MAX_JSON
from isoslice.io.notes import KEY, Note, find_note
from isoslice.io.orientation import LPS, RAS, orientation_of, told

_TYPES = {
    "int8": ("signed char", "int8", "int8_t"),
    "uint8": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "int16": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "uint16": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "int32": ("int", "signed int", "int32", "int32_t"),
    "uint32": ("uint", "unsigned int", "uint32", "uint32_t"),
    "int64": (
        "longlong",
        "long long",
        "long long int",
        "signed long long",
        "signed long long int",
        "int64",
        "int64_t",
    ),
    "uint64": ("ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t"),
    "float32": ("float",),
    "float64": ("double",),
}
_ENCODINGS = {
    "raw": ("raw",),
    "text": ("txt", "text", "ascii"),
    "hex": ("hex",),
    "gzip": ("gz", "gzip"),
    "bzip2": ("bz2", "bzip2"),
}
#: What turns a space's coordinates into RAS, by its names.
_SPACES = {
    "right-anterior-superior": RAS,
    "ras": RAS,
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
    "left-posterior-superior": LPS,
    "lps": LPS,
}
#: Kinds of axes that are no place, by a part of their names.
_CHANNELS = ("color", "vector", "normal", "gradient", "quaternion", "matrix", "complex")
_TIMES = {"s": "second", "sec": "second", "ms": "millisecond", "msec": "millisecond"}
_TIMES |= {"us": "microsecond", "usec": "microsecond", "min": "minute"}
#: Codes of NIfTI: a scanner's space; one that is not named.
_SCANNER, _UNNAMED = 1, 2


def read_nrrd(path: Path, series: str | None = None) -> Raw:
    """Read an NRRD image, whose voxels lie behind the header or in a file beside it.

    Unpacked voxels are mapped. Lists of planes in many files are refused.

    Raises
    ------
    DataError
        If the file is damaged or cut off, or its voxels lie elsewhere.
    """
    with reading(path, "an NRRD image"):
        with path.open("rb") as stream:
            header = parse_header(stream)
        fields = header.fields
        shape = declared_shape(fields.get("dimension", "0"), fields.get("sizes", ""))
        return _described(_voxels(path, header, shape), header, len(shape))


def _voxels(path: Path, header: Header, shape: tuple[int, ...]) -> Any:
    fields = header.fields
    kind = fields.get("type", "").lower()
    dtype = next((np.dtype(name) for name, all_ in _TYPES.items() if kind in all_), None)
    packed = fields.get("encoding", "").lower()
    encoding = next((name for name, all_ in _ENCODINGS.items() if packed in all_), None)
    if dtype is None or encoding is None:
        raise ValueError(f"it declares the type {kind!r} and the encoding {packed!r}")
    if dtype.itemsize > 1 and encoding != "text":
        order = {"little": "<", "big": ">"}.get(fields.get("endian", "").lower())
        if order is None:
            raise ValueError("it does not say the order of bytes (endian)")
        dtype = dtype.newbyteorder(order)  # type: ignore[arg-type]
    named = fields.get("data file")
    start = header.end
    if named is not None:
        path, start = beside(path, named), 0
    skip = int(fields.get("byte skip", "0"))
    lines = int(fields.get("line skip", "0"))
    if lines < 0 or skip < -1 or (skip != 0 and encoding != "raw"):
        raise ValueError(f"it asks to skip {lines} lines and {skip} bytes")
    if lines:
        start = _behind_lines(path, start, lines)
    return read_payload(path, None if skip == -1 else start + skip, shape, dtype, encoding)


def _behind_lines(path: Path, start: int, lines: int) -> int:
    with path.open("rb") as stream:
        stream.seek(start)
        for _ in range(min(lines, 2**16)):
            if not stream.readline(MAX_JSON).endswith(b"\n"):
                raise ValueError(f"it asks to skip {lines} lines, which it has not")
        return stream.tell()


def _described(data: Any, header: Header, dimension: int) -> Raw:
    """Return what a header says of voxels; letters go from the slowest axis to the fastest."""
    fields = header.fields
    steps = vectors(fields.get("space directions", "")) or [None] * dimension
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()] or [""] * dimension
    spacings = numbers(fields.get("spacings", "")) or [math.nan] * dimension
    if not len(steps) == len(kinds) == len(spacings) == dimension:
        raise ValueError(f"its header does not describe {dimension} axes throughout")
    axes = _letters(kinds, steps)
    spacing = {}
    for axis, vector, step in zip(axes, steps, spacings, strict=True):
        length = abs(step) if vector is None else math.hypot(*vector)
        if axis in "XYZT" and 0 < length < math.inf:
            spacing[axis] = length
    space = fields.get("space", "").lower().removesuffix("-time")
    signs, code = (_SPACES[space], _SCANNER) if space in _SPACES else (LPS, _UNNAMED)
    units = quoted(fields.get("space units", "")) or quoted(fields.get("units", ""))
    unit = unit_name(next((u for u in units if unit_name(u)), None))
    # Programs that name a scanner's space mean millimetres.
    note = _note(header)
    if unit is None and code == _SCANNER and (note is None or note["unit"] is not None):
        unit = "millimeter"
    places = [steps[axes.index(axis)] for axis in "XYZ" if axis in axes]
    orientation = _orientation(fields, places, signs, code)
    times = [_TIMES[u.lower()] for u in units if u.lower() in _TIMES]
    time = spacing.pop("T", None), next(iter(times), None)
    metadata = told(orientation, unit, note, signs, time)
    return Raw(data, "".join(axes[::-1]), spacing, unit, None, note, metadata)


def _letters(kinds: Sequence[str], steps: Sequence[Vector]) -> list[str]:
    """Name the axes, from the fastest on: those with a place X, Y, Z; a fourth one is T."""
    places = iter("XYZT")
    given = any(vector is not None for vector in steps)
    axes = []
    for kind, vector in zip(kinds, steps, strict=True):
        if kind in ("time", "list"):
            axes.append("T")  # volumes in a list, as 3D Slicer has them, are restored each alone
        elif any(part in kind for part in _CHANNELS):
            axes.append("S")
        elif vector is not None or not given:
            axes.append(next(places, "Q"))
        else:
            axes.append("Q")
    return axes


def _orientation(
    fields: Mapping[str, str], places: Sequence[Vector], signs: Sequence[float], code: int
) -> Orientation | None:
    known = [vector[:3] for vector in places if vector is not None and len(vector) >= 3]
    if len(known) != 3:
        return None
    origin = next(iter(vectors(fields.get("space origin", ""))), None) or (0.0, 0.0, 0.0)
    if len(origin) < 3:
        raise ValueError("its origin has fewer numbers than its space has dimensions")
    return orientation_of(known, origin[:3], signs, code)


def _note(header: Header) -> Note | None:
    text = header.pairs.get(KEY)
    return find_note(text) if text is not None else None
