"""Aligned interpolation between measured planes: the baselines, and the sampler's first guess."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.errors import SettingsError

Method = Literal["nearest", "linear", "cubic", "lanczos"]


def interpolation_matrix(grid: PlaneGrid, method: Method = "linear") -> NDArray[np.float32]:
    """Compute the weights, shape (depth, planes), that map measured planes to output planes.

    Rows sum to one; the row of a measured plane is one-hot, so measured planes pass unchanged.
    ``cubic`` is the Catmull-Rom spline over the measured planes' positions, ends repeated.
    ``lanczos`` is the sinc windowed to three planes on either side (Lanczos-3), normalised; planes
    are taken as evenly spaced, ends repeated. ``nearest`` takes the lower plane at ties.
    """
    lower, share = grid.bracket()
    return weights_between(lower, share, len(grid.known), method)


def weights_between(
    lower: NDArray[np.intp], share: NDArray[np.float64], planes: int, method: Method = "linear"
) -> NDArray[np.float32]:
    """Compute the weights, shape (n, planes), of measured planes at any places between them.

    Parameters
    ----------
    lower, share
        As `PlaneGrid.bracket` gives them: the measured plane at or below each place, and the
        distance from it as a share of the interval to the next.
    planes
        Number of measured planes.
    method
        As for `interpolation_matrix`.
    """
    if method not in get_args(Method):
        raise SettingsError(f"got interpolation {method!r}, expected one of {get_args(Method)}")
    t, rows = share, np.arange(len(lower))
    weights = np.zeros((len(lower), planes))
    if method == "nearest":
        weights[rows, lower + (t > 0.5)] = 1.0
    elif method == "linear":
        np.add.at(weights, (rows, lower), 1 - t)
        np.add.at(weights, (rows, lower + 1), t)
    elif method == "lanczos":
        offsets = np.arange(-2, 4)
        distance = t[:, None] - offsets
        tapered = np.sinc(distance) * np.sinc(distance / 3)
        # In floating point, sin(k pi) is not quite 0, nor the sum of the taps quite 1.
        tapered[t == 0] = offsets == 0
        tapered[t == 1] = offsets == 1
        tapered /= tapered.sum(axis=1, keepdims=True)
        for offset, tap in zip(offsets.tolist(), tapered.T, strict=True):
            np.add.at(weights, (rows, np.clip(lower + offset, 0, planes - 1)), tap)
    else:
        taps = (
            -0.5 * t + t**2 - 0.5 * t**3,
            1 - 2.5 * t**2 + 1.5 * t**3,
            0.5 * t + 2 * t**2 - 1.5 * t**3,
            -0.5 * t**2 + 0.5 * t**3,
        )
        for offset, tap in zip((-1, 0, 1, 2), taps, strict=True):
            np.add.at(weights, (rows, np.clip(lower + offset, 0, planes - 1)), tap)
    return weights.astype(np.float32)


def interpolate(
    planes: NDArray[np.floating], grid: PlaneGrid, method: Method = "linear"
) -> NDArray[np.float32]:
    """Interpolate the planes between measured ones.

    Parameters
    ----------
    planes
        Measured planes, shape (n, ...), Z first.
    grid
        Their positions on the output grid.
    method
        ``nearest``, ``linear``, ``cubic`` or ``lanczos``.

    Returns
    -------
    Shape (grid.depth, ...), float32; output plane ``grid.known[i]`` equals ``planes[i]``.
    """
    weights = interpolation_matrix(grid, method)
    flat = np.asarray(planes, dtype=np.float32).reshape(len(planes), -1)
    return (weights @ flat).reshape(grid.depth, *planes.shape[1:])
