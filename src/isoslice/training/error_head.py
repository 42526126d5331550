"""The head that tells the spread learns from errors of the finished denoiser."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from isoslice.data.planes import PlaneStack, draw_crops
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise, network_input, precondition
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.models.networks.denoiser import Denoiser
from isoslice.models.networks.error_head import SpreadHead, build_head
from isoslice.runtime.budget import Deadline
from isoslice.runtime.device import autocast
from isoslice.runtime.progress import Progress

#: Learning rate of Adam, falling by half a cosine; crops a step; share of evenly spaced masks.
RATE, BATCH, EVEN_SHARE = 3e-3, 16, 0.8
#: Steps for each of the denoiser's, and at most. The denoiser is only evaluated, so a step costs
#: about a seventh of one of its training.
SHARE, MAX_STEPS = 0.4, 1500


def head_steps(steps: int) -> int:
    """Say how many steps a head gets after a training of so many."""
    return max(1, min(MAX_STEPS, round(SHARE * steps)))


def spread_loss(log_spread: Tensor, error: Tensor, masks: Tensor) -> Tensor:
    """Negative log-likelihood of errors under Laplace distributions, over hidden rows.

    |e| / b + log b is least where b is the expected absolute error, however errors are
    distributed; a few large ones count less than in the Gaussian's e^2 / s^2.

    Parameters
    ----------
    log_spread, error
        log b and e, (N, C, H, W).
    masks
        Known rows, (N, H).
    """
    hidden = (~masks[:, None, :, None]).expand_as(error)
    terms = error.abs() * (-log_spread).exp() + log_spread
    return (terms * hidden).sum() / hidden.sum().clamp(min=1)


def fit_spread(
    network: nn.Module,
    config: ModelConfig,
    stacks: Sequence[PlaneStack],
    steps: int,
    device: torch.device,
    progress: Progress,
    seconds: float | None = None,
) -> SpreadHead:
    """Train a head.

    Parameters
    ----------
    network, config
        The finished denoiser, in evaluation mode on `device`; its settings.
    stacks
        Planes to learn from.
    steps
        How many.
    device
        Where to compute.
    progress
        Receives progress.
    seconds
        What it may take: fewer steps then, one at least.

    Returns
    -------
    The head on the CPU, in evaluation mode.
    """
    assert isinstance(network, Denoiser)
    settings = config.training.model_copy(update={"even_share": EVEN_SHARE})
    scale = config.sigma_data
    generator = torch.Generator().manual_seed(settings.seed)
    head = build_head(config, settings.seed).to(device)
    optimizer = torch.optim.Adam(head.parameters(), lr=RATE)
    level = torch.tensor([NO_SIGNAL], device=device)
    c_noise = precondition(level, scale).c_noise
    deadline = Deadline.after(seconds)
    for step in range(steps):
        images = draw_crops(stacks, BATCH, settings.crop, generator).to(device)
        example = draw_example(images, settings, config.softening, generator)
        base, masks = example.base, example.masks
        nothing = torch.zeros_like(base)
        seen = network_input(nothing, base, masks)
        with torch.no_grad(), autocast(device):
            features = network.features(seen, c_noise).float()
            mean = denoise(network, nothing, base, masks, level, scale).float()
        error = (example.residual - mean) / scale
        angle = max(math.pi * step / steps, math.pi * deadline.share)
        for group in optimizer.param_groups:
            group["lr"] = RATE * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(angle)))
        loss = spread_loss(head(features, seen), error, masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        ended = step + 1 == steps or deadline.passed
        done = 1.0 if ended else max((step + 1) / steps, deadline.share)
        progress.update("learning where errors are large", done)
        if ended:
            break
    return head.to("cpu").eval()
