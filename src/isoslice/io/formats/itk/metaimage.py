"""MetaImage (.mha; .mhd beside its voxels): a text header, then voxels, colour fastest.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. Sizes and all that is said of axes go from
the fastest to the slowest one; here the slowest comes first, as everywhere in NumPy. Places are
LPS, and lengths millimetres, as ITK takes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isoslice.data.metadata import Orientation
from isoslice.data.units import unit_name
from isoslice.data.volume import Volume
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.itk.nrrd_header import numbers
from isoslice.io.formats.itk.nrrd_writer import UNIT, noted, ratio_of, stored
from isoslice.io.formats.itk.payload import beside, declared_shape, read_payload, write_payload
from isoslice.io.limits import MAX_JSON
from isoslice.io.notes import KEY, Note, find_note
from isoslice.io.orientation import LPS, orientation_of, placed, told

_TYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG": "int32",
    "MET_ULONG": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}
#: Older names of fields that ITK still reads.
_NAMES = {
    "Orientation": "TransformMatrix",
    "Rotation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
#: The note goes over lines of this length: ITK's older versions read no longer ones.
_LINE = 200


def read_metaimage(path: Path, series: str | None = None) -> Raw:
    """Read a MetaImage, whose voxels lie behind the header or in a file beside it.

    Unpacked voxels are mapped. Lists of planes in many files are refused.

    Raises
    ------
    DataError
        If the file is damaged or cut off, or its voxels lie elsewhere.
    """
    with reading(path, "a MetaImage"):
        with path.open("rb") as stream:
            fields, end = parse_header(stream)
        shape = declared_shape(fields.get("NDims", "0"), fields.get("DimSize", ""))
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        whole = (*shape, channels) if channels != 1 else shape
        data = _voxels(path, fields, end, whole)
        return _described(data, fields, len(shape), channels)


def parse_header(stream: BinaryIO) -> tuple[dict[str, str], int]:
    """Return the fields at the beginning of a file, by today's names, and the byte behind them.

    Raises
    ------
    ValueError
        If there is none that says where the voxels are, or the header is too long.
    """
    fields: dict[str, str] = {}
    while line := stream.readline(MAX_JSON):
        if stream.tell() > 2 * MAX_JSON:
            raise ValueError(f"its header is longer than {2 * MAX_JSON} bytes")
        name, separator, value = line.decode("utf-8", "replace").partition("=")
        if not separator:
            if line.strip():
                raise ValueError(f"a line of its header is no field ({line[:40]!r})")
            continue
        name = name.strip()
        fields[_NAMES.get(name, name)] = value.strip()  # of several the last one counts, as in ITK
        if name == "ElementDataFile":  # always the last one
            if fields.get("ObjectType", "Image").lower() != "image":
                raise ValueError(f"it holds a {fields['ObjectType'][:40]!r}, expected an Image")
            return fields, stream.tell()
    raise ValueError("its header does not say where its voxels are (ElementDataFile)")


def _voxels(path: Path, fields: Mapping[str, str], end: int, shape: tuple[int, ...]) -> Any:
    kind = fields.get("ElementType", "").upper().removesuffix("_ARRAY")
    if kind not in _TYPES:
        raise ValueError(f"it declares the type {kind!r}")
    order = ">" if _is_true(fields.get("BinaryDataByteOrderMSB", "False")) else "<"
    dtype = np.dtype(_TYPES[kind]).newbyteorder(order)  # type: ignore[arg-type]
    named = fields["ElementDataFile"]
    if named.upper() != "LOCAL":
        path, end = beside(path, named), 0
    encoding = "raw"
    if not _is_true(fields.get("BinaryData", "True")):
        encoding = "text"
    elif _is_true(fields.get("CompressedData", "False")):
        encoding = "zlib"
    skip = int(fields.get("HeaderSize", "0"))
    if skip == -1 and encoding == "raw":
        return read_payload(path, None, shape, dtype, encoding)
    # Counted from the file's first byte, even where that is the header's own.
    if skip != 0 and skip < end:
        raise ValueError(f"it asks to skip {skip} bytes, expected none or at least {end}")
    return read_payload(path, skip or end, shape, dtype, encoding)


def _described(data: Any, fields: Mapping[str, str], dimensions: int, channels: int) -> Raw:
    axes = "XYZTQQQQ"[:dimensions]
    steps = numbers(fields.get("ElementSpacing", "")) or numbers(fields.get("ElementSize", ""))
    matrix = numbers(fields.get("TransformMatrix", "")) or np.eye(dimensions).ravel().tolist()
    offset = numbers(fields.get("Offset", "")) or [0.0] * dimensions
    if len(matrix) != dimensions**2 or len(offset) != dimensions:
        raise ValueError(f"its header does not describe {dimensions} axes throughout")
    turned = matrix != np.eye(dimensions).ravel().tolist() or any(offset)
    unit = unit_name(fields.get("DistanceUnits"))
    # Programs that know no spacing write 1, and neither place nor direction.
    if all(step == 1.0 for step in steps) and not turned and unit is None:
        steps = []
    spacing = {
        axis: abs(step)
        for axis, step in zip(axes, steps, strict=False)
        if axis in "XYZT" and 0 < abs(step) < math.inf
    }
    unit = unit or (UNIT if steps else None)
    note = _note(fields)
    if note is not None and note["unit"] is None:
        unit = None
    orientation = _orientation(matrix, offset, spacing, dimensions) if steps else None
    metadata = told(orientation, unit, note, LPS, (spacing.pop("T", None), None))
    letters = axes[::-1] + ("S" if channels != 1 else "")
    return Raw(data, letters, spacing, unit, None, note, metadata)


def _orientation(
    matrix: list[float], offset: list[float], spacing: Mapping[str, float], dimensions: int
) -> Orientation | None:
    if dimensions < 3:
        return None
    directions = np.array(matrix).reshape(dimensions, dimensions)[:3, :3]
    lengths = np.array([[spacing.get(axis, 1.0)] for axis in "XYZ"])
    return orientation_of(directions * lengths, offset[:3], LPS)


def _is_true(text: str) -> bool:
    return text[:1] in ("T", "t", "1")


def _note(fields: Mapping[str, str]) -> Note | None:
    parts: list[str] = []
    while (part := fields.get(f"{KEY}_{len(parts)}")) is not None:
        parts.append(part[1:-1])
    return find_note("".join(parts)) if parts else None


def write_metaimage(path: Path, volume: Volume) -> None:
    """Write `volume` with its orientation, lengths in millimetres, time as a fourth axis."""
    data, axes = stored(volume)
    places = "XYZT" if "T" in axes else "XYZ" if "Z" in axes else "XY"
    sizes = {axis: volume.size(axis) for axis in places}
    n = len(places)
    matrix = np.eye(n)
    steps, offset = [1.0] * n, [0.0] * n
    affine = placed(volume, ratio_of(volume), LPS)
    oriented = volume.metadata.orientation is not None
    turned = oriented and n > 2
    for index in range(min(n, 3)):
        steps[index] = float(np.linalg.norm(affine[:3, index]))
        if turned or not oriented:
            offset[index] = float(affine[index, 3])
        if turned:
            matrix[index, :3] = affine[:3, index] / steps[index]
    if n == 4:
        steps[3] = float(volume.metadata.time_step or 1.0)
    channels = volume.size("C")
    fields = {
        "ObjectType": "Image",
        "NDims": n,
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": _text(matrix.ravel()),
        "Offset": _text(offset),
        "CenterOfRotation": _text([0.0] * n),
        "AnatomicalOrientation": "RAI" if turned else "???"[:n],
        "ElementSpacing": _text(steps),
        "DimSize": " ".join(str(size) for size in sizes.values()),
    }
    if channels > 1:
        fields["ElementNumberOfChannels"] = channels
    text = noted(volume)
    for number, start in enumerate(range(0, len(text), _LINE)):
        fields[f"{KEY}_{number}"] = f"|{text[start : start + _LINE]}|"  # blanks at ends are kept
    kind = data.dtype.newbyteorder("=").name
    fields["ElementType"] = next(name for name, own in _TYPES.items() if own == kind)
    fields["ElementDataFile"] = "LOCAL"
    write_payload(path, "".join(f"{k} = {v}\n" for k, v in fields.items()), data)


def _text(numbers: Any) -> str:
    return " ".join(repr(float(number)) for number in numbers)
