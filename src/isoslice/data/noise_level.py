"""The noise of measured planes, from what varies from pixel to pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

#: Side of a patch, and the quantile of patches whose deviation is the noise: the smoothest ones.
PATCH, QUIET = 32, 0.1
#: Deviation of the mixed second difference of white noise of deviation 1.
_GAIN = 6.0


def noise_level(planes: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of white noise in planes (..., Y, X).

    The mixed second difference along Y and X is blind to edges and ramps along either (Immerkaer
    1996, Computer Vision and Image Understanding 64). Structure adds to it, so the quietest patches
    count; patches in which nothing varies do not.

    Returns
    -------
    In the planes' intensities; 0 where planes are smaller than a patch, or nothing varies.
    """
    y, x = planes.shape[-2:]
    if min(y, x) < PATCH:
        return 0.0
    differences = np.diff(np.diff(planes.astype(np.float64), n=2, axis=-2), n=2, axis=-1)
    rows, columns = (y - 2) // (PATCH - 2), (x - 2) // (PATCH - 2)
    side = PATCH - 2
    cut = differences[..., : rows * side, : columns * side]
    patches = cut.reshape(-1, rows, side, columns, side)
    deviations = np.sqrt((patches**2).mean(axis=(2, 4))).ravel() / _GAIN
    varied = deviations[np.isfinite(deviations) & (deviations > 0)]
    return float(np.quantile(varied, QUIET)) if len(varied) else 0.0
