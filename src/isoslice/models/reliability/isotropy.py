"""Check that a stack is statistically alike along Z, Y and X, which the method assumes.

Two quantities are measured on the measured planes alone. The error of predicting a plane as the
mean of its two neighbours, relative to predicting pixels from those at the same distance within
planes (`roughness.midpoint_error`): noise contributes equally to both, axial blur decreases the
ratio, shifted planes increase it, and wrong voxel sizes do either. And the jitter of mean
intensity from plane to plane, called flicker.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.roughness import midpoint_error

#: Largest tolerated jitter, relative to the standard deviation of intensities.
MAX_JITTER = 0.1
#: Blocks along Y and along X whose mean intensities must jump together to count as jitter.
BLOCKS_PER_SIDE = 4


@dataclass(frozen=True)
class Isotropy:
    """Comparison of Z with Y and X, for one channel.

    Attributes
    ----------
    ratio
        Mean squared error of planes as means of their neighbours, over that of pixels as means of
        those at the same distance along Y and X; None if planes are too few or too small.
    flicker
        See `plane_intensity_jitter`; None likewise.
    limits
        Range of the ratio in isotropic stacks.
    """

    ratio: float | None
    flicker: float | None
    limits: tuple[float, float]

    @property
    def is_blurred(self) -> bool:
        """Whether Z is smoother than X and Y."""
        return self.ratio is not None and self.ratio < self.limits[0]

    @property
    def message(self) -> str | None:
        """Warning for the user, or None."""
        if self.flicker is not None and self.flicker > MAX_JITTER:
            return (
                f"planes flicker: their brightness jumps by {self.flicker:.0%} of the contrast "
                "from plane to plane, and restored planes follow it; if it is the exposure's, even "
                "it out first; calibrated values, such as Hounsfield units, leave as they are"
            )
        if self.ratio is None or self.limits[0] <= self.ratio <= self.limits[1]:
            return None
        if self.is_blurred:
            return (
                f"neighbouring planes are more alike than pixels as far apart within planes "
                f"(errors {self.ratio:.2f} times as large): blurred along Z, thick overlapping "
                "planes, or a Z spacing that is given too large; restore with --slice-profile auto "
                "(or tell what planes see along Z), or check the voxel size"
            )
        return (
            f"neighbouring planes differ more than pixels as far apart within planes (errors "
            f"{self.ratio:.2f} times as large): shifted or uneven planes, layers, or a Z spacing "
            "that is given too small; align the planes and check the voxel size"
        )


def compare_directions(pieces: Sequence[NDArray[np.float32]], factor: int) -> tuple[Isotropy, ...]:
    """Compare Z with Y and X, channel by channel.

    Parameters
    ----------
    pieces
        Parts of the measured planes, normalised, (C, n, Y, X).
    factor
        Output planes per measured plane: distance of neighbouring planes in pixels.
    """
    across, along_y, along_x = (
        _pooled(pieces, dim, step) for dim, step in ((1, 1), (2, factor), (3, factor))
    )
    results = []
    for channel in range(len(pieces[0])):
        ratio = None
        within = (along_y[channel] * along_x[channel]) ** 0.5
        if np.isfinite(within) and within > 0 and np.isfinite(across[channel]):
            ratio = float(across[channel] / within)
        jitter = plane_intensity_jitter([piece[channel] for piece in pieces])
        results.append(Isotropy(ratio, jitter, limits_at(factor)))
    return tuple(results)


def limits_at(factor: int) -> tuple[float, float]:
    """Return limits of the ratio of errors, which narrow towards 1 with the distance of planes.

    Beyond the correlation length differences are alike in all directions. From 0.45 and 1.85 at 2x
    to 0.65 and 1.55 at 8x and above; volumes of isotropic voxels stay within
    (docs/explanation/trust.md).
    """
    octaves = min(math.log2(factor), 3.0)
    return 0.35 + 0.1 * octaves, 2.0 - 0.15 * octaves


def plane_intensity_jitter(pieces: Sequence[NDArray[np.float32]]) -> float | None:
    """Estimate the standard deviation of planes' mean intensity, relative to that of intensities.

    A plane is compared with the mean of its neighbours, in `BLOCKS_PER_SIDE` x `BLOCKS_PER_SIDE`
    blocks. Jumps that all its blocks share are jitter; those of single blocks are structure.

    Parameters
    ----------
    pieces
        Parts of planes, (n, Y, X).

    Returns
    -------
    None if planes are too few or too small, or constant.
    """
    common, variance, side = [], [], BLOCKS_PER_SIDE
    for piece in pieces:
        count, height, width = piece.shape
        if count < 3 or min(height, width) < 4 * side:
            continue
        high, wide = height // side, width // side
        cut = piece[:, : high * side, : wide * side]
        means = cut.reshape(count, side, high, side, wide).mean((2, 4), dtype=np.float64)
        jumps = (means[1:-1] - (means[:-2] + means[2:]) / 2).reshape(count - 2, -1)
        blocks = jumps.shape[1]
        # The mean product of jumps of different blocks is zero if these are independent.
        total, own = jumps.sum(1) ** 2, np.square(jumps).sum(1)
        common.append(((total - own) / (blocks * (blocks - 1))).mean())
        variance.append(float(cut.var(dtype=np.float64)))
    if not variance or not np.mean(variance) > 0:
        return None
    # A jump has the variance of the plane plus a quarter of each neighbour's: 1 + 1/4 + 1/4.
    return float(np.sqrt(max(0.0, float(np.mean(common))) / 1.5 / np.mean(variance)))


def _pooled(pieces: Sequence[NDArray[np.float32]], dim: int, step: int) -> NDArray[np.float64]:
    """Average `midpoint_error` over all pieces that are large enough, (C,)."""
    import torch

    errors = [midpoint_error(torch.from_numpy(piece), dim, step).numpy() for piece in pieces]
    kept = [error for error in errors if np.isfinite(error).all()]
    if not kept:
        return np.full(len(pieces[0]), np.nan)
    return np.asarray(np.mean(kept, axis=0), np.float64)
