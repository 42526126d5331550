"""The voxels of an array on disk or in memory, in any order of axes, part after part."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from isoslice.data.blocks import MAX_BLOCK_BYTES, blocks, chunks_of


def parts(data: Any, folder: Path, dtype: np.dtype[Any] | None = None) -> Iterator[NDArray[Any]]:
    """Yield voxels in order as parts (planes, rows, columns), of the last two dimensions.

    A part has up to `MAX_BLOCK_BYTES`, or is one plane; it is contiguous. All of them joined are
    ``np.ascontiguousarray(data, dtype)``. Every chunk is decoded once: where a part has fewer
    planes, voxels go through a temporary file that holds as many as a chunk.

    Parameters
    ----------
    data
        An array, or a `LazyArray`.
    folder
        Where the temporary file may lie.
    dtype
        Type of the parts; that of `data` by default.
    """
    data = data.reshape((1,) * max(0, 3 - data.ndim) + tuple(data.shape))
    dtype = data.dtype if dtype is None else dtype
    planes, chunks = tuple(data.shape[-2:]), chunks_of(data)
    cut, step = _steps(data.shape, chunks, max(data.dtype.itemsize, dtype.itemsize))
    if step < chunks[cut] or any(n > 1 for n in chunks[:cut]):
        yield from _through_a_file(data, chunks, folder, dtype)
        return
    for index in np.ndindex(data.shape[:cut]):
        for start in range(0, data.shape[cut], step):
            part = np.ascontiguousarray(data[(*index, slice(start, start + step))], dtype)
            yield part.reshape(-1, *planes)


def write_parts(stream: Any, data: Any, folder: Path, dtype: np.dtype[Any] | None = None) -> None:
    """Write voxels in order to a binary stream; see `parts`."""
    for part in parts(data, folder, dtype):
        stream.write(part.reshape(-1).view(np.uint8).data)


def planes(data: Any, folder: Path, dtype: np.dtype[Any] | None = None) -> Iterator[NDArray[Any]]:
    """Yield voxels in order, plane by plane; see `parts`."""
    for part in parts(data, folder, dtype):
        yield from part


def _steps(shape: Sequence[int], chunks: Sequence[int], itemsize: int) -> tuple[int, int]:
    """Return the dimension that is cut, and in what steps; dimensions before it in steps of 1."""
    cut = 0
    while cut < len(shape) - 3 and math.prod(shape[cut + 1 :]) * itemsize > MAX_BLOCK_BYTES:
        cut += 1
    step = max(1, MAX_BLOCK_BYTES // (math.prod(shape[cut + 1 :]) * itemsize))
    return cut, step - step % chunks[cut] if step > chunks[cut] else step


def _through_a_file(
    data: Any, chunks: Sequence[int], folder: Path, dtype: np.dtype[Any]
) -> Iterator[NDArray[Any]]:
    """Yield what `parts` does, every chunk decoded once, a slab of chunks at a time."""
    first = next(d for d, n in enumerate(chunks) if n > 1)
    with tempfile.TemporaryFile(dir=folder) as file:
        for index in np.ndindex(data.shape[:first]):
            for start in range(0, data.shape[first], chunks[first]):
                shape = (min(chunks[first], data.shape[first] - start), *data.shape[first + 1 :])
                for block in blocks(shape, chunks[first:], dtype.itemsize):
                    deep = slice(start + block[0].start, start + block[0].stop)
                    voxels = np.ascontiguousarray(data[(*index, deep, *block[1:])], dtype)
                    _put(file, voxels, [part.start for part in block], shape)
                yield from _taken(file, shape, dtype)


def _put(file: BinaryIO, voxels: NDArray[Any], start: Sequence[int], shape: Sequence[int]) -> None:
    """Write a block to its place among the voxels of an array of a shape."""
    strides = [math.prod(shape[d + 1 :]) * voxels.itemsize for d in range(len(shape))]
    # The last dimension that the block does not fill, and those after it, lie together.
    partial = [d for d, n in enumerate(voxels.shape) if n != shape[d]]
    for index in np.ndindex(voxels.shape[: partial[-1] if partial else 0]):
        place = [a + i for a, i in zip(start, (*index, *[0] * len(shape)), strict=False)]
        file.seek(sum(p * stride for p, stride in zip(place, strides, strict=True)))
        file.write(voxels[index].reshape(-1).view(np.uint8).data)


def _taken(file: BinaryIO, shape: Sequence[int], dtype: np.dtype[Any]) -> Iterator[NDArray[Any]]:
    """Yield the planes of an array from a file, as parts."""
    file.seek(0)
    count, plane = math.prod(shape[:-2]), math.prod(shape[-2:]) * dtype.itemsize
    step = max(1, MAX_BLOCK_BYTES // plane)
    for start in range(0, count, step):
        content = file.read(min(step, count - start) * plane)
        yield np.frombuffer(content, dtype).reshape(-1, *shape[-2:])
