"""Supported compressions of TIFF, and checks of the unpacked size of strips and tiles.

Bytes are unpacked into a buffer of the declared size, so the output cannot be larger. JPEG, JPEG
2000 and WebP are unpacked by the sizes in their own headers, which are checked first.
"""

from __future__ import annotations

import importlib.util
import lzma
import re
import struct
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from isoslice.errors import DataError
from isoslice.io.extras import require_installed

NONE, _LZMA, _DEFLATE = 1, 34925, (8, 32946)
_JPEG, _JPEG2000, _WEBP = (6, 7, 33007, 34892), (33003, 33004, 33005, 34712), (34927, 50001)
#: Names of the supported compressions, by TIFF's code.
CODECS = {
    NONE: "none",
    5: "LZW",
    **dict.fromkeys(_DEFLATE, "deflate"),
    32773: "PackBits",
    _LZMA: "LZMA",
    **dict.fromkeys((34926, 50000), "Zstandard"),
    **dict.fromkeys(_JPEG, "JPEG"),
    **dict.fromkeys(_JPEG2000, "JPEG 2000"),
    **dict.fromkeys(_WEBP, "WebP"),
}
#: Smaller strips, in bytes, cannot unpack to more than 64 MB and are not checked.
_SMALL_STRIP_BYTES = 2**16
#: Pixels that a picture may have beyond its tile: edges of JPEG's blocks.
_EDGE_PIXELS = 2**16


def check_codec(page: Any, path: Path) -> None:
    """Raise `DataError` for an unsupported compression, ValueError for an invalid one."""
    if not isinstance(page.compression, int):
        raise ValueError(f"its compression is {page.compression}, expected one number")
    if page.compression not in CODECS:
        name = getattr(page.compression, "name", str(page.compression))
        raise DataError(
            f"{path}: got a TIFF compressed by {name}, expected one of "
            f"{', '.join(dict.fromkeys(CODECS.values()))}; save it by one of these, or uncompressed"
        )


def explain_codec(page: Any, path: Path, error: Exception) -> None:
    """Raise `DataError` if an error is due to a missing or incomplete imagecodecs."""
    if "imagecodecs" not in str(error):
        return
    name = CODECS.get(page.compression, "another way")
    require_installed("imagecodecs", "imagecodecs", f"a TIFF compressed by {name}", path=path)
    raise DataError(
        f"{path}: got a TIFF compressed by {name}, which the installed imagecodecs cannot unpack, "
        "expected a complete one; run: python -m pip install --upgrade --force-reinstall "
        "imagecodecs"
    ) from error


def check_strips_unpack(pages: Sequence[Any], largest: int) -> None:
    """Check the unpacked sizes of strips and tiles, without keeping the content.

    Parameters
    ----------
    pages
        Pages of the same layout.
    largest
        Most bytes per sample that a strip or tile may unpack to.

    Raises
    ------
    ValueError
        If one unpacks to more.
    """
    page = pages[0].keyframe
    samples = max(1, page.samplesperpixel)
    if page.compression in (*_JPEG, *_JPEG2000, *_WEBP):
        rows, width = page.rowsperstrip, page.imagewidth
        if page.is_tiled:
            rows, width = page.tilelength, page.tilewidth
        _check_pictures(pages, int(page.compression), min(rows, 2**31) * width)
        return
    # imagecodecs unpacks into a buffer of the declared size, tifffile's fallbacks do not. LZMA also
    # declares how much memory the decoder takes.
    bounded = importlib.util.find_spec("imagecodecs") is not None
    if page.compression != _LZMA and (bounded or page.compression not in _DEFLATE):
        return
    limit = largest * samples + _SMALL_STRIP_BYTES
    for packed in _segments(pages, 0 if page.compression == _LZMA else _SMALL_STRIP_BYTES):
        if _unpacked(packed, page.compression == _LZMA, limit) > limit:
            raise ValueError(f"a strip unpacks to more than the {limit} bytes of a plane")


def _segments(pages: Sequence[Any], larger: int = 0) -> Iterator[bytes]:
    """Yield the strips or tiles of more than `larger` bytes."""
    for page in pages:
        file = page.parent.filehandle
        for offset, size in zip(page.dataoffsets, page.databytecounts, strict=False):
            if size > larger:
                file.seek(offset)
                yield file.read(size)


def _unpacked(packed: bytes, is_lzma: bool, limit: int) -> int:
    stream: Any = lzma.LZMADecompressor(memlimit=2**28) if is_lzma else zlib.decompressobj()
    total = 0
    while packed or is_lzma:
        total += len(stream.decompress(packed, 2**20))
        packed = b"" if is_lzma else stream.unconsumed_tail
        if stream.eof or total > limit or (is_lzma and stream.needs_input):
            break
    return total


def _check_pictures(pages: Sequence[Any], compression: int, pixels: int) -> None:
    if compression in _JPEG:
        tables = {bytes(t) for p in pages if isinstance(t := p.keyframe.jpegtables, bytes)}
        if any(list(_jpeg_sizes(table)) for table in tables):
            raise ValueError("its JPEG tables hold an image")
        sizes = _jpeg_sizes
    else:
        sizes = _jpeg2000_sizes if compression in _JPEG2000 else _webp_sizes
    for segment in _segments(pages):
        declared = list(sizes(segment))
        if not declared:
            raise ValueError("a strip or tile is no picture of the kind that the page says")
        if any(height * width > pixels + _EDGE_PIXELS for height, width in declared):
            raise ValueError(f"a strip or tile unpacks to more than its {pixels} pixels")


def _jpeg_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the height and width of every frame that a JPEG declares before its first scan."""
    at = 0
    while (at := data.find(b"\xff", at)) >= 0 and at + 4 <= len(data):
        kind = data[at + 1]
        if (
            kind in (0x00, 0xFF) or kind == 0x01 or 0xD0 <= kind <= 0xD9
        ):  # markers without a segment
            at += 1 if kind == 0xFF else 2
            continue
        if kind == 0xDA:
            return
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC) and at + 9 <= len(data):
            height, width = struct.unpack_from(">HH", data, at + 5)
            yield height, width
        at += 2 + max(2, int(struct.unpack_from(">H", data, at + 2)[0]))


def _jpeg2000_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the height and width that each JPEG 2000 code stream declares, times its components."""
    for marker in re.finditer(b"\xff\x4f\xff\x51", data):
        if marker.start() + 42 > len(data):
            raise ValueError("the header of a JPEG 2000 picture is cut off")
        right, bottom, left, top = struct.unpack_from(">4I", data, marker.start() + 8)
        parts = struct.unpack_from(">H", data, marker.start() + 40)[0]
        yield max(0, bottom - top) * -(-parts // 4), max(0, right - left)


def _webp_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield the height and width that a WebP declares."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return
    kind = data[12:16]
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield height & 0x3FFF, width & 0x3FFF
    elif kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        yield (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    elif kind == b"VP8X":
        width, height = (int.from_bytes(data[at : at + 3], "little") + 1 for at in (24, 27))
        yield height, width
