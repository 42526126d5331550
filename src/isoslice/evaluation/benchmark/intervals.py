"""Means over images with 95% intervals by resampling the images."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoslice.data.psnr import psnr_from_mse

#: Resamples for each interval.
RESAMPLES = 1000
#: Least mean squared error, relative to the squared data range: PSNR is at most 120 dB.
MIN_MSE = 1e-12


def mean_interval(values: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Average one value per image; 2.5 and 97.5 percentiles of means over resampled images.

    Returns
    -------
    ``{"value": ..., "low": ..., "high": ...}``
    """
    draws = np.random.default_rng(seed).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), (2.5, 97.5))
    return {"value": float(values.mean()), "low": float(low), "high": float(high)}


def psnr_interval(squared: NDArray[np.float64], seed: int) -> dict[str, float]:
    """Compute the PSNR in dB of the mean of one squared error per image, for data range 1.

    Errors are averaged before the logarithm: the mean of PSNRs is dominated by images with small
    errors, and infinite where one, of plain background, is restored exactly.

    Returns
    -------
    As `mean_interval`, at most 120 dB.
    """
    interval = mean_interval(squared, seed)
    ends = {"value": "value", "low": "high", "high": "low"}  # the largest error has the lowest PSNR
    return {key: psnr_from_mse(max(interval[end], MIN_MSE)) for key, end in ends.items()}
