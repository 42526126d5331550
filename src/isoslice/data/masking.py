"""Row masks: which rows of a 2D image are known (paper, section 3.1).

A mask is a boolean tensor of shape (..., H): True where the row is known. Training masks vary as
users' stacks do: every 2nd to every 8th row, evenly spaced or not.
"""

from __future__ import annotations

import torch
from torch import Tensor

from isoslice.runtime.device import scanning_device


def even_rows(height: int, factor: int, offset: int = 0) -> Tensor:
    """Return a mask of shape (height,): rows offset, offset + factor, ... are known."""
    return (torch.arange(height) - offset) % factor == 0


def draw_masks(
    count: int,
    height: int,
    factors: tuple[int, ...],
    even_share: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw training masks, all at once.

    Parameters
    ----------
    count, height
        Number of masks and of rows.
    factors
        One is drawn for each mask: about ``height / factor`` rows are known, two at least.
    even_share
        Probability that the known rows are evenly spaced (with a random offset); others are known
        at random.
    generator
        Source of randomness.

    Returns
    -------
    Boolean tensor of shape (count, height), on the CPU.
    """
    which, kind, offset = torch.rand(3, count, 1, generator=generator)
    keys = torch.rand(count, height, generator=generator)
    factor = torch.tensor(factors)[(which * len(factors)).long().clamp(max=len(factors) - 1)]
    factor = factor.clamp(max=max(2, height // 2))  # two rows are known at least
    even = (torch.arange(height) - (offset * factor).long().clamp(max=factor - 1)) % factor == 0
    # The rows with the lowest keys.
    known = (height / factor).round().long().clamp(min=2)
    lowest = keys.sort(dim=1).values.gather(1, known - 1)
    return torch.where(kind < even_share, even, keys <= lowest)


def fill_rows(images: Tensor, masks: Tensor) -> Tensor:
    """Interpolate hidden rows linearly from the known ones, which are repeated at the ends.

    Parameters
    ----------
    images
        Shape (N, C, H, W).
    masks
        Shape (N, H), True where known, on any device; every mask knows at least one row. Rows are
        looked up on that device: for masks on the CPU, a GPU has only to gather.

    Returns
    -------
    The base image b, same shape: equal to `images` on known rows, independent of hidden ones.
    """
    height, masks = masks.shape[1], masks.to(scanning_device(masks.device))
    rows = torch.arange(height, device=masks.device).expand_as(masks)
    below = torch.where(masks, rows, -1).cummax(dim=1).values
    above = torch.where(masks, rows, height).flip(1).cummin(dim=1).values.flip(1)
    first, last = below < 0, above >= height
    below = torch.where(first, above, below)
    above = torch.where(last, below, above)
    span = (above - below).clamp(min=1)
    weight = ((rows - below) / span).to(images)[:, None, :, None]

    def take(index: Tensor) -> Tensor:
        return images.gather(2, index.to(images.device)[:, None, :, None].expand_as(images))

    low = take(below)
    return low + weight * (take(above) - low)
