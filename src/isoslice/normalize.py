"""Intensities to about [0, 1] and back, by percentiles over a whole stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, SettingsError
from isoslice.percentiles import percentiles
from isoslice.progress import Progress
from isoslice.volume import Volume

#: Percentiles mapped to 0 and 1; what lies beyond is not clipped, so nothing is lost.
PERCENTILES = (0.1, 99.9)
#: What is measured: these, and the least and the largest.
LEVELS = (0.0, *PERCENTILES, 100.0)
#: Bytes that are read at once to measure them.
PART = 64 * 2**20


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

    def widths(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map differences (C, ...), such as standard deviations, to differences of intensities."""
        scale = self._column(self.high, data.ndim) - self._column(self.low, data.ndim)
        return data * scale.astype(np.float32)

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
    flat = data.reshape(len(data), -1)
    return normalization_of(
        [percentiles(partial(_all_of, channel), LEVELS) for channel in flat], source
    )


def _all_of(channel: NDArray[Any]) -> list[NDArray[Any]]:
    return [channel]


def streamed_levels(volume: Volume, progress: Progress) -> list[list[float]]:
    """Measure `LEVELS` of each channel of a volume that is read part by part.

    Raises
    ------
    DataError
        If a voxel is NaN or infinite.
    """
    from isoslice.io.read import read_part  # which needs this file

    times, channels, depth, height, width = (volume.size(axis) for axis in "TCZYX")
    # Whole chunks, as many as PART holds: one that is read in parts is decoded for each of them.
    chunk = getattr(volume.data, "chunks", None) or volume.data.shape
    deep, high = (chunk[volume.axes.index(axis)] if axis in volume.axes else 1 for axis in "ZY")
    room = max(1, PART // (width * volume.data.dtype.itemsize))
    high = min(height, max(high, room // deep // high * high))
    deep = min(depth, max(deep, room // high // deep * deep))
    starts = [
        (t, z, y)
        for t in range(times)
        for z in range(0, depth, deep)
        for y in range(0, height, high)
    ]
    passes = [0]

    def parts(channel: int) -> Iterator[NDArray[Any]]:
        for number, (t, z, y) in enumerate(starts):
            rows, planes = slice(y, min(y + high, height)), slice(z, min(z + deep, depth))
            part = read_part(volume, (t, channel, planes, rows))
            check_finite(part, volume.source)
            yield part
            if len(starts) > 1:
                progress.update(
                    f"looking at intensities, channel {channel + 1}, pass {passes[0] + 1}",
                    (number + 1) / len(starts),
                )
        passes[0] += 1

    levels = []
    for channel in range(channels):
        passes[0] = 0
        levels.append(percentiles(partial(parts, channel), LEVELS))
    return levels


def normalization_of(levels: Sequence[Sequence[float]], source: str) -> Normalization:
    """Choose what becomes 0 and 1 from each channel's percentiles at `LEVELS`.

    Raises
    ------
    DataError
        If every channel is constant.
    """
    lows, highs = [], []
    for least, low, high, most in levels:
        if not high > low:  # a sparse signal: almost all voxels are equal
            low, high = least, most
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
