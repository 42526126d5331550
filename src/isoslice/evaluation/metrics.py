"""Metrics of a volume against the truth: L1, SSIM and gradient ratios; `data.psnr` has PSNR."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError

#: Side in pixels of SSIM's window at sigma 1.5; smaller images have no SSIM.
SSIM_WINDOW = 11


def data_range_of(truth: NDArray[Any]) -> float:
    """Compute the range that PSNR and SSIM refer to: 99.9th minus 0.1th percentile of the truth.

    Unlike the maximum, it doesn't depend on a single hot pixel. Where nearly every voxel has the
    same value it falls back to the maximum minus the minimum.

    Raises
    ------
    DataError
        If the truth is constant.
    """
    low, high = np.percentile(truth, (0.1, 99.9))
    if high <= low:
        low, high = float(truth.min()), float(truth.max())
    if high <= low:
        raise DataError(
            f"got a truth in which every voxel is {low:g}, expected some contrast; pick another "
            "channel or region, or give the range, for example with --data-range 1"
        )
    return float(high - low)


def l1(image: NDArray[Any], truth: NDArray[Any]) -> float:
    """Compute the mean absolute difference of two arrays of the same shape, in their units."""
    # A volume goes plane by plane, as in `data.psnr.psnr`.
    pairs = zip(image, truth, strict=True) if truth.ndim > 2 else [(image, truth)]
    error = sum(float(np.abs(np.subtract(i, t, dtype=np.float64)).sum()) for i, t in pairs)
    return error / truth.size


def ssim(image: NDArray[Any], truth: NDArray[Any], data_range: float) -> float | None:
    """Compute the structural similarity of two images (Wang et al. 2004, Gaussian window).

    Returns None where a side is shorter than the window (11).
    """
    from skimage.metrics import structural_similarity

    if min(truth.shape) < SSIM_WINDOW:
        return None
    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            image.astype(np.float64),
            truth.astype(np.float64),
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def gradient_ratio(volume: NDArray[Any], truth: NDArray[Any]) -> tuple[float | None, ...]:
    """Compute the mean absolute gradient along each axis, relative to the truth's.

    Below 1 the volume is smoother than the truth along that axis, above 1 rougher. None where the
    truth doesn't vary along an axis, or has a single plane.
    """
    ratios: list[float | None] = []
    for axis in range(truth.ndim):
        ours, theirs = _roughness(volume, axis), _roughness(truth, axis)
        ratios.append(ours / theirs if theirs > 0 else None)
    return tuple(ratios)


def mean_known(values: Sequence[float | None]) -> float | None:
    """Return the mean of the values that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _roughness(volume: NDArray[Any], axis: int) -> float:
    planes = np.moveaxis(volume, axis, 0)
    if len(planes) < 2:
        return 0.0
    # Unsigned integers would wrap around, and one pair at a time needs no copy of the volume.
    steps = [float(np.abs(np.subtract(b, a, dtype=np.float64)).mean()) for a, b in pairwise(planes)]
    return float(np.mean(steps))
