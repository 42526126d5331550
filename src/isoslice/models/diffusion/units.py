"""In what intensities and residuals count: the stretch, and the residual's deviation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoslice.data.masking import draw_masks
from isoslice.models.config import TrainingSettings
from isoslice.models.diffusion.plane_units import row_units
from isoslice.models.diffusion.variance_stabilization import Softening


class Units(NamedTuple):
    """In what intensities and residuals count: of all images of a batch, or of each.

    Attributes
    ----------
    softening
        See `stretch`; of each image (N, 1, 1, 1).
    sigma_data
        Standard deviation of the residual on hidden rows; of each image (N,).
    """

    softening: Softening
    sigma_data: float | Tensor

    def part(self, which: slice) -> Units:
        """Return those of some images."""
        softening, scale = self
        return Units(
            softening[which] if isinstance(softening, Tensor) else softening,
            scale[which] if isinstance(scale, Tensor) else scale,
        )


def units_of_crops(crops: Tensor, settings: TrainingSettings, generator: torch.Generator) -> Units:
    """Measure units on hidden rows of crops (N, C, H, W), with masks as in training."""
    count, _, height, _ = crops.shape
    masks = draw_masks(count, height, settings.factors, settings.even_share, generator)
    return Units(*row_units(crops, masks))
