"""NIfTI, through nibabel (an extra): read and written in its own order, X first."""

from __future__ import annotations

import gzip
from contextlib import AbstractContextManager
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from isoslice.errors import DataError, IsosliceError, OutputError
from isoslice.io.extras import require
from isoslice.io.failure import quiet, reading
from isoslice.io.limits import DEFLATE_RATIO, MAX_JSON, check_memory, check_packed
from isoslice.io.notes import Note, find_note, make_note, note_text
from isoslice.io.raw import Raw
from isoslice.io.units import convert, unit_name
from isoslice.volume import Volume

_UNITS = {"meter": "meter", "mm": "millimeter", "micron": "micrometer"}
_UNIT_CODES = {1: "meter", 2: "millimeter", 3: "micrometer"}
_COMMENT = 6  # code of a header extension that holds plain text
_NIFTI1_LONGEST = 2**15 - 1
#: Where each header, known by its length, says at which byte the voxels begin, and in which type.
_OFFSET = {348: ("f4", 108), 540: ("i8", 168)}
_HEADER_BYTES = 540
#: Bytes that may follow the voxels in a compressed file.
_MOST_AFTER = 2**20


def read_nifti(path: Path, series: str | None = None) -> Raw:
    """Read a NIfTI-1 or NIfTI-2 image; axes are X, Y, Z, T, C, as many as there are.

    The stored type is kept where values are stored unscaled (slope 1, intercept 0); scaled values
    become float32. Orientation (the affine matrix) is not kept.

    Raises
    ------
    DataError
        If nibabel is not installed, or the file is damaged or cut off.
    """
    nibabel = _nibabel(DataError)
    with reading(path, "a NIfTI image"), quiet("nibabel.global"), _opened(path) as stream:
        kind = nibabel.Nifti2Image if _version(stream) == 2 else nibabel.Nifti1Image
        # From a stream, not mapped: that would notice a truncated file only later, or crash.
        image = kind.from_stream(stream)
        proxy = image.dataobj
        _check_size(path, proxy)
        trivial = float(proxy.slope) == 1.0 and float(proxy.inter) == 0.0
        stored = proxy.get_unscaled() if trivial else image.get_fdata(dtype=np.float32)
        # The end of a compressed stream holds its checksum, which is looked at only there.
        if _packed(path) and len(stream.read(_MOST_AFTER + 1)) > _MOST_AFTER:
            raise ValueError("there is more in it than its header says")
        return _raw(np.asarray(stored), image.header)


def write_nifti(path: Path, volume: Volume) -> None:
    """Write `volume` with axes in NIfTI's order (X, Y, Z, T, C) and a diagonal affine.

    The affine scales by the spacing alone: the source's orientation and origin are not known.
    Units NIfTI has no code for (nanometre and others) are converted to micrometres.

    Raises
    ------
    OutputError
        If nibabel is not installed.
    """
    nibabel = _nibabel(OutputError)
    last = 5 if "C" in volume.axes else 4 if "T" in volume.axes else 3 if "Z" in volume.axes else 2
    axes = "XYZTC"[:last]
    data = volume.tczyx().transpose(["TCZYX".index(axis) for axis in "XYZTC"])
    data = data.reshape(data.shape[:last])
    unit = unit_name(volume.unit)
    code = next((code for code, name in _UNITS.items() if name == unit), "micron")
    steps = {
        a: convert(float(s), unit, _UNITS[code]) if unit else float(s)
        for a, s in volume.spacing.items()
    }
    affine = np.diag([steps.get(axis, 1.0) for axis in "XYZ"] + [1.0]) if steps else None
    large = max(data.shape) > _NIFTI1_LONGEST
    image = (nibabel.Nifti2Image if large else nibabel.Nifti1Image)(data, affine)
    image.header.set_xyzt_units(code if unit and steps else 0, 0)
    image.header.set_zooms([steps.get(axis, 1.0) for axis in axes])
    noted = "".join(axis for axis in axes if axis in volume.axes)
    text = note_text(make_note(volume, noted)).encode("ascii")
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(_COMMENT, text))
    nibabel.save(image, path)


def _opened(path: Path) -> AbstractContextManager[Any]:
    return gzip.open(path) if _packed(path) else path.open("rb")


def _version(stream: Any) -> int:
    """Return NIfTI's version, and check how much lies before the voxels, which is read whole."""
    head = stream.read(_HEADER_BYTES)
    stream.seek(0)
    for order in "<>":
        length = int(np.frombuffer(head, order + "i4", 1)[0])
        if length in _OFFSET:
            code, place = _OFFSET[length]
            offset = float(np.frombuffer(head, order + code, 1, place)[0])
            if not 0 <= offset <= MAX_JSON:
                raise ValueError(f"its voxels begin at byte {offset}, expected up to {MAX_JSON}")
            return 1 if length == 348 else 2
    raise ValueError("no NIfTI header")


def _check_size(path: Path, proxy: Any) -> None:
    stored = check_memory(path, proxy.shape, proxy.dtype)
    check_memory(path, proxy.shape, np.float32)
    check_packed(path, stored, path.stat().st_size, DEFLATE_RATIO if _packed(path) else 1)


def _packed(path: Path) -> bool:
    return path.name.lower().endswith(".gz")


def _raw(data: np.ndarray[Any, Any], header: Any) -> Raw:
    # Dimensions 6 and 7 exist in NIfTI, but have no letter; finish() drops those of length 1.
    axes = "XYZTCQQ"[: data.ndim]
    if data.ndim == 4 and header["intent_code"] == 1007:
        axes = "XYZC"
    zooms = [abs(float(zoom)) for zoom in header.get_zooms()[:3]]
    # The code of the spatial unit sits in the lowest three bits; nibabel chokes on unknown ones.
    unit = _UNIT_CODES.get(int(header["xyzt_units"]) & 7)
    spacing = {a: zoom for a, zoom in zip("XYZ", zooms, strict=False) if 0 < zoom < float("inf")}
    # Programs that know no spacing write 1 without a unit.
    if unit is None and all(zoom == 1.0 for zoom in zooms):
        spacing = {}
    return Raw(data, axes, spacing, unit, None, _note(header))


def _note(header: Any) -> Note | None:
    for extension in header.extensions:
        if extension.get_code() == _COMMENT:
            content = extension.get_content()
            text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
            note = find_note(str(text).rstrip("\0"))
            if note is not None:
                return note
    return None


def _nibabel(kind: type[IsosliceError]) -> ModuleType:
    return require("nibabel", "nibabel", "a NIfTI file", kind)
