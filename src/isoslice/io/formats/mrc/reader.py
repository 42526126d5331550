"""MRC, CCP4 and MAP volumes of electron microscopy, through mrcfile (an extra)."""

from __future__ import annotations

import bz2
import gzip
import math
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Metadata
from isoslice.errors import warn
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.extras import require
from isoslice.io.formats.mrc.header import HEADER_BYTES, MrcHeader, parse_header
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import DEFLATE_RATIO, MAX_JSON, check_memory, check_packed
from isoslice.io.notes import Note, find_note

SUFFIXES = (".mrc", ".map", ".rec", ".ccp4", ".st", ".ali", ".mrcs")
#: Suffixes of files whose sections are not planes of a volume but tilts or particles.
_IMAGE_STACK_SUFFIXES = (".st", ".ali", ".mrcs")
_UNIT = "angstrom"


def is_mrc(name: str) -> bool:
    """Whether a file's name is one of MRC's, compressed or not."""
    lower = name.lower()
    for packed in (".gz", ".bz2"):
        lower = lower.removesuffix(packed)
    return lower.endswith(SUFFIXES)


def read_mrc(path: Path, series: str | None = None) -> Raw:
    """Read an MRC volume, compressed by gzip or bzip2 or not; sizes are in ångström.

    Sections are planes along Z (or the axis in the header). A spacing of exactly 1 along all axes
    means unknown. Uncompressed voxels are read when indexed.

    Raises
    ------
    DataError
        If mrcfile is not installed, the file is damaged or cut off, or its voxels are complex.
    """
    require("mrcfile", "mrcfile", "an MRC file", path=path)
    with reading(path, "an MRC volume"):
        packed = _compression(path)
        with _opened(path, packed) as stream:
            header = parse_header(stream.read(HEADER_BYTES), path)
            extended = stream.read(header.extended if header.extended <= MAX_JSON else 0)
            data: Any
            if packed is None:
                data = LazyArray(_mapped(path, header))
            else:
                if not extended and header.extended:
                    raise ValueError(f"its extended header has {header.extended} bytes")
                data = _unpacked(path, header, stream, packed)
        _warn(path, header)
        note = _note(extended)
        axes = header.axes if header.volumes == 1 else "Q" + header.axes
        unit = _UNIT if header.spacing else None
        spacing, metadata = header.spacing, Metadata(origin=header.origin)
        return Raw(data, axes, spacing, unit, None, note, metadata)


def _compression(path: Path) -> str | None:
    """Return how a file is compressed, by its first bytes, not its name."""
    with path.open("rb") as stream:
        head = stream.read(3)
    return "gzip" if head[:2] == b"\x1f\x8b" else "bzip2" if head == b"BZh" else None


def _opened(path: Path, packed: str | None) -> AbstractContextManager[Any]:
    if packed == "gzip":
        return gzip.open(path)
    return bz2.open(path) if packed == "bzip2" else path.open("rb")


def _shape(header: MrcHeader) -> tuple[int, ...]:
    sections, *plane = header.shape
    if header.volumes == 1:
        return header.shape
    return (header.volumes, sections // header.volumes, *plane)


def _mapped(path: Path, header: MrcHeader) -> NDArray[Any]:
    declared = math.prod(header.shape) * header.dtype.itemsize
    check_packed(path, header.offset + declared, path.stat().st_size)
    return np.memmap(path, header.dtype, "r", header.offset, _shape(header))


def _unpacked(path: Path, header: MrcHeader, stream: Any, packed: str) -> NDArray[Any]:
    declared = check_memory(path, header.shape, header.dtype)
    if packed == "gzip":
        check_packed(path, declared, path.stat().st_size, DEFLATE_RATIO)
    content = stream.read(declared)
    if len(content) != declared:
        raise ValueError(f"it holds {len(content)} bytes of {declared}")
    # The checksum is verified at the end of the compressed stream.
    if len(stream.read(MAX_JSON + 1)) > MAX_JSON:
        raise ValueError("there is more in it than its header says")
    return np.frombuffer(content, header.dtype).reshape(_shape(header))


def _warn(path: Path, header: MrcHeader) -> None:
    name = path.name.lower().removesuffix(".gz").removesuffix(".bz2")
    if name.endswith(_IMAGE_STACK_SUFFIXES) and header.shape[0] > 1:
        warn(
            f"{path}: a tilt series or a stack of particles by its name, whose sections are no "
            "planes of one volume; restore the reconstructed volume instead"
        )
    if header.is_skewed:
        warn(f"{path}: its axes are not perpendicular; voxels are taken as rectangular ones")
    if header.volumes > 1:
        warn(
            f"{path}: holds {header.volumes} volumes; name the axes, for example --axes TZYX, and "
            "choose one with --time"
        )


def _note(content: bytes) -> Note | None:
    if not content.startswith(b'{"isoslice"'):
        return None
    return find_note(content.decode("ascii", "replace"))
