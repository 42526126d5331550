"""In what intensities and residuals count: the stretch, and the residual's deviation."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoslice.data.masking import draw_masks, fill_rows
from isoslice.models.config import TrainingSettings
from isoslice.models.diffusion.variance_stabilization import Softening, fit_softening, stretch


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
    """Measure units on hidden rows of crops (N, C, H, W), with masks as in training.

    Returns
    -------
    Softening: see `fit_softening`. Deviation: the RMS of x - b, of stretched intensities.
    """
    count, _, height, _ = crops.shape
    masks = draw_masks(count, height, settings.factors, settings.even_share, generator)
    hidden = (~masks)[:, None, :, None].expand_as(crops)
    base = fill_rows(crops, masks)
    softening = fit_softening(base[hidden], (crops - base)[hidden])
    stretched = stretch(crops, softening)
    residual = stretched - fill_rows(stretched, masks)
    return Units(softening, float(residual[hidden].square().mean().sqrt()))
