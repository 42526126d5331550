"""Measure in what intensities and residuals of a stack count, as `inference.stack_units` does.

With PyTorch alone, since packages hold this, too; from the same seed, so with the same result.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isoslice.data.masking import draw_masks, fill_rows
from isoslice.models.diffusion.variance_stabilization import fit_softening, stretch

#: Planes that are looked at; pixels of a side that are, and of longer ones, pieces of how many.
PLANES, WHOLE_SIDE, PIECES, PIECE = 8, 1024, 4, 256
#: Normalised intensities beyond which a voxel is hot or dead, and tells nothing of the others.
RANGE = (-1.0, 4.0)
#: Crops of these planes, sides of the largest and the smallest, and least deviation.
CROPS, SIDES, LEAST_DEVIATION = 256, (64, 16), 1e-3


def measured_units(
    planes: Tensor, factors: Sequence[int], even_share: float
) -> tuple[float | None, float] | None:
    """Measure units on random rows of random crops, which are hidden and interpolated.

    Parameters
    ----------
    planes
        Shape (C, n, Y, X), normalised.
    factors, even_share
        How many rows are hidden, and how often evenly; see `draw_masks`.

    Returns
    -------
    Softening of the intensities (see `fit_softening`), and standard deviation of what
    interpolation is wrong by; None of planes that are too small.
    """
    some = planes[:, evenly_spaced(planes.shape[1], PLANES)]
    some = some[:, :, pieces(planes.shape[2])][..., pieces(planes.shape[3])]
    images = some.flatten(0, 1).cpu().clamp(*RANGE)
    side = min(SIDES[0], min(images.shape[1:]) // SIDES[1] * SIDES[1])
    if side < SIDES[1]:
        return None
    generator = torch.Generator().manual_seed(0)
    crops = random_crops(images, side, generator)
    masks = draw_masks(CROPS, side, tuple(factors), even_share, generator)
    hidden = (~masks)[:, None, :, None].expand_as(crops)
    base = fill_rows(crops, masks)
    softening = fit_softening(base[hidden], (crops - base)[hidden])
    stretched = stretch(crops, softening)
    wrong = stretched - fill_rows(stretched, masks)
    return softening, max(float(wrong[hidden].square().mean().sqrt()), LEAST_DEVIATION)


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


def pieces(length: int) -> list[int]:
    """List the pixels along a side that are looked at: all, or evenly spaced pieces."""
    if length <= WHOLE_SIDE:
        return list(range(length))
    starts = evenly_spaced(length - PIECE + 1, PIECES)
    return [pixel for start in starts for pixel in range(start, start + PIECE)]


def evenly_spaced(length: int, count: int) -> list[int]:
    """List evenly spaced indices below `length`, the first and the last among them."""
    step = (length - 1) / max(1, min(count, length) - 1)
    return [round(index * step) for index in range(min(count, length))]
