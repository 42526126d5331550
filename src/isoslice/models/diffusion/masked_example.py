"""Training examples of residual diffusion: images, their hidden rows, and what fills those."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from isoslice.data.masking import draw_masks, fill_rows
from isoslice.models.config import TrainingSettings
from isoslice.models.diffusion.variance_stabilization import stretch


@dataclass(frozen=True)
class MaskedExample:
    """A batch of images with hidden rows.

    Attributes
    ----------
    stretched
        Intensities after `stretch`, shape (N, C, H, W).
    base
        The same with hidden rows interpolated from the known ones, see `fill_rows`.
    masks
        True where a row is known, shape (N, H).
    """

    stretched: Tensor
    base: Tensor
    masks: Tensor

    @property
    def hidden(self) -> Tensor:
        """True where a row is hidden, shape (N, 1, H, 1)."""
        return ~self.masks[:, None, :, None]

    @property
    def residual(self) -> Tensor:
        """Residual x - b of stretched intensities, zero on known rows; shape (N, C, H, W)."""
        return self.stretched - self.base


def mask_images(images: Tensor, masks: Tensor, softening: float | None) -> MaskedExample:
    """Hide rows of images (N, C, H, W) by masks (N, H); for `softening` see `stretch`."""
    masks = masks.to(images.device)
    stretched = stretch(images, softening)
    return MaskedExample(stretched, fill_rows(stretched, masks), masks)


def draw_example(
    images: Tensor,
    settings: TrainingSettings,
    softening: float | None,
    generator: torch.Generator,
) -> MaskedExample:
    """Hide rows of images (N, C, H, W) by masks drawn on the CPU, see `draw_masks`."""
    count, _, height, _ = images.shape
    masks = draw_masks(count, height, settings.factors, settings.even_share, generator)
    return mask_images(images, masks, softening)
