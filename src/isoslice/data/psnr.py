"""Peak signal-to-noise ratio (PSNR) of arrays, and from mean squared errors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def psnr(image: NDArray[Any], truth: NDArray[Any], data_range: float) -> float:
    """Compute the PSNR in dB of two arrays of the same shape, of any real type.

    The peak is `data_range`; the result is infinite where both arrays are equal.
    """
    # A volume goes plane by plane: double precision throughout, and no copy of all of it.
    pairs = zip(image, truth, strict=True) if truth.ndim > 2 else [(image, truth)]
    error = sum(float(np.square(np.subtract(i, t, dtype=np.float64)).sum()) for i, t in pairs)
    if error == 0:
        return float("inf")
    return float(10 * np.log10(data_range**2 * truth.size / error))


def psnr_from_mse(mse: float, data_range: float | None = None) -> float:
    """Compute the PSNR in dB from a mean squared error; infinite at 0.

    Without `data_range`, `mse` is relative to its square.
    """
    if mse == 0:
        return float("inf")
    return float(-10 * np.log10(mse) if data_range is None else 10 * np.log10(data_range**2 / mse))


def pooled_psnr(values: Sequence[float]) -> float:
    """Compute the PSNR of the mean of the squared errors that have these PSNRs."""
    return psnr_from_mse(float(np.mean([10 ** (-value / 10) for value in values])))
