"""Anatomical axis codes, such as RAS and LPS: directions in which an image's axes run."""

from __future__ import annotations

import math
from itertools import permutations

from isoslice.data.metadata import Matrix

#: Letters of the rising and the falling direction of each RAS+ coordinate.
_LETTERS = (("R", "L"), ("A", "P"), ("S", "I"))


def axis_codes(affine: Matrix) -> str | None:
    """Return three letters for the anatomical directions of an image's axes X, Y and Z.

    Oblique axes get the letters of the nearest direction, as in most programs.

    Parameters
    ----------
    affine
        Maps voxel indices (x, y, z, 1) to RAS+ coordinates: rising to the right, front and head.

    Returns
    -------
    R or L (right, left), A or P (anterior, posterior), S or I (superior, inferior), such as
    ``"LPS"``; None where the matrix gives an axis no direction.
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
