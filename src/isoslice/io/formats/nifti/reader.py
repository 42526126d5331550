"""Reading NIfTI through nibabel (an extra), with axes in its order, X first."""

from __future__ import annotations

import gzip
import io
import math
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display, Matrix, Metadata, Orientation
from isoslice.errors import DataError, IsosliceError, warn
from isoslice.io.decode_errors import quiet, reading
from isoslice.io.decoded import Raw
from isoslice.io.extras import require
from isoslice.io.limits import DEFLATE_RATIO, MAX_JSON, check_memory, check_packed, read_small
from isoslice.io.notes import Note, find_note
from isoslice.io.orientation import RAS, position_of, time_step_of, valid_affine

_UNIT_CODES = {1: "meter", 2: "millimeter", 3: "micrometer"}
_TIME_CODES = {8: "second", 16: "millisecond", 24: "microsecond"}
#: Codes of hertz, parts per million and radians per second, for axes that are not time.
_OTHER_CODES = (32, 40, 48)
COMMENT_CODE = 6  # of a header extension with plain text
_LABELS_INTENT, _VECTOR_INTENT = 1002, 1007
#: Type and position of the field ``vox_offset``, by the length of the header.
_VOX_OFFSET_FIELD = {348: ("f4", 108), 540: ("i8", 168)}
_HEADER_BYTES = 540
#: Most bytes that may follow the voxels in a compressed file.
_MAX_TRAILING_BYTES = 2**20
#: Types for integers scaled by integers; the first that holds all values is taken.
_INTEGER_TYPES = ("int16", "uint16", "int32", "uint32")


def read_nifti(path: Path, series: str | None = None) -> Raw:
    """Read a NIfTI-1 or NIfTI-2 image; axes are X, Y, Z, T, C, as many as there are.

    Unscaled voxels (slope 1, intercept 0) keep their type. Integers scaled by integers, such as CT
    numbers with an intercept of -1024, stay integers, of a type that holds them; all other scaled
    voxels become float32.

    Raises
    ------
    DataError
        If nibabel is not installed, or the file is damaged or cut off.
    """
    nibabel = nibabel_or(DataError)
    with reading(path, "a NIfTI image"), quiet("nibabel.global"), opened(path) as stream:
        kind = nibabel.Nifti2Image if _version(stream) == 2 else nibabel.Nifti1Image
        # From a stream: a truncated memory-mapped file would fail later, or crash.
        image = kind.from_stream(stream)
        data = voxels(path, image)
        check_end(path, stream)
        return _described(path, data, image.header)


def read_pair(path: Path, header: Path, image: Path) -> Raw:
    """Read a NIfTI image in two files; `path` is the given one, for messages.

    Raises
    ------
    DataError
        If nibabel is not installed, or a file is damaged or cut off.
    """
    nibabel = nibabel_or(DataError)
    with reading(path, "a NIfTI image"), quiet("nibabel.global"), opened(image) as stream:
        content = io.BytesIO(read_small(header))
        kind = nibabel.Nifti2Pair if _version(content) == 2 else nibabel.Nifti1Pair
        holders = {
            "header": nibabel.FileHolder(fileobj=content),
            "image": nibabel.FileHolder(fileobj=stream),
        }
        pair = kind.from_file_map(holders, mmap=False)
        data = voxels(image, pair)
        check_end(image, stream)
        return _described(path, data, pair.header)


def opened(path: Path) -> AbstractContextManager[Any]:
    """Open a file, decompressed if its name ends in ``.gz`` or ``.mgz``."""
    return gzip.open(path) if _is_compressed(path) else path.open("rb")


def check_end(path: Path, stream: Any) -> None:
    """Read a compressed file to its end, which verifies its checksum.

    Raises
    ------
    ValueError
        If there is much more data.
    """
    if _is_compressed(path) and len(stream.read(_MAX_TRAILING_BYTES + 1)) > _MAX_TRAILING_BYTES:
        raise ValueError("there is more in it than its header says")


def check_size(path: Path, shape: Any, dtype: Any) -> None:
    """Refuse an image that exceeds its file or, as stored or as float32, free memory."""
    stored = check_memory(path, shape, dtype)
    check_memory(path, shape, np.float32)
    check_packed(path, stored, path.stat().st_size, DEFLATE_RATIO if _is_compressed(path) else 1)


def nibabel_or(kind: type[IsosliceError]) -> ModuleType:
    """Import nibabel, or raise an error of type `kind` that says how to install it."""
    return require("nibabel", "nibabel", "a NIfTI file", kind)


def voxels(path: Path, image: Any) -> NDArray[Any]:
    """Return a NIfTI image's scaled voxels (X, Y, Z, T, C); colours are the last dimension."""
    proxy = image.dataobj
    check_size(path, proxy.shape, proxy.dtype)
    slope, inter = float(proxy.slope), float(proxy.inter)
    if proxy.dtype.names is not None:
        stored = proxy.get_unscaled()
        return np.stack([stored[name] for name in proxy.dtype.names], axis=-1)
    if slope == 1.0 and inter == 0.0:
        return np.asarray(proxy.get_unscaled())
    small = abs(slope) < 2**31 and abs(inter) < 2**31
    if proxy.dtype.kind in "iu" and small and slope.is_integer() and inter.is_integer():
        stored = np.asarray(proxy.get_unscaled())
        scaled = _scaled_integers(stored, int(slope), int(inter))
        if scaled is not None:
            return scaled
        return np.asarray(stored * np.float32(slope) + np.float32(inter), np.float32)
    return np.asarray(image.get_fdata(dtype=np.float32))


