"""How much of an adaptation to keep: judged on hidden rows of planes that it has not seen.

A few steps on a few planes may also make a network worse. So the weights before and after are
averaged (Wortsman et al. 2022, arXiv 2109.01903), and the share of the new ones that restores
hidden rows best is kept: none, if that is best.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isoslice.data.crops import draw_crops
from isoslice.data.planes import PlaneStack
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.models.diffusion.variance_stabilization import unstretch
from isoslice.models.networks.denoiser import Denoiser
from isoslice.runtime.device import autocast

#: Shares of the new weights that are tried beside none.
SHARES = (0.5, 1.0)
#: Crops of all stacks that are restored for each, and at once.
CROPS, BATCH = 128, 32
#: Gain that is worth another network, in dB.
LEAST_GAIN = 0.01


@dataclass(frozen=True)
class Blend:
    """A network between two.

    Attributes
    ----------
    network
        In evaluation mode.
    share
        Of the new weights, from 0 to 1.
    gain
        PSNR on hidden rows over that of the old network in dB, the mean of all stacks.
    """

    network: nn.Module
    share: float
    gain: float


def blended(old: nn.Module, new: nn.Module, share: float) -> nn.Module:
    """Average the weights of two networks, and normalise them again."""
    network = copy.deepcopy(old)
    with torch.no_grad():
        pairs = zip(network.parameters(), new.parameters(), strict=True)
        for weight, other in pairs:
            weight.lerp_(other.to(weight), share)
    if isinstance(network, Denoiser):
        network.renormalize()
    return network.eval()


def best_blend(
    old: nn.Module,
    new: nn.Module,
    stacks: Sequence[PlaneStack],
    settings: Sequence[ModelConfig],
    device: torch.device,
) -> Blend:
    """Find the share of new weights that restores hidden rows best.

    Parameters
    ----------
    old, new
        Networks of one shape.
    stacks, settings
        Planes that neither has seen, and the model's settings for each; see `row_errors`.
    device
        Where to compute.
    """
    before = row_errors(old, stacks, settings, device)
    best = Blend(old, 0.0, 0.0)
    for share in SHARES:
        network = blended(old, new, share)
        after = row_errors(network, stacks, settings, device)
        gains = [10 * math.log10(a / b) for a, b in zip(before, after, strict=True)]
        gain = sum(gains) / len(gains)
        if gain > max(best.gain, LEAST_GAIN):
            best = Blend(network, share, gain)
    return best


@torch.inference_mode()
def row_errors(
    network: nn.Module,
    stacks: Sequence[PlaneStack],
    settings: Sequence[ModelConfig],
    device: torch.device,
) -> list[float]:
    """Measure the mean squared error of the mean on hidden rows, for each stack.

    Parameters
    ----------
    network
        In evaluation mode.
    stacks, settings
        Planes, and the model's settings for each, whose units and ways of hiding rows count.
    device
        Where to compute.
    """
    network = network.to(device)
    return [
        _row_error(network, stack, own, max(1, CROPS // len(stacks)), device)
        for stack, own in zip(stacks, settings, strict=True)
    ]


def _row_error(
    network: nn.Module, stack: PlaneStack, config: ModelConfig, count: int, device: torch.device
) -> float:
    generator, training = torch.Generator().manual_seed(0), config.training
    square, pixels = 0.0, 0
    for first in range(0, count, BATCH):
        some = min(BATCH, count - first)
        images = draw_crops(
            [stack], some, training.crop, generator, row_spacing=training.row_spacing
        ).to(device)
        example = draw_example(images, config, generator)
        residual = _mean(network, example.base, example.masks, example.measured, config.sigma_data)
        restored = unstretch(example.base + residual, config.softening)
        where = example.hidden.expand_as(images)
        square += float((restored - images)[where].square().sum())
        pixels += int(where.sum())
    return max(square / max(pixels, 1), 1e-12)


def _mean(
    network: nn.Module, base: Tensor, masks: Tensor, measured: Tensor | None, scale: float
) -> Tensor:
    """Estimate the residual without any noise, (N, C, H, W)."""
    level = torch.tensor([NO_SIGNAL], device=base.device)
    with autocast(base.device):
        nothing = torch.zeros_like(base)
        return denoise(network, nothing, base, masks, level, scale, measured).float()
