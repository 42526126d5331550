"""Training examples of residual diffusion: images, their hidden rows, and what fills those."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from isoslice.data.masking import draw_masks, fill_rows
from isoslice.models.config import ModelConfig, TrainingSettings
from isoslice.models.diffusion.drawn_planes import DrawnPlanes, draw_planes
from isoslice.models.diffusion.edm import hidden_rows
from isoslice.models.diffusion.measured_example import levels, measure
from isoslice.models.diffusion.units import Units
from isoslice.models.diffusion.variance_stabilization import Softening, stretch


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
        True where a row is known, shape (N, H); of planes between rows, the share of each.
    measured
        How planes were measured, (N, 2); see `edm.denoise`. None of points without noise.
    """

    stretched: Tensor
    base: Tensor
    masks: Tensor
    measured: Tensor | None = None

    @cached_property
    def hidden(self) -> Tensor:
        """True where a row is hidden, shape (N, 1, H, 1)."""
        return hidden_rows(self.masks, self.measured)[:, None, :, None]

    @property
    def residual(self) -> Tensor:
        """Residual x - b of stretched intensities, zero on known rows; shape (N, C, H, W)."""
        return self.stretched - self.base


def mask_images(images: Tensor, masks: Tensor, softening: Softening) -> MaskedExample:
    """Hide rows of images (N, C, H, W) by masks (N, H); for `softening` see `stretch`."""
    stretched = stretch(images, softening)
    return MaskedExample(stretched, fill_rows(stretched, masks), masks.to(images.device))


def draw_masked(
    images: Tensor,
    settings: TrainingSettings,
    softening: Softening,
    generator: torch.Generator,
) -> MaskedExample:
    """Hide rows of images (N, C, H, W) by masks drawn on the CPU, see `draw_masks`."""
    count, _, height, _ = images.shape
    masks = draw_masks(count, height, settings.factors, settings.even_share, generator)
    return mask_images(images, masks, softening)


def measured_of(config: ModelConfig, count: int) -> int:
    """Return how many of `count` images get planes in place of known rows: see `draw_example`."""
    return round(config.training.measured_share * count) if config.network.measured else 0


def draw_example(
    images: Tensor, config: ModelConfig, generator: torch.Generator, units: Units | None = None
) -> MaskedExample:
    """Draw an example of what a model restores, from images (N, C, H, W).

    Where its network is told how planes were measured, the last of the images have planes in place
    of known rows; see `measured_example`. Units are the model's own by default.
    """
    settings = config.training
    units = units or Units(config.softening, config.sigma_data)
    count, _, height, _ = images.shape
    others = measured_of(config, count)
    if not others:
        return draw_masked(images, settings, units.softening, generator)
    points = count - others
    masks = draw_masks(points, height, settings.factors, settings.even_share, generator)
    own, share = settings.own_planes, settings.own_share
    drawn = draw_planes(others, height, generator, own, share)
    drawn = DrawnPlanes(*(each.to(images.device) for each in drawn))
    stretched = stretch(images, units.softening)
    measured = units.part(slice(points, None))
    told = levels(drawn, measured.sigma_data)
    base = measure(images[points:], drawn, measured.softening, generator)
    return MaskedExample(
        stretched,
        torch.cat([fill_rows(stretched[:points], masks), base]),
        torch.cat([masks.to(drawn.rows), drawn.rows]),
        torch.cat([told.new_zeros(points, 2), told]),
    )
