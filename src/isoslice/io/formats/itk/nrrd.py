"""NRRD: a text header, and voxels behind it or in a file of their own.

Format: http://teem.sourceforge.net/nrrd/format.html. The header lists axes from the fastest to the
slowest one; here the slowest comes first, as in NumPy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.metadata import Orientation
from isoslice.data.time_units import time_name
from isoslice.data.units import unit_name
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.itk.conventions import LENGTH_UNIT, numbers, spacing_of
from isoslice.io.formats.itk.nrrd_header import (
    TYPE_NAMES,
    Header,
    Vector,
    parse_header,
    quoted,
    vectors,
)
from isoslice.io.formats.itk.payload import beside, declared_shape, read_payload
from isoslice.io.limits import MAX_JSON
from isoslice.io.notes import KEY, find_note
from isoslice.io.orientation import LPS, RAS, metadata_of, orientation_of

_ENCODINGS = {
    "raw": ("raw",),
    "text": ("txt", "text", "ascii"),
    "hex": ("hex",),
    "gzip": ("gz", "gzip"),
    "bzip2": ("bz2", "bzip2"),
}
#: Signs that turn a space's coordinates into RAS, by the names of the space.
_SPACES = {
    "right-anterior-superior": RAS,
    "ras": RAS,
    "left-anterior-superior": (-1.0, 1.0, 1.0),
    "las": (-1.0, 1.0, 1.0),
    "left-posterior-superior": LPS,
    "lps": LPS,
}
#: Parts of the names of kinds of axes that hold samples of one voxel.
_CHANNEL_KINDS = ("color", "vector", "normal", "gradient", "quaternion", "matrix", "complex")
#: NIfTI's codes: scanner-based coordinates, and aligned ones (here: a space without a name).
_SCANNER, _ALIGNED = 1, 2


def read_nrrd(path: Path, series: str | None = None) -> Raw:
    """Read an NRRD image, whose voxels lie behind the header or in a file beside it.

    Uncompressed voxels are memory-mapped. Lists of files, one a plane, are refused.

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
    dtype = next((np.dtype(name) for name, known in TYPE_NAMES.items() if kind in known), None)
    declared = fields.get("encoding", "").lower()
    encoding = next((name for name, known in _ENCODINGS.items() if declared in known), None)
    if dtype is None or encoding is None:
        raise ValueError(f"it declares the type {kind!r} and the encoding {declared!r}")
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
        start = _skip_lines(path, start, lines)
    return read_payload(path, None if skip == -1 else start + skip, shape, dtype, encoding)


def _skip_lines(path: Path, start: int, lines: int) -> int:
    with path.open("rb") as stream:
        stream.seek(start)
        for _ in range(min(lines, 2**16)):
            if not stream.readline(MAX_JSON).endswith(b"\n"):
                raise ValueError(f"it asks to skip {lines} lines, which it has not")
        return stream.tell()


def _described(data: Any, header: Header, dimension: int) -> Raw:
    """Describe voxels by their header; the axes go from the slowest to the fastest."""
    fields = header.fields
    steps = vectors(fields.get("space directions", "")) or [None] * dimension
    kinds = [kind.lower() for kind in fields.get("kinds", "").split()] or [""] * dimension
    spacings = numbers(fields.get("spacings", "")) or [math.nan] * dimension
    if not len(steps) == len(kinds) == len(spacings) == dimension:
        raise ValueError(f"its header does not describe {dimension} axes throughout")
    axes = _letters(kinds, steps)
    pairs = zip(steps, spacings, strict=True)
    spacing = spacing_of(axes, [s if v is None else math.hypot(*v) for v, s in pairs])
    space = fields.get("space", "").lower().removesuffix("-time")
    signs, code = (_SPACES[space], _SCANNER) if space in _SPACES else (LPS, _ALIGNED)
    units = quoted(fields.get("space units", "")) or quoted(fields.get("units", ""))
    unit = unit_name(next((u for u in units if unit_name(u)), None))
    note = find_note(header.pairs.get(KEY))
    # Programs that name a scanner's space mean millimetres.
    if unit is None and code == _SCANNER and (note is None or note["unit"] is not None):
        unit = LENGTH_UNIT
    vectors_xyz = [steps[axes.index(axis)] for axis in "XYZ" if axis in axes]
    orientation = _orientation(fields, vectors_xyz, signs, code)
    time = spacing.pop("T", None), next(filter(None, map(time_name, units)), None)
    metadata = metadata_of(orientation, unit, note, signs, time)
    thickness = _thickness(fields, axes)
    metadata = replace(metadata, slice_thickness=thickness)
    return Raw(data, "".join(axes[::-1]), spacing, unit, None, note, metadata)


def _thickness(fields: Mapping[str, str], axes: Sequence[str]) -> float | None:
    """Return the thickness of what a sample along Z stands for, if it is stated."""
    stated = numbers(fields.get("thicknesses", ""))
    known = dict(zip(axes, stated, strict=False)).get("Z", math.nan)
    return known if 0 < known < math.inf else None


def _letters(kinds: Sequence[str], steps: Sequence[Vector]) -> list[str]:
    """Name the axes, from the fastest on: those in space X, Y, Z; a fourth one is T."""
    letters = iter("XYZT")
    given = any(vector is not None for vector in steps)
    axes = []
    for kind, vector in zip(kinds, steps, strict=True):
        if kind in ("time", "list"):
            axes.append("T")  # 3D Slicer's lists of volumes are restored one by one
        elif any(part in kind for part in _CHANNEL_KINDS):
            axes.append("S")
        elif vector is not None or not given:
            axes.append(next(letters, "Q"))
        else:
            axes.append("Q")
    return axes


def _orientation(
    fields: Mapping[str, str], steps: Sequence[Vector], signs: Sequence[float], code: int
) -> Orientation | None:
    known = [vector[:3] for vector in steps if vector is not None and len(vector) >= 3]
    if len(known) != 3:
        return None
    origin = next(iter(vectors(fields.get("space origin", ""))), None) or (0.0, 0.0, 0.0)
    if len(origin) < 3:
        raise ValueError("its origin has fewer numbers than its space has dimensions")
    return orientation_of(known, origin[:3], signs, code)
