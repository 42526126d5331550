"""MetaImage (.mha, or .mhd beside its voxels): a text header, then voxels, channels fastest.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. The header lists axes from the fastest to the
slowest one; here the slowest comes first, as in NumPy. Positions are in LPS, lengths in
millimetres, as in ITK.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isoslice.data.metadata import Orientation
from isoslice.data.units import unit_name
from isoslice.data.volume import Volume
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.itk.conventions import (
    LENGTH_UNIT,
    affine_in_millimeters,
    in_itk_order,
    note_line,
    numbers,
    spacing_of,
    written_dtype,
)
from isoslice.io.formats.itk.payload import beside, declared_shape, read_payload, write_payload
from isoslice.io.limits import MAX_JSON
from isoslice.io.notes import KEY, Note, find_note
from isoslice.io.orientation import LPS, metadata_of, orientation_of

#: NumPy's names of the voxel types.
_ELEMENT_TYPES = {
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
#: Older names of fields, which ITK still reads.
_OLDER_NAMES = {
    "Orientation": "TransformMatrix",
    "Rotation": "TransformMatrix",
    "Position": "Offset",
    "Origin": "Offset",
    "ElementByteOrderMSB": "BinaryDataByteOrderMSB",
}
#: Characters per line of the note, which is wrapped: older versions of ITK read no longer lines.
_LINE_LENGTH = 200


def read_metaimage(path: Path, series: str | None = None) -> Raw:
    """Read a MetaImage, whose voxels lie behind the header or in a file beside it.

    Uncompressed voxels are memory-mapped. Lists of files, one a plane, are refused.

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
        stored_shape = (*shape, channels) if channels != 1 else shape
        data = _voxels(path, fields, end, stored_shape)
        return _described(data, fields, len(shape), channels)


def parse_header(stream: BinaryIO) -> tuple[dict[str, str], int]:
    """Parse the header: its fields, by their current names, and the offset of what follows.

    Raises
    ------
    ValueError
        If no field says where the voxels are, or the header is too long.
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
        fields[_OLDER_NAMES.get(name, name)] = value.strip()  # the last one wins, as in ITK
        if name == "ElementDataFile":  # always the last field
            if fields.get("ObjectType", "Image").lower() != "image":
                raise ValueError(f"it holds a {fields['ObjectType'][:40]!r}, expected an Image")
            return fields, stream.tell()
    raise ValueError("its header does not say where its voxels are (ElementDataFile)")


def _voxels(path: Path, fields: Mapping[str, str], end: int, shape: tuple[int, ...]) -> Any:
    kind = fields.get("ElementType", "").upper().removesuffix("_ARRAY")
    if kind not in _ELEMENT_TYPES:
        raise ValueError(f"it declares the type {kind!r}")
    order = ">" if _is_true(fields.get("BinaryDataByteOrderMSB", "False")) else "<"
    dtype = np.dtype(_ELEMENT_TYPES[kind]).newbyteorder(order)  # type: ignore[arg-type]
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
    # Bytes to skip from the beginning of the file, the header included.
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
    has_position = matrix != np.eye(dimensions).ravel().tolist() or any(offset)
    unit = unit_name(fields.get("DistanceUnits"))
    # Programs that know no spacing write 1, and neither position nor direction.
    if all(step == 1.0 for step in steps) and not has_position and unit is None:
        steps = []
    spacing = spacing_of(axes, steps)
    unit = unit or (LENGTH_UNIT if steps else None)
    note = _note(fields)
    if note is not None and note["unit"] is None:
        unit = None
    orientation = _orientation(matrix, offset, spacing, dimensions) if steps else None
    metadata = metadata_of(orientation, unit, note, LPS, (spacing.pop("T", None), None))
    stored_axes = axes[::-1] + ("S" if channels != 1 else "")
    return Raw(data, stored_axes, spacing, unit, None, note, metadata)


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
    data, axes = in_itk_order(volume)
    dimensions = "XYZT" if "T" in axes else "XYZ" if "Z" in axes else "XY"
    n = len(dimensions)
    matrix = np.eye(n)
    steps, offset = [1.0] * n, [0.0] * n
    affine = affine_in_millimeters(volume)
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
        "DimSize": " ".join(str(volume.size(axis)) for axis in dimensions),
    }
    if channels > 1:
        fields["ElementNumberOfChannels"] = channels
    text = note_line(volume)
    for number, start in enumerate(range(0, len(text), _LINE_LENGTH)):
        fields[f"{KEY}_{number}"] = (
            f"|{text[start : start + _LINE_LENGTH]}|"  # keeps blanks at the ends
        )
    dtype = written_dtype(data.dtype)
    fields["ElementType"] = next(n for n, known in _ELEMENT_TYPES.items() if known == dtype.name)
    fields["ElementDataFile"] = "LOCAL"
    write_payload(path, "".join(f"{k} = {v}\n" for k, v in fields.items()), data, dtype)


def _text(numbers: Any) -> str:
    return " ".join(repr(float(number)) for number in numbers)
