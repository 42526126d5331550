"""Strips and tiles that hold a whole picture (JPEG and the like): how large it says it is.

Libraries unpack these to the size that the picture itself states, whatever the TIFF around it
says: a few hundred bytes of JPEG 2000 may become gigabytes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tifffile import TiffPageSeries

#: Kinds of compression, by TIFF's codes, that unpack to what the TIFF says, as we check elsewhere:
#: none, CCITT, LZW, deflate, PackBits, LZMA, Zstandard. WebP is none of them, but ends at 1 GB.
_PLAIN = frozenset((1, 2, 3, 4, 5, 8, 32773, 32946, 34925, 34926, 34927, 50000, 50001))
#: Bytes at the front of a strip in which the size must stand.
_FRONT = 2**18
#: A picture may reach beyond the edge of the image up to whole blocks of this many pixels.
_BLOCK = 64
_JP2 = b"\0\0\0\x0cjP  "


def check_pictures(series: TiffPageSeries) -> None:
    """Check that pictures in strips and tiles are no larger than the TIFF says.

    Raises
    ------
    ValueError
        If one is larger or states no size, or the kind of compression is none that is known.
    """
    page: Any = series.keyframe
    code = int(page.compression)
    if code in _PLAIN:
        return
    size_of = _SIZES.get(code)
    if size_of is None:
        name = getattr(page.compression, "name", code)
        raise ValueError(f"it is compressed as {name}, expected LZW, deflate, Zstandard or JPEG")
    height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    width = page.tilewidth if page.is_tiled else page.imagewidth
    for frame in series.pages:
        if frame is None:
            continue
        file = frame.parent.filehandle
        for offset, count in zip(frame.dataoffsets, frame.databytecounts, strict=False):
            file.seek(offset)
            found = size_of(file.read(min(count, _FRONT)))
            if found is None:
                raise ValueError("a strip holds a picture of no stated size")
            if found[0] > height + _BLOCK or found[1] > width + _BLOCK:
                raise ValueError(
                    f"a strip holds {found[0]} x {found[1]} pixels, not {height} x {width}"
                )


def _jpeg(front: bytes) -> tuple[int, int] | None:
    """Height and width in the frame header (SOF0 to SOF15, but DHT, JPG and DAC)."""
    at = 2
    while at + 9 <= len(front) and front[at] == 0xFF:
        marker, length = front[at + 1], struct.unpack_from(">H", front, at + 2)[0]
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", front, at + 5)
            return int(height), int(width)
        at += 2 + length
    return None


def _jpeg2000(front: bytes) -> tuple[int, int] | None:
    """Height and width of the reference grid (SIZ follows SOC at once)."""
    at = 0
    # In a JP2 file, boxes (length, type) lead to the codestream.
    while front[:8] == _JP2 and front[at + 4 : at + 8] not in (b"jp2c", b""):
        at += max(8, struct.unpack_from(">I", front, at)[0])
    at += 8 if front[:8] == _JP2 else 0
    if front[at : at + 4] != b"\xff\x4f\xff\x51" or at + 24 > len(front):
        return None
    right, bottom, left, top = struct.unpack_from(">4I", front, at + 8)
    return bottom - top, right - left


def _png(front: bytes) -> tuple[int, int] | None:
    if front[:8] != b"\x89PNG\r\n\x1a\n" or front[12:16] != b"IHDR" or len(front) < 24:
        return None
    width, height = struct.unpack_from(">II", front, 16)
    return int(height), int(width)


_SIZES: dict[int, Callable[[bytes], tuple[int, int] | None]] = {
    7: _jpeg,
    **dict.fromkeys((33003, 33004, 33005, 34712), _jpeg2000),
    34933: _png,
}
