"""Intensities to about [0, 1] and back, by percentiles over a whole stack."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, SettingsError

#: Percentiles mapped to 0 and 1; what lies beyond is not clipped, so nothing is lost.
PERCENTILES = (0.1, 99.9)


@dataclass(frozen=True)
class Normalization:
    """Intensities mapped to 0 and 1, one pair per channel.

    Integers survive `apply` and `invert` exactly; floats to float32 rounding.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]

    def _column(self, values: tuple[float, ...], ndim: int) -> NDArray[np.float64]:
        return np.asarray(values).reshape(-1, *([1] * (ndim - 1)))

    def apply(self, data: NDArray[Any]) -> NDArray[np.float32]:
        """Map `data`, shape (C, ...), so that low becomes 0 and high becomes 1; float32."""
        low = self._column(self.low, data.ndim)
        scale = self._column(self.high, data.ndim) - low
        return ((data - low) / scale).astype(np.float32)

    def invert(self, data: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Undo `apply`; integer types are rounded and clipped to their range."""
        inverted = np.empty(data.shape, dtype)
        limits = np.iinfo(dtype) if np.issubdtype(dtype, np.integer) else None
        for index in np.ndindex(data.shape[: max(1, data.ndim - 2)]):  # planes: saves memory
            low, high = self.low[index[0]], self.high[index[0]]
            values = data[index] * np.float64(high - low) + low
            if limits is not None:
                np.rint(values, out=values)
                np.clip(values, limits.min, limits.max, out=values)
            inverted[index] = values
        return inverted


def check_finite(data: NDArray[Any], source: str) -> None:
    """Raise `DataError` if floating-point `data` holds NaN or infinity."""
    if np.issubdtype(data.dtype, np.floating) and not np.isfinite(data).all():
        bad = int(data.size - np.isfinite(data).sum())
        raise DataError(
            f"{source}: got {bad} voxels that are NaN or infinite, expected finite numbers; "
            "replace them first (for example by numpy.nan_to_num)"
        )


def fixed_normalization(low: float, high: float, channels: int) -> Normalization:
    """Map `low` to 0 and `high` to 1 in every channel.

    Raises
    ------
    SettingsError
        If `high` is not above `low`.
    """
    if not (np.isfinite([low, high]).all() and high > low):
        raise SettingsError(f"got intensities {low:g} to {high:g}, expected two rising numbers")
    return Normalization((float(low),) * channels, (float(high),) * channels)


def percentile_normalization(data: NDArray[Any], source: str = "array") -> Normalization:
    """Measure the percentiles of each channel.

    Parameters
    ----------
    data
        Shape (C, ...); all voxels of a channel are pooled.
    source
        Name for messages.

    Raises
    ------
    DataError
        If every channel is constant, or a voxel is NaN or infinite. A channel that is constant
        beside others that are not keeps its value.
    """
    check_finite(data, source)
    lows, highs = [], []
    for channel in data.reshape(len(data), -1):
        low, high = (float(p) for p in np.percentile(channel, PERCENTILES))
        if not high > low:  # a sparse signal: almost all voxels are equal
            low, high = float(channel.min()), float(channel.max())
        lows.append(low)
        highs.append(high)
    if not any(high > low for low, high in zip(lows, highs, strict=True)):
        raise DataError(
            f"{source}: got a constant image (every voxel is {lows[0]:g}), expected structure to "
            "learn from; check that the right file or channel was given"
        )
    return Normalization(
        tuple(lows), tuple(h if h > lo else lo + 1 for lo, h in zip(lows, highs, strict=True))
    )
