"""Does a stack look alike along Z and along Y and X? The method assumes so.

Two things are compared, both from measured planes alone. How wrong a plane is as the mean of the
two next to it, against pixels as means of those as far away within planes (`roughness.anisotropy`):
noise is in both alike, axial blur makes the first small, wrong voxel sizes make either small,
shifted planes make the first large. And whether planes flicker: how much their brightness as a
whole jumps from plane to plane.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.roughness import midpoint_error

#: Flicker of planes that is tolerated, as a share of the deviation of intensities.
FLICKER = 0.1
#: Blocks along Y and along X whose brightness must jump together to count as flicker.
BLOCKS = 4


@dataclass(frozen=True)
class Isotropy:
    """How Z compares with Y and X, of one channel.

    Attributes
    ----------
    ratio
        Mean squared error of planes as means of their neighbours, over that of pixels as means of
        those as far away along Y and X; None where planes are too few or too small to tell.
    flicker
        Deviation of whole planes' brightness from that of their neighbours, relative to the
        deviation of intensities; None likewise.
    limits
        Between which the ratio lies in stacks that are alike in all directions.
    """

    ratio: float | None
    flicker: float | None
    limits: tuple[float, float]

    @property
    def message(self) -> str | None:
        """What the user should know, or None."""
        if self.flicker is not None and self.flicker > FLICKER:
            return (
                f"planes flicker: their brightness jumps by {self.flicker:.0%} of the contrast "
                "from plane to plane; even it out first, since restored planes follow it"
            )
        if self.ratio is None or self.limits[0] <= self.ratio <= self.limits[1]:
            return None
        if self.ratio < self.limits[0]:
            return (
                f"neighbouring planes are more alike than pixels as far apart within planes "
                f"(errors {self.ratio:.2f} times as large): blurred along Z, thick overlapping "
                "planes, or a Z spacing that is given too large; check the voxel size"
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
        Output planes per measured plane: how many pixels neighbouring planes are apart.
    """
    across, along_y, along_x = (
        _pooled(pieces, dim, step) for dim, step in ((1, 1), (2, factor), (3, factor))
    )
    found = []
    for channel in range(len(pieces[0])):
        ratio = None
        within = (along_y[channel] * along_x[channel]) ** 0.5
        if np.isfinite(within) and within > 0 and np.isfinite(across[channel]):
            ratio = float(across[channel] / within)
        flickers = flicker([piece[channel] for piece in pieces])
        found.append(Isotropy(ratio, flickers, limits_at(factor)))
    return tuple(found)


def limits_at(factor: int) -> tuple[float, float]:
    """Limits of the ratio of errors: the farther planes are apart, the closer to 1 it must be.

    What is far apart differs as it does in any direction. From 0.45 and 1.85 at 2x to 0.65 and 1.55
    at 8x, outside of what volumes of isotropic voxels gave (docs/trust.md); beyond as at 8x.
    """
    octaves = min(math.log2(factor), 3.0)
    return 0.35 + 0.1 * octaves, 2.0 - 0.15 * octaves


def flicker(pieces: Sequence[NDArray[np.float32]]) -> float | None:
    """Deviation of whole planes' brightness, relative to that of intensities.

    Parameters
    ----------
    pieces
        Parts of planes, (n, Y, X).

    A plane is compared with the mean of its neighbours, in `BLOCKS` squared blocks. What all blocks
    of a plane have in common is flicker; what each has on its own is structure, and does not count.
    Returns None where planes are too few or too small, or do not vary.
    """
    common, variance = [], []
    for piece in pieces:
        count, height, width = piece.shape
        if count < 3 or min(height, width) < 4 * BLOCKS:
            continue
        high, wide = height // BLOCKS, width // BLOCKS
        cut = piece[:, : high * BLOCKS, : wide * BLOCKS]
        means = cut.reshape(count, BLOCKS, high, BLOCKS, wide).mean((2, 4), dtype=np.float64)
        jumps = (means[1:-1] - (means[:-2] + means[2:]) / 2).reshape(count - 2, -1)
        blocks = jumps.shape[1]
        # The mean product of different blocks: independent blocks have none.
        total, own = jumps.sum(1) ** 2, np.square(jumps).sum(1)
        common.append(((total - own) / (blocks * (blocks - 1))).mean())
        variance.append(float(cut.var(dtype=np.float64)))
    if not variance or not np.mean(variance) > 0:
        return None
    # A jump holds the plane's own flicker and half of its neighbours': 1 + 1/4 + 1/4.
    return float(np.sqrt(max(0.0, float(np.mean(common))) / 1.5 / np.mean(variance)))


def _pooled(pieces: Sequence[NDArray[np.float32]], dim: int, step: int) -> NDArray[np.float64]:
    """Midpoint errors over all pieces that are large enough, (C,)."""
    import torch

    errors = [midpoint_error(torch.from_numpy(piece), dim, step).numpy() for piece in pieces]
    kept = [error for error in errors if np.isfinite(error).all()]
    if not kept:
        return np.full(len(pieces[0]), np.nan)
    return np.asarray(np.mean(kept, axis=0), np.float64)
