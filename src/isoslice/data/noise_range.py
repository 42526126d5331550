"""The range of intensities that planes would have with more or less noise than they have.

Percentiles of noisy planes lie further apart than those of what they show: where much of a CT is
air, the percentile that becomes 0 lies three deviations of the noise below that of air. A network
that learned from planes with less noise then sees air, and all else, brighter than it knows them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.noise_level import noise_level
from isoslice.data.normalization import PERCENTILES, Normalization
from isoslice.data.subsampling import evenly_spaced

#: Planes of a stack in which noise is measured; pixels of a side that are all looked at, and of
#: longer ones, how many pieces of how many pixels.
PLANES, SIDE, PIECES, PIECE = 8, 1024, 4, 256
#: Stacks, or single images, of a training in which noise is measured.
STACKS = 32
#: Noise is more or less than wanted if it differs by this ratio, and in variance by the square of
#: this: less by more, since planes that are blurred show less of a specimen's grain.
OTHER_NOISE, MORE, LESS = 1.25, 0.005, 0.01
#: Largest deviation of noise that is taken from a histogram; networks are told of no more, either.
MOST_EXCESS = 0.1
#: Bins to a deviation, and limits of the histogram in normalised intensities.
BINS, LIMITS = 4, (-1.0, 2.0)
#: Iterations of Richardson and Lucy, and the exponent of the ratios, by which each counts twice.
#: The lowest percentile of air with noise comes within 0.7 deviations so; with ten times more
#: within 0.5, where smooth histograms break up.
ITERATIONS, EXPONENT = 400, 2.0


def pieces(size: int) -> list[slice]:
    """Return what is looked at along a side of `size` pixels: all, or evenly spaced pieces."""
    if size <= SIDE:
        return [slice(0, size)]
    starts = evenly_spaced(size - PIECE + 1, PIECES)
    return [slice(start, start + PIECE) for start in starts]


def training_noise(
    stacks: Sequence[tuple[NDArray[Any], Normalization]],
) -> tuple[float, ...]:
    """Measure the deviation of the noise of training planes, normalised, of each channel.

    Parameters
    ----------
    stacks
        Planes (N, C, H, W), and the normalization of their intensities.

    Returns
    -------
    Medians over stacks.
    """
    levels = []
    for index in evenly_spaced(len(stacks), STACKS):
        data, normalization = stacks[index]
        levels.append(noise_levels(normalization.apply(some_of(data))))
    return tuple(float(level) for level in np.median(levels, axis=0))


def some_of(planes: NDArray[Any]) -> NDArray[Any]:
    """Take some of many planes (N, C, H, W), or pieces of large ones: (C, n, h, w)."""
    rows, columns = (np.r_[tuple(pieces(size))] for size in planes.shape[2:])
    some = planes[evenly_spaced(len(planes), PLANES)][:, :, rows][..., columns]
    return np.asarray(some.swapaxes(0, 1))


def noise_levels(planes: NDArray[np.float32]) -> tuple[float, ...]:
    """Measure the noise of each channel of normalised planes (C, n, H, W)."""
    return tuple(noise_level(channel) for channel in planes)


def as_noisy_as(
    normalization: Normalization,
    planes: NDArray[Any],
    wanted: Sequence[float],
    seen: Sequence[float] | None = None,
) -> Normalization:
    """Normalise a stack as though its noise were another.

    Parameters
    ----------
    normalization
        By the percentiles of the stack as it is.
    planes
        Some of its planes, (C, n, H, W), in the stack's intensities.
    wanted
        Deviation of the noise, normalised, of each channel.
    seen
        What `noise_levels` measures on these planes, normalised, if that is known.

    Returns
    -------
    The normalization with other `low` and `high`; the same where noise is about what is wanted, or
    nothing can be said of it.
    """
    scaled = normalization.apply(planes)
    low, high = list(normalization.low), list(normalization.high)
    levels = noise_levels(scaled) if seen is None else seen
    for channel, (noise, other) in enumerate(zip(levels, wanted, strict=True)):
        if not differs(noise, other):
            continue
        limits = normalization.limits_of(len(planes))[channel]
        known = np.isfinite(planes[channel])
        if limits.padding:
            known &= planes[channel] != limits.outside
        down, up = percentile_shifts(scaled[channel][known], noise, other)
        if 1 + up > down:
            unit = high[channel] - low[channel]
            low[channel], high[channel] = low[channel] + down * unit, high[channel] + up * unit
    return replace(normalization, low=tuple(low), high=tuple(high))


def differs(noise: float, other: float) -> bool:
    """Whether a stack's noise, if any was seen, is so much another that its range is, too."""
    if not noise:
        return False
    ratio = max(noise, other) / max(min(noise, other), 1e-9)
    least = MORE if noise > other else LESS
    return ratio >= OTHER_NOISE and abs(noise**2 - other**2) >= least**2


def percentile_shifts(
    values: NDArray[np.float32], noise: float, wanted: float
) -> tuple[float, float]:
    """Return how far `PERCENTILES` move if the noise in values were another.

    Less noise: the histogram is deconvolved (Richardson 1972, Lucy 1974); more: convolved.

    Parameters
    ----------
    values
        Normalised.
    noise, wanted
        Deviation of the noise that values have, and of that which they should have.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(0, 0.03, 100_000).astype(np.float32)
    >>> shifts = percentile_shifts(noise, 0.03, 0.0)  # of 0.093 at most
    >>> [round(shift, 2) for shift in shifts]
    [0.08, -0.08]
    """
    if not values.size:
        return 0.0, 0.0
    excess = min(float(np.sqrt(abs(noise**2 - wanted**2))), MOST_EXCESS)
    width, margin = excess / BINS, 5 * excess
    least, most = max(LIMITS[0], float(values.min())), min(LIMITS[1], float(values.max()))
    edges = np.arange(least - margin, most + margin + width, width)
    counts = np.histogram(np.clip(values, least, most), edges)[0].astype(np.float64)
    other = _smoothed(counts) if wanted > noise else _deconvolved(counts)
    before, after = (_quantiles(each, edges) for each in (counts, other))
    return float(after[0] - before[0]), float(after[1] - before[1])


def _smoothed(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    from scipy.ndimage import gaussian_filter1d

    smooth: NDArray[np.float64] = gaussian_filter1d(counts, BINS, mode="constant", truncate=6)
    return smooth


def _deconvolved(counts: NDArray[np.float64]) -> NDArray[np.float64]:
    estimate = counts + 1e-6 * counts.max()
    for _ in range(ITERATIONS):
        ratio = counts / np.maximum(_smoothed(estimate), 1e-12 * counts.max())
        estimate = estimate * _smoothed(ratio) ** EXPONENT
    result: NDArray[np.float64] = estimate
    return result


def _quantiles(counts: NDArray[np.float64], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    below = np.concatenate([[0.0], np.cumsum(counts)])
    wanted = np.asarray(PERCENTILES) / 100 * below[-1]
    return np.asarray(np.interp(wanted, below, edges), np.float64)
