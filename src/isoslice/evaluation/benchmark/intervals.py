"""Means over images with 95% intervals by resampling the images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoslice.data.psnr import psnr_from_mse

#: Resamples behind each interval.
RESAMPLES = 1000
#: Least mean squared error, relative to the squared data range: PSNR is at most 120 dB.
MIN_MSE = 1e-12


def mean_interval(values: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Mean of one value an image, and the 2.5 and 97.5 percentiles of resampled means.

    Returns
    -------
    ``{"value": ..., "low": ..., "high": ...}``
    """
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def psnr_interval(squared: NDArray[np.float64], seed: int) -> dict[str, float]:
    """PSNR in dB of the mean of one squared error an image, relative to the data range.

    Errors are pooled before the logarithm: the mean of the images' own PSNRs would be ruled by
    those without an error, and infinite where one, of plain background, is restored exactly.

    Returns
    -------
    As `mean_interval`, at most 120 dB.
    """
    interval = mean_interval(squared, seed)
    ends = {"value": "value", "low": "high", "high": "low"}  # the largest error, the lowest PSNR
    return {key: psnr_from_mse(max(interval[end], MIN_MSE)) for key, end in ends.items()}
