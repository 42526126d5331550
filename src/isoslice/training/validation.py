"""Validation during and after training: restore hidden rows of held-out images."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isoslice.data.crops import draw_crops
from isoslice.data.masking import even_rows, fill_rows
from isoslice.data.planes import PlaneStack
from isoslice.data.psnr import psnr_from_mse
from isoslice.inference.rows import restore_rows
from isoslice.models.config import AnyConfig

#: One row in so many is known.
VALIDATION_FACTORS = (2, 4, 8)
#: Crops of a validation; and crops and steps for recipes without a mean, which have to sample.
CROPS, SAMPLED_CROPS, SAMPLING_STEPS = 64, 8, 20


def validation(
    network: nn.Module, held_out: Sequence[PlaneStack], config: AnyConfig, device: torch.device
) -> dict[str, dict[str, float]]:
    """Compute the PSNR of the mean and of linear interpolation, on hidden rows of held-out crops.

    Masked slice diffusion has no mean; samples of few steps and crops replace it, to save time.

    Returns
    -------
    ``{"4": {"psnr": ..., "linear_psnr": ...}, ...}`` in dB for data range 1; empty without
    held-out planes.
    """
    if not held_out:
        return {}
    generator = torch.Generator().manual_seed(0)
    crop = config.training.crop
    count = CROPS if config.has_mean else SAMPLED_CROPS
    images = draw_crops(
        held_out, count, crop, generator, row_spacing=config.training.row_spacing
    ).to(device)
    scores = {}
    for factor in VALIDATION_FACTORS:
        masks = even_rows(crop, factor).expand(len(images), -1).to(device)
        last = int(masks[0].nonzero().max()) + 1  # no extrapolation, as in a stack
        base = fill_rows(images[:, :, :last], masks[:, :last])
        restored = restore_rows(network, config, images, masks, mode="mean", steps=SAMPLING_STEPS)
        truth, hidden = images[:, :, :last], ~masks[:, :last]
        scores[str(factor)] = {
            "psnr": _psnr(restored[:, :, :last] - truth, hidden),
            "linear_psnr": _psnr(base - truth, hidden),
        }
    return scores


def evaluations(config: AnyConfig, held_out: Sequence[PlaneStack]) -> int:
    """Return the number of network evaluations of a validation, in crops."""
    if not held_out:
        return 0
    crops = CROPS if config.has_mean else SAMPLED_CROPS * SAMPLING_STEPS
    return crops * len(VALIDATION_FACTORS)


def _psnr(error: Tensor, hidden: Tensor) -> float:
    where = hidden[:, None, :, None].expand_as(error)
    return psnr_from_mse(float(error[where].square().mean().clamp(min=1e-12)))
