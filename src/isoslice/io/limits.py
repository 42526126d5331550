"""Limits of untrusted files, checked before anything is allocated.

A file of a kilobyte can declare a petabyte. Sizes that a file declares are compared with its length
and with the free memory; text that is parsed whole has a fixed limit.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.errors import DataError

#: Most dimensions of an array (NIfTI has 7), and its longest side in voxels.
MAX_DIMENSIONS, MAX_SIDE = 8, 2**40
#: Bytes of JSON that describes an image or a model, and of OME-XML; both are parsed whole.
MAX_JSON, MAX_XML = 16 * 2**20, 64 * 2**20
#: Bytes of a decoded Zarr chunk or TIFF tile, of which several are in memory at once.
MAX_CHUNK = 2**31
#: Largest compression ratio of deflate (zlib, gzip, PNG, NIfTI).
DEFLATE_RATIO = 1032
#: This process's control group, as seen in a container.
CGROUP = Path("/sys/fs/cgroup")


def check_regular(path: Path) -> int:
    """Return a file's size in bytes; refuse devices and pipes, which may never end.

    Raises
    ------
    DataError
        If `path` is neither a regular file nor a link to one.
    """
    status = path.stat()
    if not stat.S_ISREG(status.st_mode):
        raise DataError(
            f"{path}: got a device, pipe or folder, expected a regular file; copy the image into "
            "one"
        )
    return status.st_size


def check_shape(path: Path, shape: Sequence[int]) -> None:
    """Refuse a shape that no image has.

    Raises
    ------
    DataError
        For more than `MAX_DIMENSIONS` dimensions, or a length below 0 or above `MAX_SIDE`.
    """
    # Tags of a damaged TIFF may hold several numbers instead of one.
    whole = all(isinstance(n, int | np.integer) for n in shape)
    if not whole or len(shape) > MAX_DIMENSIONS or not all(0 <= n <= MAX_SIDE for n in shape):
        text = " x ".join(map(str, shape[: MAX_DIMENSIONS + 1]))[:100]
        raise DataError(
            f"{path}: got an array of {len(shape)} dimensions (shape {text}), expected at most "
            f"{MAX_DIMENSIONS}, each of a length from 1 to {MAX_SIDE}; the file is damaged"
        )


def check_memory(path: Path, shape: Sequence[int], dtype: Any) -> int:
    """Refuse an array that does not fit in memory, before it is allocated.

    Parameters
    ----------
    path
        The file, for the message.
    shape, dtype
        Of the array that is read at once.

    Returns
    -------
    int
        Bytes that it will take.

    Raises
    ------
    DataError
        If these are more than the free memory, or `check_shape` refuses the shape.
    """
    check_shape(path, shape)
    size = math.prod(int(n) for n in shape) * int(np.dtype(dtype).itemsize)
    limit = available_memory()
    if size > limit:
        raise DataError(
            f"{path}: got an image that declares {_bytes(size)} (shape "
            f"{' x '.join(map(str, shape))}), expected at most the {_bytes(limit)} of free memory; "
            "crop it, or store it as OME-Zarr and let isoslice predict read it in parts"
        )
    return size


def check_packed(path: Path, declared: int, stored: int, ratio: int = 1) -> None:
    """Refuse a file that is too short for the voxels it declares, however well compressed.

    Parameters
    ----------
    path
        The file, for the message.
    declared, stored
        Bytes of the voxels, and of the file.
    ratio
        Largest compression ratio of the format.

    Raises
    ------
    DataError
        If `declared` is more than `ratio` times `stored`.
    """
    if declared > ratio * stored:
        raise DataError(
            f"{path}: got a file of {_bytes(stored)} that declares {_bytes(declared)} of voxels, "
            f"expected at most {_bytes(ratio * stored)} in a file of that size; it is cut off or "
            "damaged, copy it again"
        )


def read_small(path: Path, limit: int = MAX_JSON) -> bytes:
    """Return the content of a file that must be regular and not larger than `limit`.

    Raises
    ------
    DataError
        If it is not.
    """
    size = check_regular(path)
    if size > limit:
        raise DataError(
            f"{path}: got a file of {_bytes(size)}, expected at most {_bytes(limit)}; it is not "
            "what its name says"
        )
    with path.open("rb") as stream:
        return stream.read(limit)


def parse_json(content: bytes | str) -> Any:
    """Parse JSON; raises ValueError for any defect, including nesting that is too deep."""
    try:
        return json.loads(content)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error


def available_memory() -> int:
    """Return the bytes that this process may still allocate: of the machine or control group."""
    candidates = []
    try:
        for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("MemAvailable:"):
                candidates.append(1024 * int(line.split()[1]))
        limit = (CGROUP / "memory.max").read_text(encoding="utf-8").strip()
        used = int((CGROUP / "memory.current").read_text(encoding="utf-8"))
        if limit != "max":
            candidates.append(int(limit) - used + _cached())
    except (OSError, ValueError):
        pass
    if not candidates and hasattr(os, "sysconf"):
        candidates.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return max(0, min(candidates, default=2**36))


def _cached() -> int:
    """Return the bytes of the control group's memory that cache files, which are reclaimable."""
    for line in (CGROUP / "memory.stat").read_text(encoding="utf-8").splitlines():
        if line.startswith("inactive_file "):
            return int(line.split()[1])
    return 0


def _bytes(number: int) -> str:
    for unit in ("bytes", "kB", "MB", "GB", "TB", "PB"):
        if number < 1000:
            return f"{number} {unit}"
        number //= 1000
    return f"more than {number} EB"
