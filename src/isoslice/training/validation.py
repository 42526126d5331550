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
    network: nn.Module,
    held_out: Sequence[PlaneStack],
    config: AnyConfig | Sequence[AnyConfig],
    device: torch.device,
) -> dict[str, dict[str, float]]:
    """Compute the PSNR of the mean and of linear interpolation, on hidden rows of held-out crops.

    Masked slice diffusion has no mean; samples of few steps and crops replace it, to save time.

    Parameters
    ----------
    network, device
        In evaluation mode, and where to compute.
    held_out
        Planes that it has not seen.
    config
        The model's settings; of a model of many specimens those in the units of each stack.

    Returns
    -------
    ``{"4": {"psnr": ..., "linear_psnr": ...}, ...}`` in dB for data range 1; empty without
    held-out planes.
    """
    if not held_out:
        return {}
    if isinstance(config, Sequence):
        each: list[tuple[Sequence[PlaneStack], AnyConfig]] = [
            ([stack], own) for stack, own in zip(held_out, config, strict=True)
        ]
    else:
        each = [(held_out, config)]
    share, scores = 1 / len(each), {}
    crops = [_crops(stacks, own, share).to(device) for stacks, own in each]
    for factor in VALIDATION_FACTORS:
        ours, linear = [], []
        for images, (_, own) in zip(crops, each, strict=True):
            errors = _errors(network, own, images, factor)
            ours.append(errors[0])
            linear.append(errors[1])
        scores[str(factor)] = {
            "psnr": _psnr(torch.cat(ours)),
            "linear_psnr": _psnr(torch.cat(linear)),
        }
    return scores


def _crops(stacks: Sequence[PlaneStack], config: AnyConfig, share: float) -> Tensor:
    """Draw a share of the crops, at least one."""
    training = config.training
    count = max(1, round(share * (CROPS if config.has_mean else SAMPLED_CROPS)))
    generator = torch.Generator().manual_seed(0)
    return draw_crops(stacks, count, training.crop, generator, row_spacing=training.row_spacing)


def _errors(
    network: nn.Module, config: AnyConfig, images: Tensor, factor: int
) -> tuple[Tensor, Tensor]:
    """Return errors on hidden rows of crops, of the network and of linear interpolation."""
    masks = even_rows(images.shape[2], factor).expand(len(images), -1).to(images.device)
    last = int(masks[0].nonzero().max()) + 1  # no extrapolation, as in a stack
    base = fill_rows(images[:, :, :last], masks[:, :last])
    restored = restore_rows(network, config, images, masks, mode="mean", steps=SAMPLING_STEPS)
    truth, hidden = images[:, :, :last], ~masks[:, :last]
    where = hidden[:, None, :, None].expand_as(truth)
    return (restored[:, :, :last] - truth)[where], (base - truth)[where]


def evaluations(config: AnyConfig, held_out: Sequence[PlaneStack]) -> int:
    """Return the number of network evaluations of a validation, in crops."""
    if not held_out:
        return 0
    crops = CROPS if config.has_mean else SAMPLED_CROPS * SAMPLING_STEPS
    return crops * len(VALIDATION_FACTORS)


def _psnr(error: Tensor) -> float:
    return psnr_from_mse(float(error.square().mean().clamp(min=1e-12)))
