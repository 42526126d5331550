"""What the spread of samples adds to the standard deviations that the error head predicts.

Samples show where the network wavers, but their spread as a whole is set by how detail was
strengthened, and that of a few is noisy. So their variance is smoothed, a geometric mean of both
variances is taken, the samples' with a quarter of the weight, and brought back to the calibrated
level: on an average of logarithms, each voxel weighted with its standard deviation, nothing
changes. The two averages over a frame that this needs are made of sums over its blocks.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

#: Deviation, in voxels, of the Gaussian that smooths the variance of samples; their weight.
SMOOTHED, SAMPLED = 1.0, 0.25
#: How far the Gaussian reaches, in voxels.
REACH = 4
#: Share of the predicted variance that is left where samples do not differ at all.
LEAST = 0.01


def smoothed_variance(squares: NDArray[np.float32], samples: int) -> NDArray[np.float32]:
    """Smooth the variance of samples, from the sum of their squared distances from the mean.

    Shape (C, Z, Y, X); the result holds where `REACH` voxels around were given.
    """
    from scipy.ndimage import gaussian_filter

    return np.stack(
        [gaussian_filter(channel / samples, SMOOTHED, truncate=REACH) for channel in squares]
    )


class BlockSums(NamedTuple):
    """Sums over the hidden voxels of a block, of each channel.

    Of predicted and of sampled variances, from which `level_of` makes the samples' level; or of
    weighted changes and of weights, from which `average_of` makes the average change.
    """

    above: tuple[float, ...]
    below: tuple[float, ...]


def variance_sums(std: NDArray[np.float32], drawn: NDArray[np.float32]) -> BlockSums:
    """Sum predicted and sampled variances of a block (C, z, y, x)."""
    above, below = np.zeros((2, len(std)))
    for own, sampled in _planes(std, drawn):
        variance = own.astype(np.float64) ** 2
        above += variance.sum(axis=(1, 2))
        below += np.where(own > 0, sampled, 0).sum(axis=(1, 2), dtype=np.float64)
    return BlockSums(tuple(above.tolist()), tuple(below.tolist()))


def level_of(sums: Sequence[BlockSums]) -> tuple[float, ...]:
    """Return what sampled variances are multiplied by, of each channel."""
    above, below = _totals(sums)
    return tuple(a / max(b, 1e-30) for a, b in zip(above, below, strict=True))


def change_sums(
    std: NDArray[np.float32], drawn: NDArray[np.float32], level: Sequence[float]
) -> BlockSums:
    """Sum the changes of the logarithm of a block's standard deviations, and their weights."""
    above, below = np.zeros((2, len(std)))
    for own, sampled in _planes(std, drawn):
        above += (own * _changes(own, sampled, level)).sum(axis=(1, 2))
        below += own.sum(axis=(1, 2), dtype=np.float64)
    return BlockSums(tuple(above.tolist()), tuple(below.tolist()))


def average_of(sums: Sequence[BlockSums]) -> tuple[float, ...]:
    """Return the weighted average of the changes, of each channel."""
    above, below = _totals(sums)
    return tuple(a / b if b else 0.0 for a, b in zip(above, below, strict=True))


def joined(
    std: NDArray[np.float32],
    drawn: NDArray[np.float32],
    level: Sequence[float],
    average: Sequence[float],
) -> NDArray[np.float32]:
    """Put predicted deviations and sampled variances (C, z, y, x) together; 0 where `std` is 0."""
    both = np.empty_like(std)
    for (own, sampled), into in zip(_planes(std, drawn), both.swapaxes(0, 1), strict=True):
        change = _changes(own, sampled, level) - np.reshape(average, (-1, 1, 1))
        into[...] = own * np.exp(change)
    return both


def _planes(
    std: NDArray[np.float32], drawn: NDArray[np.float32]
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Yield planes (C, y, x) of both, one by one, for memory."""
    return zip(std.swapaxes(0, 1), drawn.swapaxes(0, 1), strict=True)


def _changes(
    std: NDArray[np.float32], drawn: NDArray[np.float32], level: Sequence[float]
) -> NDArray[np.float64]:
    """Compute the change of the logarithm of deviations (C, y, x); 0 where they are 0."""
    variance = std.astype(np.float64) ** 2
    sampled = drawn * np.reshape(np.asarray(level, np.float64), (-1, 1, 1))
    # Where samples agree entirely they still say no more than that it is little.
    ratio = np.ones_like(variance)
    np.divide(sampled + LEAST * variance, variance, out=ratio, where=variance > 0)
    change: NDArray[np.float64] = SAMPLED / 2 * np.log(ratio)
    return change


def _totals(sums: Sequence[BlockSums]) -> tuple[list[float], list[float]]:
    above, below = (np.sum([one[side] for one in sums], axis=0).tolist() for side in (0, 1))
    return above, below
