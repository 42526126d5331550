"""Letters for the directions in which an image's axes run in a body: RAS, LPS and others."""

from __future__ import annotations

import math
from itertools import permutations

from isoslice.data.metadata import Matrix

#: Where each of a scanner's coordinates rises and falls to: right, front and head (RAS+).
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


def axis_codes(affine: Matrix) -> str | None:
    """Return three letters: to which side of the body the axes X, Y and Z of an image run.

    Of an oblique image, those of the nearest upright one, as most programs show it.

    Parameters
    ----------
    affine
        From voxel indices (x, y, z, 1) to coordinates that rise to the right, front and head.

    Returns
    -------
    Letters of right or left, anterior or posterior, superior or inferior, such as ``"LPS"``; None
    where the matrix gives an axis no direction.
    """
    columns = [[affine[row][column] for row in range(3)] for column in range(3)]
    lengths = [math.hypot(*column) for column in columns]
    if not all(0 < length < math.inf for length in lengths):
        return None
    units = [[v / n for v in column] for column, n in zip(columns, lengths, strict=True)]
    best = max(
        permutations(range(3)),
        key=lambda sides: sum(abs(units[axis][side]) for axis, side in enumerate(sides)),
    )
    pairs = enumerate(best)
    return "".join(_LETTERS[side][units[axis][side] < 0] for axis, side in pairs)
