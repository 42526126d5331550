"""Global heaps of HDF5, where texts of any length lie: damaged ones make the library loop forever.

The library steps through a heap by the sizes of its objects; a size of 0 keeps it where it is.
Heaps are found by their signature, and their sizes checked, before a text is read from one.
"""

from __future__ import annotations

import mmap
import struct
from functools import lru_cache
from pathlib import Path

#: Larger files are not searched: that would read all of them.
MAX_SEARCHED = 2**30
_SIGNATURE = b"GCOL\x01\x00\x00\x00"
_HEADER, _OBJECT = 16, 16


def check_heaps(path: Path) -> None:
    """Check all global heaps of a file of up to `MAX_SEARCHED` bytes.

    Raises
    ------
    ValueError
        If the sizes in one do not add up.
    """
    status = path.stat()
    if 0 < status.st_size <= MAX_SEARCHED:
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
            # One that is longer than the file is refused by the library itself.
            if _HEADER < length <= size - at:
                _check_heap(content, at, length)
            at = content.find(_SIGNATURE, at + 1)


def _check_heap(content: mmap.mmap, start: int, length: int) -> None:
    at, end = start + _HEADER, start + length
    while end - at >= _OBJECT:
        number, _, _, size = struct.unpack_from("<HHIQ", content, at)
        # Number 0 is what is free, its size counted with the header; others are padded to 8.
        step = size if number == 0 else _OBJECT + -(-size // 8) * 8
        if not _OBJECT <= step <= end - at:
            raise ValueError(f"a heap of texts has an object of {size} bytes")
        at += step