def _scaled_integers(stored: NDArray[Any], slope: int, inter: int) -> NDArray[Any] | None:
    """Scale integers by integers exactly, or return None where no type holds the result."""
    ends = [int(stored.min(initial=0)), int(stored.max(initial=0))]
    low, high = sorted(end * slope + inter for end in ends)
    for name in (stored.dtype.name, *_INTEGER_TYPES):
        if np.iinfo(name).min <= low and high <= np.iinfo(name).max:
            # NumPy's integers wrap around, which is harmless since the result fits.
            kind = np.dtype(name)
            result = stored.astype(kind)
            result *= np.int64(slope).astype(kind)
            result += np.int64(inter).astype(kind)
            return result
    return None


def _described(path: Path, data: NDArray[Any], header: Any) -> Raw:
    """Describe voxels by their NIfTI header."""
    # Dimensions 6 and 7 exist in NIfTI, but have no letter; to_volume() drops those of length 1.
    dimensions = int(header["dim"][0])
    axes = "XYZTCQQ"[:dimensions]
    intent = int(header["intent_code"])
    if dimensions == 4 and intent == _VECTOR_INTENT:
        axes = "XYZC"
    if intent == _LABELS_INTENT:
        warn(
            f"{path}: got an image that its header calls labels, which must not be interpolated; "
            "give the image that they were made from"
        )
    axes += "S" * (data.ndim - len(axes))
    zooms = [abs(float(zoom)) for zoom in header.get_zooms()[:3]]
    # The lowest three bits are the spatial unit; nibabel fails on unknown codes.
    unit = _UNIT_CODES.get(int(header["xyzt_units"]) & 7)
    spacing = {a: zoom for a, zoom in zip("XYZ", zooms, strict=False) if 0 < zoom < float("inf")}
    # Programs write unknown spacing as 1 without a unit.
    if unit is None and all(zoom == 1.0 for zoom in zooms):
        spacing = {}
    note = _note(header)
    position = position_of(_orientation(header), unit, note, RAS)
    step, time_unit = time_step_of(*_time(header), note) if "T" in axes else (None, None)
    metadata = Metadata(position.origin, position.orientation, step, time_unit, _displays(header))
    return Raw(data, axes, spacing, unit, None, note, metadata)


def _orientation(header: Any) -> Orientation | None:
    sform, sform_code = _matrix(header, "sform")
    qform, qform_code = _matrix(header, "qform")
    if sform is None and qform is None:
        return None
    return Orientation(sform, qform, sform_code, qform_code)


def _matrix(header: Any, name: str) -> tuple[Matrix | None, int]:
    """Return the sform or qform and its code; None and 0 where it is missing or invalid."""
    code = int(header[f"{name}_code"])
    if code <= 0:
        return None, 0
    try:
        matrix = valid_affine(getattr(header, f"get_{name}")(coded=False))
    except ValueError:  # also nibabel's HeaderDataError, of invalid quaternions
        matrix = None
    if matrix is None:
        return None, 0
    # Undefined codes count as an aligned space.
    return matrix, code if code <= 5 else 2


def _time(header: Any) -> tuple[float | None, str | None]:
    """Return the time between volumes and its unit, None where unknown."""
    code, step = int(header["xyzt_units"]) & 56, float(header["pixdim"][4])
    if code in _OTHER_CODES or not 0 < step < math.inf:
        return None, None
    return step, _TIME_CODES.get(code)


def _displays(header: Any) -> tuple[Display, ...] | None:
    low, high = float(header["cal_min"]), float(header["cal_max"])
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        return None
    return (Display(window=(low, high)),)


def _version(stream: Any) -> int:
    """Return NIfTI's version, and check the bytes before the voxels, which are read whole."""
    head = stream.read(_HEADER_BYTES)
    stream.seek(0)
    for order in "<>":
        length = int(np.frombuffer(head, order + "i4", 1)[0])
        if length in _VOX_OFFSET_FIELD:
            code, position = _VOX_OFFSET_FIELD[length]
            offset = float(np.frombuffer(head, order + code, 1, position)[0])
            if not 0 <= offset <= MAX_JSON:
                raise ValueError(f"its voxels begin at byte {offset}, expected up to {MAX_JSON}")
            return 1 if length == 348 else 2
    raise ValueError("no NIfTI header")


def _is_compressed(path: Path) -> bool:
    return path.name.lower().endswith((".gz", ".mgz"))


def _note(header: Any) -> Note | None:
    for extension in getattr(header, "extensions", ()):
        if extension.get_code() == COMMENT_CODE:
            content = extension.get_content()
            text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
            note = find_note(str(text).rstrip("\0"))
            if note is not None:
                return note
    return None
