"""Planes of any voxel type as bytes, and the two bytes that stand for 0 and 1."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from pretrain.corpus import Stack

#: Normalised intensities that the first and the last byte stand for, where bytes are rounded.
LIMITS = (-0.1, 1.15)
LAST = 255


class Codes(NamedTuple):
    """Planes as bytes.

    Attributes
    ----------
    planes
        Shape (N, H, W), uint8; a byte b is the normalised intensity (b - low) / (high - low).
    low, high
        Bytes, or numbers between them, that stand for 0 and 1.
    exact
        Whether nothing was rounded; intensities beyond the bytes are clipped even so.
    """

    planes: NDArray[np.uint8]
    low: float
    high: float
    exact: bool


def encode(stack: Stack) -> Codes:
    """Turn a stack's planes into bytes, one for each intensity wherever there are few enough.

    Whole numbers keep their steps if `LIMITS`, or all intensities, span at most 256 of them; other
    intensities are rounded to 255 steps between `LIMITS`.
    """
    (low,), (high,) = stack.normalization.low, stack.normalization.high
    first = _first(stack.planes, low, high)
    if first is not None and not stack.normalization.limits_of(1)[0].padding:
        planes = np.clip(stack.planes.astype(np.float64) - first, 0, LAST).astype(np.uint8)
        return Codes(planes, low - first, high - first, exact=True)
    step = (LIMITS[1] - LIMITS[0]) / LAST
    scaled = np.rint((stack.normalised() - LIMITS[0]) / step)
    planes = np.clip(scaled, 0, LAST).astype(np.uint8)
    return Codes(planes, -LIMITS[0] / step, (1 - LIMITS[0]) / step, exact=False)


def _first(planes: NDArray[Any], low: float, high: float) -> float | None:
    """Return the whole intensity that the byte 0 stands for; None where steps do not fit."""
    if not np.isfinite(planes).all() or (planes != np.rint(planes)).any():
        return None
    least, most = float(planes.min()), float(planes.max())
    if most - least <= LAST:
        return least
    first = max(least, float(np.floor(low + LIMITS[0] * (high - low))))
    return first if first + LAST >= low + LIMITS[1] * (high - low) else None


def clipped_share(stack: Stack, codes: Codes) -> float:
    """Tell which share of a stack's voxels lies beyond its bytes, which cut them off."""
    values = stack.normalised()
    ends = [(byte - codes.low) / (codes.high - codes.low) for byte in (-0.5, LAST + 0.5)]
    return float(((values < ends[0]) | (values > ends[1])).mean())
