"""Check that a TIFF is complete: libraries fill missing strips with zeros."""

from __future__ import annotations

import math
import struct
from numbers import Integral
from typing import TYPE_CHECKING, Any, BinaryIO

if TYPE_CHECKING:
    from tifffile import TiffPageSeries


#: Bytes of one value, by TIFF's code of its type.
_TYPE_BYTES = dict(zip(range(1, 14), (1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4), strict=True))
_TYPE_BYTES.update({16: 8, 17: 8, 18: 8})


#: Tags of a page's layout and compression: size, bits, compression, photometric,
#: fill order, samples, rows a strip, planar, predictor, tiles, extra samples, format, JPEG tables.
_LAYOUT = {
    *(254, 256, 257, 258, 259, 262, 266, 274, 277, 278, 284, 317, 322, 323, 330, 338, 339, 347),
    *(530, 32997, 32998),
}
#: Most tags of a directory (TIFF defines a few hundred), and largest ratio of their values to the
#: file: directories may share values, but many that do would take all memory.
_MAX_TAGS, _MAX_SHARING = 4096, 8


class TruncatedTiffError(ValueError):
    """A part of the file is missing."""


def check_chain(stream: BinaryIO, size: int) -> int:
    """Check the chain of image directories to its end.

    Parameters
    ----------
    stream
        The open file.
    size
        Its length in bytes.

    Returns
    -------
    int
        Number of directories.

    Raises
    ------
    TruncatedTiffError
        If it is no TIFF header, the chain or a tag leads beyond the end of the file, or the chain
        is circular.
    """
    stream.seek(0)
    head = stream.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2])
    if order is None or len(head) < 8:
        raise TruncatedTiffError("no TIFF header")
    version = struct.unpack_from(order + "H", head, 2)[0]
    # Per flavour: bytes of the entry count, of one entry, of an offset.
    flavours = {42: ("H", 12, "I"), 43: ("Q", 20, "Q")}
    if version not in flavours or (version == 43 and len(head) < 16):
        raise TruncatedTiffError("no TIFF header")
    count_code, entry_bytes, offset_code = flavours[version]
    offset = struct.unpack_from(order + offset_code, head, 4 if version == 42 else 8)[0]
    seen: set[int] = set()
    values = 0
    while offset:
        if offset in seen:
            raise TruncatedTiffError("its image directories run in a circle")
        seen.add(offset)
        entries = _number(stream, size, offset, order + count_code)
        start = offset + struct.calcsize(count_code)
        after = start + entries * entry_bytes
        if after > size:
            raise TruncatedTiffError("its end is missing")
        if entries > _MAX_TAGS:
            raise TruncatedTiffError(f"an image has {entries} tags")
        stream.seek(start)
        values += _check_values(stream.read(entries * entry_bytes), size, order, offset_code)
        if values > _MAX_SHARING * size + 2**20:
            raise TruncatedTiffError("its tags overlap")
        offset = _number(stream, size, after, order + offset_code)
    if not seen:
        raise TruncatedTiffError("it holds no image")
    return len(seen)


def check_strips(series: TiffPageSeries) -> None:
    """Check that every strip and tile of `series` lies within its file.

    Raises
    ------
    TruncatedTiffError
        If a page, a strip or part of one is missing.
    """
    if series.dataoffset is not None:
        # One block, as in ImageJ's stacks, whose pages have no strips of their own.
        first = series.keyframe.parent.filehandle
        if series.dataoffset + series.nbytes > first.size:
            raise TruncatedTiffError("its end is missing")
        return
    for number, page in enumerate(series.pages, 1):
        if page is None:
            raise TruncatedTiffError(f"plane {number} of {len(series.pages)} is missing")
        check_page(page, f"part of plane {number} of {len(series.pages)} is missing")


def check_page(page: Any, missing: str) -> None:
    """Check that every strip and tile of a page lies within its file.

    Raises
    ------
    TruncatedTiffError
        With the message `missing`, if one does not.
    """
    offsets, counts = page.dataoffsets, page.databytecounts
    if len(offsets) != len(counts) or len(offsets) < math.prod(page.keyframe.chunked):
        raise TruncatedTiffError(missing)
    size = page.parent.filehandle.size
    for offset, count in zip(offsets, counts, strict=True):
        if not all(isinstance(n, Integral) for n in (offset, count)):  # text in a damaged tag
            raise TruncatedTiffError(missing)
        # Sparse files, which leave strips out (offset 0), are refused too.
        if not (offset > 0 and count > 0 and offset + count <= size):
            raise TruncatedTiffError(missing)


def page_layout(stream: Any, offset: int) -> frozenset[tuple[int, ...]] | None:
    """Return a directory's tags of layout and compression, for comparison.

    Parameters
    ----------
    stream
        The open file, whose chain of directories was checked.
    offset
        Of the directory.

    Returns
    -------
    Tags of the layout; None if the value of one is stored outside the directory.
    """
    stream.seek(0)
    head = stream.read(4)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "<")
    big = struct.unpack_from(order + "H", head, 2)[0] == 43
    count_code, offset_code = ("Q", "Q") if big else ("H", "I")
    stream.seek(offset)
    entries = struct.unpack(order + count_code, stream.read(struct.calcsize(count_code)))[0]
    content = stream.read(entries * (20 if big else 12))
    layout = set()
    for code, kind, count, value in struct.iter_unpack(f"{order}HH{offset_code * 2}", content):
        if code in _LAYOUT:
            if _TYPE_BYTES.get(kind, 0) * count > struct.calcsize(offset_code):
                return None
            layout.add((code, kind, count, value))
    return frozenset(layout)


def _check_values(entries: bytes, size: int, order: str, offset_code: str) -> int:
    """Check that the values of a directory's tags lie in the file.

    Returns the size in bytes of the values outside the directory.
    """
    total = 0
    for _, kind, count, value in struct.iter_unpack(f"{order}HH{offset_code * 2}", entries):
        length = _TYPE_BYTES.get(kind, 0) * count
        if length <= struct.calcsize(offset_code):
            continue
        if value + length > size:
            raise TruncatedTiffError("some of its metadata is missing")
        total += length
    return total


def _number(stream: BinaryIO, size: int, offset: int, code: str) -> int:
    length = struct.calcsize(code)
    if offset + length > size:
        raise TruncatedTiffError("its end is missing")
    stream.seek(offset)
    return int(struct.unpack(code, stream.read(length))[0])
