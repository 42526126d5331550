"""Voxels after a text header (NRRD, MetaImage): memory-mapped, unpacked or parsed."""

from __future__ import annotations

import bz2
import gzip
import math
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import (
    DEFLATE_RATIO,
    MAX_DIMENSIONS,
    check_memory,
    check_packed,
    check_regular,
    check_shape,
)
from isoslice.io.parts import write_parts

#: Bytes that are unpacked at once.
_BUFFER_BYTES = 2**20


def declared_shape(dimensions: str, sizes: str) -> tuple[int, ...]:
    """Return the shape that a header declares (fastest axis first) with the slowest axis first.

    Raises
    ------
    ValueError
        If the numbers of sizes and dimensions differ, or are too large.
    """
    count, lengths = int(dimensions), [int(word) for word in sizes.split()]
    if not 0 < count <= MAX_DIMENSIONS or len(lengths) != count:
        raise ValueError(f"it declares {count} dimensions of the sizes {lengths}")
    return tuple(lengths[::-1])


def read_payload(
    path: Path, start: int | None, shape: tuple[int, ...], dtype: np.dtype[Any], encoding: str
) -> LazyArray | NDArray[Any]:
    """Read the voxels that a header declares.

    Parameters
    ----------
    path
        The file that holds them.
    start
        Their offset in bytes; None if they are raw and end where the file does.
    shape, dtype
        As declared; the last dimension varies fastest.
    encoding
        ``"raw"``, which is memory-mapped and read where it is indexed; ``"gzip"``, ``"zlib"``,
        ``"bzip2"``, ``"text"`` (numbers between white space) or ``"hex"``.

    Raises
    ------
    DataError
        If they do not fit in memory, or the file is shorter than declared.
    ValueError
        If the file is damaged.
    """
    check_shape(path, shape)
    if not shape or 0 in shape:
        raise ValueError(f"it declares the shape {shape}, which has no voxels")
    size, declared = check_regular(path), math.prod(shape) * dtype.itemsize
    start = size - declared if start is None else start
    stored = size - start
    if start < 0 or stored <= 0:
        raise ValueError("its voxels would begin outside the file")
    if encoding == "raw":
        check_packed(path, declared, stored)
        return LazyArray(np.memmap(path, dtype, "r", start, shape))
    check_memory(path, shape, dtype)
    with path.open("rb") as stream:
        stream.seek(start)
        if encoding == "text":
            check_packed(path, math.prod(shape), stored)
            return _numbers(stream.read(), math.prod(shape), dtype).reshape(shape)
        out = np.zeros(declared, np.uint8)
        if encoding == "hex":
            check_packed(path, 2 * declared, stored)
            content = bytes.fromhex(stream.read().decode("ascii"))
            if len(content) != declared:
                raise ValueError(f"it holds {len(content)} bytes, expected {declared}")
            out[:] = np.frombuffer(content, np.uint8)
        else:
            # bzip2 packs zeros a million times: only the memory limits it.
            check_packed(path, declared, stored, DEFLATE_RATIO if encoding != "bzip2" else 2**21)
            _unpack(stream, out, encoding)
    return out.view(dtype).reshape(shape)


def _unpack(stream: Any, out: NDArray[np.uint8], encoding: str) -> None:
    """Unpack a stream into `out`, which it must fill exactly."""
    filled = 0
    for part in _parts(stream, encoding):
        if filled + len(part) > len(out):
            raise ValueError("there is more in it than its header says")
        out[filled : filled + len(part)] = np.frombuffer(part, np.uint8)
        filled += len(part)
    if filled != len(out):
        raise ValueError(f"it unpacks to {filled} bytes, expected {len(out)}")


def _parts(stream: Any, encoding: str) -> Iterator[bytes]:
    if encoding == "zlib":
        unpack = zlib.decompressobj(47)
        while not unpack.eof:
            packed = unpack.unconsumed_tail or stream.read(_BUFFER_BYTES)
            if not packed:
                raise ValueError("what is packed in it is cut off")
            yield unpack.decompress(packed, _BUFFER_BYTES)
        return
    with gzip.open(stream) if encoding == "gzip" else bz2.open(stream) as unpacked:
        while part := unpacked.read(_BUFFER_BYTES):
            yield part


def _numbers(content: bytes, count: int, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Parse numbers between white space or commas."""
    text = content.decode("ascii").replace(",", " ")
    with _ignore_text_warning():
        numbers = np.fromstring(text, np.float64, count=-1, sep=" ")
    if len(numbers) != count:
        raise ValueError(f"it holds {len(numbers)} numbers, expected {count}")
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if not (np.isfinite(numbers).all() and (numbers == np.rint(numbers)).all()):
            raise ValueError(f"it holds numbers that are no integers, expected {dtype.name}")
        if numbers.min() < limits.min or numbers.max() > limits.max:
            raise ValueError(f"it holds numbers that are out of range for {dtype.name}")
    with np.errstate(all="ignore"):
        return numbers.astype(dtype)


@contextmanager
def _ignore_text_warning() -> Iterator[None]:
    """Silence NumPy's warning of text that is no number: the count of numbers tells."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def beside(path: Path, name: str) -> Path:
    """Return the path of the data file that a header names, which must lie beside it.

    Raises
    ------
    ValueError
        If there are several, or the file lies elsewhere, is a link, or is missing.
    """
    if name.upper().startswith("LIST") or re.search(r"%\d*d", name):
        raise ValueError("its voxels are spread over many files; save it as one")
    name = name.removeprefix("./")  # 3D Slicer and ITK write it, too
    other = path.with_name(name) if name and Path(name).name == name and "\\" not in name else None
    if other is None or "\0" in name or other.is_symlink():
        raise ValueError(
            f"its voxels are in {name!r}, expected a file in the same folder, and no link"
        )
    if not other.is_file():
        raise ValueError(f"its voxels are in {name!r}, and there is no such file beside it")
    return other


def write_payload(path: Path, header: str, data: Any, dtype: np.dtype[Any]) -> None:
    """Write a header, then the voxels of an array on disk or in memory."""
    with path.open("wb") as stream:
        stream.write(header.encode("ascii"))
        write_parts(stream, data, path.parent, dtype)
