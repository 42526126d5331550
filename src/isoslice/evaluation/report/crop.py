"""Choose the part of a volume that a report shows, at full resolution."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Most voxels of each volume of a page: a phone's graphics memory has to hold four of them.
MAX_VOXELS = 6_000_000
#: Positions along Y, and along X, that are compared.
POSITIONS = 5

#: Reads the part given by three slices (Z, Y, X).
Reader = Callable[[slice, slice, slice], NDArray[Any]]


@dataclass(frozen=True)
class Crop:
    """A part of a volume: its first voxel and its sides, along Z, Y and X."""

    start: tuple[int, int, int]
    shape: tuple[int, int, int]

    @property
    def slices(self) -> tuple[slice, slice, slice]:
        """The index of this part."""
        z, y, x = (slice(a, a + n) for a, n in zip(self.start, self.shape, strict=True))
        return z, y, x

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return self.shape[0] * self.shape[1] * self.shape[2]


def sides(
    whole: tuple[int, int, int], limit: float, factor: int | None = None
) -> tuple[int, int, int]:
    """Compute the sides of the part closest to a cube with at most `limit` voxels.

    With a factor, it has (n - 1) factor + 1 planes where possible, so that the first and the last
    can be measured ones.
    """
    chosen = [0, 0, 0]
    left = limit
    for done, axis in enumerate(sorted(range(3), key=lambda a: whole[a])):
        # Short sides are taken whole; longer ones share the rest.
        chosen[axis] = max(1, min(whole[axis], int(left ** (1 / (3 - done)) + 1e-6)))
        left /= chosen[axis]
    if factor is not None and chosen[0] > factor:
        chosen[0] = (chosen[0] - 1) // factor * factor + 1
    return chosen[0], chosen[1], chosen[2]


def centred(
    shape: tuple[int, int, int],
    within: Crop,
    factor: int | None = None,
) -> Crop:
    """Return the central part of a box; with a factor, it begins at a measured plane."""
    start = [a + (n - m) // 2 for a, n, m in zip(within.start, within.shape, shape, strict=True)]
    if factor is not None:
        start[0] = max(start[0] // factor * factor, -(-within.start[0] // factor) * factor)
        start[0] = min(start[0], within.start[0] + within.shape[0] - shape[0])
    return Crop((start[0], start[1], start[2]), shape)


def choose_box(
    read: Reader, whole: tuple[int, int, int], factor: int | None = None, limit: float = MAX_VOXELS
) -> Crop:
    """Choose the part to show: central along Z, and with the highest variance in XY.

    Compares one plane at `POSITIONS` positions along Y and X; only these are read.
    """
    shape = sides(whole, limit, factor)
    middle = centred(shape, Crop((0, 0, 0), whole), factor)
    if shape[1:] == whole[1:]:
        return middle
    z = middle.start[0] + shape[0] // 2
    z = z if factor is None else z // factor * factor
    starts = [middle.start[1:]] + [
        (y, x) for y in _positions(whole[1], shape[1]) for x in _positions(whole[2], shape[2])
    ]

    def variance(start: tuple[int, int]) -> float:
        y, x = start
        return float(
            np.var(
                read(slice(z, z + 1), slice(y, y + shape[1]), slice(x, x + shape[2])), dtype=float
            )
        )

    # The centre comes first, and `max` returns the first of equals.
    y, x = max(starts, key=variance)
    return Crop((middle.start[0], y, x), shape)


def _positions(whole: int, side: int) -> list[int]:
    return sorted({round(i * (whole - side) / (POSITIONS - 1)) for i in range(POSITIONS)})
