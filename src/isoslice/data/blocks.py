"""Blocks in which arrays that are too large for memory are read."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

#: Bytes of voxels that are read at once.
MAX_BLOCK_BYTES = 32 * 2**20


def blocks(
    shape: Sequence[int], chunks: Sequence[int], itemsize: int
) -> Iterator[tuple[slice, ...]]:
    """Yield the indices of the blocks of whole chunks that an array is made of.

    A chunk that is read in parts is decoded for each of them.

    Parameters
    ----------
    shape
        Of the array.
    chunks
        Shape of what is decoded at once.
    itemsize
        Bytes of a voxel: a block has up to `MAX_BLOCK_BYTES`, or is one chunk.
    """
    sides = [min(chunk, n) for chunk, n in zip(chunks, shape, strict=True)]
    for dimension in reversed(range(len(shape))):  # what lies together first
        room = max(1, MAX_BLOCK_BYTES // (math.prod(sides) * itemsize))
        sides[dimension] = min(shape[dimension], sides[dimension] * room)
    ranges = (
        [slice(a, min(a + side, n)) for a in range(0, n, side)]
        for side, n in zip(sides, shape, strict=True)
    )
    yield from itertools.product(*ranges)


def chunks_of(data: Any) -> tuple[int, ...]:
    """Return the shape of what is decoded at once; that of a voxel for arrays in memory."""
    chunks = getattr(data, "chunks", None) or (1,) * len(data.shape)
    return tuple(min(int(c), int(n)) for c, n in zip(chunks, data.shape, strict=True))
