"""MetaImage (.mha; .mhd beside its voxels): a text header, then voxels, colour fastest.

Format: https://itk.org/Wiki/ITK/MetaIO/Documentation. Sizes and all that is said of axes go from the
fastest to the slowest one; here the slowest comes first, as everywhere in NumPy. Places are LPS, and
lengths millimetres, as ITK takes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from isoslice.io.failure import reading
from isoslice.io.limits import MAX_DIMENSIONS, MAX_JSON
from isoslice.io.notes import KEY, Note, find_note
from isoslice.io.nrrd_write import UNIT, noted, ratio_of, stored
from isoslice.io.payload import beside, read_payload, write_payload
from isoslice.io.place import LPS, orientation_of, placed, told_place, told_time
from isoslice.io.raw import Raw
from isoslice.io.units import unit_name
from isoslice.metadata import Metadata, Orientation
from isoslice.volume import Volume

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
        sizes = [int(word) for word in fields.get("DimSize", "").split()]
        dimensions = int(fields.get("NDims", "0"))
        if not 2 <= dimensions < MAX_DIMENSIONS or len(sizes) != dimensions:
            raise ValueError(f"it declares {dimensions} dimensions of the sizes {sizes}")
        channels = int(fields.get("ElementNumberOfChannels", "1"))
        shape = (*sizes[::-1], channels) if channels != 1 else tuple(sizes[::-1])
        data = _voxels(path, fields, end, shape)
        return _described(data, fields, dimensions, channels)


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
        fields.setdefault(_NAMES.get(name, name), value.strip())
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
    if named.upper().startswith("LIST") or "%" in named:
        raise ValueError("its voxels are spread over many files; save it as one .mha")
    if named.upper() != "LOCAL":
        path, end = beside(path, named.removeprefix("./")), 0
    encoding = "raw"
    if not _is_true(fields.get("BinaryData", "True")):
        encoding = "text"
    elif _is_true(fields.get("CompressedData", "False")):
        encoding = "zlib"
    skip = int(fields.get("HeaderSize", "0"))
    if skip == -1 and encoding == "raw":
        end, skip = path.stat().st_size - math.prod(shape) * dtype.itemsize, 0
    if skip < 0:
        raise ValueError(f"it asks to skip {skip} bytes")
    return read_payload(path, end + skip, shape, dtype, encoding)


def _described(data: Any, fields: Mapping[str, str], dimensions: int, channels: int) -> Raw:
    axes = "XYZTQQQQ"[:dimensions]
    steps = _floats(fields, "ElementSpacing") or _floats(fields, "ElementSize")
    matrix = _floats(fields, "TransformMatrix") or np.eye(dimensions).ravel().tolist()
    offset = _floats(fields, "Offset") or [0.0] * dimensions
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
    place = told_place(orientation, unit, note, LPS)
    step, time_unit = told_time(spacing.pop("T", None), None, note)
    metadata = Metadata(place.origin, place.orientation, step, time_unit)
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


def _floats(fields: Mapping[str, str], name: str) -> list[float]:
    return [float(word) for word in fields.get(name, "").split()]


def _is_true(text: str) -> bool:
    return text[:1] in ("T", "t", "1")


def _note(fields: Mapping[str, str]) -> Note | None:
    parts = []
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
