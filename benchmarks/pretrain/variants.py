"""Variants of a stack: other scales, contrasts and noise, each with its own units.

A user's stack is sampled more or less finely than the corpus's, bright on dark or dark on bright,
and noisier. Variants are made before training, so that the units of each are measured on it alone,
as they are measured on a stack that is restored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812

from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack

Floats = NDArray[np.float32]
#: Size in pixels relative to the corpus, with the share of crops of it; what has no room for a crop
#: is left out. The first is as it is; contrast and noise of the others are drawn.
SCALES = ((1.0, 0.4), (1.0, 0.2), (0.71, 0.15), (0.5, 0.1), (1.41, 0.15))
#: Share of variants that are inverted, bent, and made noisier; largest exponent of the curve, and
#: least and largest deviation of the noise.
INVERTED, BENT, NOISY = 0.4, 0.5, 0.3
CURVE, NOISE = 1.5, (0.01, 0.08)


@dataclass(frozen=True)
class Variant:
    """A variant of a stack, and the share of the stack's crops that are of it."""

    stack: PlaneStack
    share: float


def variants(planes: Floats, least_side: int, rng: np.random.Generator) -> list[Variant]:
    """Make variants of normalised planes (N, H, W).

    Parameters
    ----------
    planes
        Intensities in about [0, 1].
    least_side
        Of planes that are large enough for crops.
    rng
        Draws contrasts and noise.
    """
    made = []
    for number, (scale, share) in enumerate(SCALES):
        sized = planes if scale == 1 else rescaled(planes, scale)
        if min(sized.shape[1:]) < least_side:
            continue
        changed = sized if number == 0 else _changed(sized, rng)
        stack = PlaneStack(changed[:, None], Normalization((0.0,), (1.0,)))
        made.append(Variant(stack, share))
    return made


def rescaled(planes: Floats, scale: float) -> Floats:
    """Resample planes (N, H, W) with cubic splines, and an antialiasing filter if they shrink."""
    images = torch.from_numpy(np.ascontiguousarray(planes))[:, None]
    sized = F.interpolate(images, scale_factor=scale, mode="bicubic", antialias=True)
    return np.asarray(sized[:, 0].numpy(), np.float32)


def bent(images: Floats, curve: float) -> Floats:
    """Bend intensities by an exponential that keeps 0 and 1: darker for a positive `curve`."""
    if abs(curve) < 1e-3:
        return images
    return np.asarray(np.expm1(curve * images) / np.expm1(curve), np.float32)


def _changed(planes: Floats, rng: np.random.Generator) -> Floats:
    """Draw contrast and noise."""
    inverted, bending, noisy, curve, level = rng.random(5)
    if inverted < INVERTED:
        planes = 1 - planes
    if bending < BENT:
        planes = bent(planes, (2 * curve - 1) * CURVE)
    if noisy < NOISY:
        deviation = NOISE[0] * (NOISE[1] / NOISE[0]) ** level
        planes = planes + np.float32(deviation) * rng.standard_normal(planes.shape, np.float32)
    return np.asarray(planes, np.float32)
