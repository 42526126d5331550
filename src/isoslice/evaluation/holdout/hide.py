"""Hide measured planes and restore them from the others: a truth that every stack has.

Every other plane is hidden, first those with odd numbers, then those with even ones, so that each
but the first and the last is hidden once. The planes kept are twice as coarse as the stack: a
hidden plane lies in the middle of a gap of two spacings, harder to restore than any output plane;
of uneven planes, it is where it was measured.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.interpolation import Method, weights_between
from isoslice.errors import DataError

Voxels = NDArray[Any]


def check_planes(planes: int, source: str) -> None:
    """Raise `DataError` where no plane can be hidden between two others."""
    if planes < 3:
        raise DataError(
            f"{source}: got {planes} plane(s), expected at least three: one to hide, and one on "
            "either side; check a larger stack; if its axes are named wrongly, name "
            "them, for example with --axes ZYX"
        )


def restore_hidden(planes: Voxels, restore: Callable[[Voxels, int], Voxels]) -> Voxels:
    """Restore every measured plane but the first and the last from the planes beside it.

    Parameters
    ----------
    planes
        Shape (T, C, n, Y, X), with n of at least 3.
    restore
        Function of the planes kept (T, C, m, Y, X) and the round (0 or 1) that returns the planes
        hidden between them, (T, C, m - 1, Y, X).

    Returns
    -------
    Shape (T, C, n - 2, Y, X): restored planes 1 to n - 2, in the type that `restore` gives.
    """
    count = planes.shape[2]
    restored: Voxels | None = None
    for start in (0, 1):
        kept = planes[:, :, start::2]
        if kept.shape[2] < 2:
            continue
        between = restore(kept, start)
        if restored is None:
            restored = np.empty((*planes.shape[:2], count - 2, *planes.shape[3:]), between.dtype)
        restored[:, :, start::2] = between
    assert restored is not None  # there are three planes
    return restored


def places_around(positions: Sequence[float], start: int) -> tuple[float, ...]:
    """Return where planes lie in a round: kept ones, and the hidden ones between, in turn.

    Parameters
    ----------
    positions
        Of all planes.
    start
        The round.

    Returns
    -------
    From the first plane kept to the last; every other one is hidden.
    """
    inside = positions[start : len(positions) - (len(positions) - start - 1) % 2]
    return tuple(z - inside[0] for z in inside)


def interpolate_hidden(
    planes: Voxels, method: Method, positions: Sequence[float] | None = None
) -> NDArray[np.float32]:
    """Interpolate every plane (n, Y, X) but the first and the last as `restore_hidden` does.

    ``nearest`` takes the plane before, of two that are as near. `positions` says where uneven
    planes lie.

    Returns
    -------
    Shape (n - 2, Y, X).
    """
    everywhere = range(len(planes)) if positions is None else positions

    def between(kept: Voxels, start: int) -> Voxels:
        places = np.asarray(places_around(everywhere, start), np.float64)
        below, hidden, above = places[:-2:2], places[1::2], places[2::2]
        share = (hidden - below) / (above - below)
        weights = weights_between(np.arange(len(hidden)), share, kept.shape[2], method)
        stack = kept[0, 0].astype(np.float32).reshape(kept.shape[2], -1)
        made: Voxels = (weights @ stack).reshape(len(hidden), *kept.shape[3:])
        return made[None, None]

    restored: NDArray[np.float32] = restore_hidden(planes[None, None], between)[0, 0]
    return restored
