"""Boxes: parts of a volume, and volumes cut into them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple

#: A part of an array (..., Z, Y, X).
Region = tuple[slice, slice, slice]
#: Direction of slices.
SlicePlane = Literal["XZ", "YZ"]
#: Z, Y and X.
Triple = tuple[int, int, int]


class Box(NamedTuple):
    """Part of a volume along Z, Y and X, from `start` to `stop` (exclusive)."""

    start: Triple
    stop: Triple

    @property
    def shape(self) -> Triple:
        """Length along Z, Y and X."""
        return _triple([b - a for a, b in zip(self.start, self.stop, strict=True)])

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    def slices(self, origin: Triple = (0, 0, 0)) -> Region:
        """Return the box as an index of an array (..., Z, Y, X) whose first voxel is `origin`."""
        z, y, x = (
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, origin, strict=True)
        )
        return z, y, x


def whole(shape: Triple) -> Box:
    """Return the box of a whole volume."""
    return Box((0, 0, 0), shape)


def block_count(shape: Triple, size: Triple) -> int:
    """Count the blocks of `size` that cover a volume; the last ones are cut at its ends."""
    return math.prod(_counts(shape, size))


def nth_block(index: int, shape: Triple, size: Triple) -> Box:
    """Return block `index` of those that `block_count` counts, X fastest."""
    counts = _counts(shape, size)
    z, rest = divmod(index, counts[1] * counts[2])
    y, x = divmod(rest, counts[2])
    start = (z * size[0], y * size[1], x * size[2])
    stop = [min(a + step, length) for a, step, length in zip(start, size, shape, strict=True)]
    return Box(start, _triple(stop))


def blocks_meeting(place: Region, shape: Triple, size: Triple) -> Iterator[int]:
    """Yield the numbers of the blocks that share voxels with a part of the volume."""
    _, rows, columns = _counts(shape, size)
    spans = (
        range(part.start // step, -(-part.stop // step))
        for part, step in zip(place, size, strict=True)
    )
    for z, y, x in itertools.product(*spans):
        yield (z * rows + y) * columns + x


def widened(box: Box, shape: Triple, margin: Triple) -> Box:
    """Widen a box by `margin` on all sides, clipped to the volume."""
    start = [max(0, a - wide) for a, wide in zip(box.start, margin, strict=True)]
    stop = [min(n, b + wide) for b, wide, n in zip(box.stop, margin, shape, strict=True)]
    return Box(_triple(start), _triple(stop))


def _counts(shape: Triple, size: Triple) -> Triple:
    return _triple([-(-length // step) for length, step in zip(shape, size, strict=True)])


def _triple(values: Sequence[int]) -> Triple:
    z, y, x = values
    return z, y, x
