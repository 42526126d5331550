"""Global heaps of HDF5, which hold variable-length text: damaged ones make the library hang.

The library walks a heap by the sizes of its objects; a size of 0 makes an endless loop. So heaps
are found by their signature, and their sizes checked, before a text is read.
"""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from pathlib import Path

#: Larger files are not searched, since that reads all of them.
MAX_SEARCHED_BYTES = 2**30
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER_BYTES, _OBJECT_HEADER_BYTES = 16, 16


def check_heaps(path: Path) -> None:
    """Check all global heaps of a file of up to `MAX_SEARCHED_BYTES`.

    Raises
    ------
    ValueError
        If the sizes in one are inconsistent.
    """
    status = path.stat()
    if 0 < status.st_size <= MAX_SEARCHED_BYTES:
        _check(path, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=8)
def _check(path: Path, size: int, _: int) -> None:
    with (
        path.open("rb") as stream,
        mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        at = content.find(_SIGNATURE)
        while at >= 0:
            (length,) = struct.unpack_from("<Q", content, at + 8) if at + 16 <= size else (0,)
            # The library itself refuses a heap that is longer than the file.
            if _HEADER_BYTES < length <= size - at:
                _check_heap(content, at, length)
            at = content.find(_SIGNATURE, at + 1)


def _check_heap(content: mmap.mmap, start: int, length: int) -> None:
    at, end = start + _HEADER_BYTES, start + length
    while end - at >= _OBJECT_HEADER_BYTES:
        number, _, _, size = struct.unpack_from("<HHIQ", content, at)
        # Object 0 is free space, its size includes the header; others are padded to 8 bytes.
        step = size if number == 0 else _OBJECT_HEADER_BYTES + -(-size // 8) * 8
        if not _OBJECT_HEADER_BYTES <= step <= end - at:
            raise ValueError(f"a heap of texts has an object of {size} bytes")
        at += step
