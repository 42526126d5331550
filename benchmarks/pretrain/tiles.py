"""Cutting the most structured tiles out of planes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter

#: Side of the windows in which variance is measured, and steps between places that are compared.
WINDOW, STEP = 8, 16
#: Intensities that count for structure: a few bright spots are not to decide alone.
LIMITS = (0.0, 1.0)


def local_variance(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return the variance of a plane (H, W), normalised, in the window around each pixel."""
    values = np.clip(plane, *LIMITS).astype(np.float64)
    mean = uniform_filter(values, WINDOW, mode="nearest")
    variance = uniform_filter(values**2, WINDOW, mode="nearest") - mean**2
    return np.asarray(np.maximum(variance, 0), np.float64)


def structured_tiles(
    plane: NDArray[np.float32], shape: tuple[int, int], count: int
) -> list[tuple[slice, slice]]:
    """Choose tiles without overlap, the one of most local variance first.

    Deviations are summed, not variances, so that many weak edges count as much as a few strong
    ones.

    Parameters
    ----------
    plane
        Shape (H, W), normalised.
    shape
        Height and width of a tile, no larger than the plane.
    count
        Of tiles; there may be room for fewer.
    """
    deviation = np.sqrt(local_variance(plane))
    sums = np.pad(deviation.cumsum(0).cumsum(1), ((1, 0), (1, 0)))
    height, width = shape
    total = (
        sums[height:, width:] - sums[:-height, width:] - sums[height:, :-width]
        + sums[:-height, :-width]
    )  # fmt: skip
    rows, columns = (_places(extent) for extent in total.shape)
    total = total[np.ix_(rows, columns)].copy()
    chosen: list[tuple[slice, slice]] = []
    while len(chosen) < count and np.isfinite(total).any():
        row, column = np.unravel_index(int(total.argmax()), total.shape)
        top, left = int(rows[row]), int(columns[column])
        chosen.append((slice(top, top + height), slice(left, left + width)))
        near = np.ix_(np.abs(rows - top) < height, np.abs(columns - left) < width)
        total[near] = -np.inf
    return chosen


def _places(extent: int) -> NDArray[np.int64]:
    """List places from 0 to the last of `extent`, `STEP` apart, the last one included."""
    return np.unique([*range(0, extent, STEP), extent - 1])


def tile_shape(plane_shape: Sequence[int], side: int) -> tuple[int, int]:
    """Return height and width of the largest tile with sides up to `side`."""
    height, width = (min(n, side) for n in plane_shape)
    return height, width
