"""Measure on planes in what intensities and residuals count, for a model of many specimens.

With PyTorch alone, since packages of bioimage.io hold this, too.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isoslice.data.masking import draw_masks, fill_rows
from isoslice.models.diffusion.variance_stabilization import fit_softening, stretch

#: Normalised intensities beyond which a voxel is hot or dead, and tells nothing of the others.
RANGE = (-1.0, 4.0)
#: Crops that are looked at, sides of the largest and the smallest.
CROPS, SIDES = 256, (64, 16)
#: Deviations of residuals that networks can be told; of smoother planes this.
LEAST_DEVIATION = 1e-3


def plane_units(
    planes: Tensor, factors: Sequence[int], even_share: float
) -> tuple[float | None, float] | None:
    """Measure units on random rows of random crops of planes (n, Y, X), which are interpolated.

    Crops that show nothing at all, as beside a specimen that was turned, do not count.

    Parameters
    ----------
    planes
        Normalised, without NaN.
    factors, even_share
        How many rows are hidden, and how often evenly; see `draw_masks`.

    Returns
    -------
    Softening and residual deviation, see `row_units`; None of planes that are too small.
    """
    images = planes.cpu().clamp(*RANGE)
    side = min(SIDES[0], min(images.shape[1:]) // SIDES[1] * SIDES[1])
    if side < SIDES[1]:
        return None
    generator = torch.Generator().manual_seed(0)
    crops = random_crops(images, side, generator)
    masks = draw_masks(CROPS, side, tuple(factors), even_share, generator)
    flat = crops.flatten(1)
    shows = flat.amax(1) > flat.amin(1)
    if shows.any():
        crops, masks = crops[shows], masks[shows]
    softening, deviation = row_units(crops, masks)
    return softening, max(deviation, LEAST_DEVIATION)


def row_units(crops: Tensor, masks: Tensor) -> tuple[float | None, float]:
    """Return softening and residual deviation on hidden rows of crops (N, C, H, W).

    Parameters
    ----------
    crops
        Normalised.
    masks
        Known rows, (N, H).

    Returns
    -------
    Softening: see `fit_softening`. Deviation: the RMS of x - b, of stretched intensities.
    """
    hidden = (~masks)[:, None, :, None].expand_as(crops)
    base = fill_rows(crops, masks)
    softening = fit_softening(base[hidden], (crops - base)[hidden])
    stretched = stretch(crops, softening)
    residual = stretched - fill_rows(stretched, masks)
    return softening, float(residual[hidden].square().mean().sqrt())


def random_crops(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    """Cut crops out of images (N, H, W), turned and flipped: (CROPS, 1, side, side)."""
    count, height, width = images.shape
    numbers = torch.rand(CROPS, 5, generator=generator, dtype=torch.float64)
    ranges = torch.tensor([1, count, height - side + 1, width - side + 1, 8])
    places = torch.minimum((numbers * ranges).long(), ranges - 1)
    crops = []
    for _, image, top, left, turn in places.tolist():
        crop = images[image, top : top + side, left : left + side].rot90(turn % 4)
        crops.append(crop.flip(0) if turn >= 4 else crop)
    return torch.stack(crops)[:, None]
