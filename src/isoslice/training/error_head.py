"""Train the error head on residual errors of the frozen denoiser."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from isoslice.data.crops import Indices, StackTable, draw_places, read_crops
from isoslice.data.planes import PlaneStack
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import (
    NO_SIGNAL,
    column,
    denoise,
    network_input,
    network_levels,
    precondition,
)
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.models.diffusion.units import Units
from isoslice.models.networks.denoiser import Denoiser
from isoslice.models.networks.error_head import SpreadHead, build_head
from isoslice.runtime.budget import Deadline
from isoslice.runtime.device import autocast
from isoslice.runtime.progress import Progress

#: Peak learning rate of Adam, crops a step, and share of evenly spaced masks.
LEARNING_RATE, BATCH, EVEN_SHARE = 3e-3, 16, 0.8
#: Steps as a share of the denoiser's, and their maximum. Without gradients of the denoiser, a step
#: costs about a seventh of one of its training.
STEPS_SHARE, MAX_STEPS = 0.4, 1500


def head_steps(steps: int) -> int:
    """Return the number of steps for a head, given that of the denoiser's training."""
    return max(1, min(MAX_STEPS, round(STEPS_SHARE * steps)))


def spread_loss(log_spread: Tensor, error: Tensor, hidden: Tensor) -> Tensor:
    """Compute the negative log-likelihood of errors under Laplace distributions, on hidden rows.

    The expectation of |e| / b + log b is minimal where b is the expected absolute error, whatever
    the distribution of e; outliers weigh less than in the Gaussian's e^2 / s^2.

    Parameters
    ----------
    log_spread, error
        log b and e, (N, C, H, W).
    hidden
        True on hidden rows, (N, 1, H, 1).
    """
    where = hidden.expand_as(error)
    terms = error.abs() * (-log_spread).exp() + log_spread
    return (terms * where).sum() / where.sum().clamp(min=1)


def fit_spread(
    network: nn.Module,
    config: ModelConfig,
    stacks: Sequence[PlaneStack],
    steps: int,
    device: torch.device,
    progress: Progress,
    seconds: float | None = None,
    units_of: Callable[[Indices], Units] | None = None,
) -> SpreadHead:
    """Train an error head.

    Parameters
    ----------
    network, config
        The trained denoiser, in evaluation mode on `device`; its settings.
    stacks
        Training planes.
    steps
        Number of steps.
    device, progress
        Where to compute; receives progress.
    seconds
        Time limit, after which fewer steps are done, at least one.
    units_of
        Returns the units of crops by the stack of each, for a model of many specimens; by default
        all are the model's.

    Returns
    -------
    The head on the CPU, in evaluation mode.
    """
    assert isinstance(network, Denoiser)
    settings = config.training.model_copy(update={"even_share": EVEN_SHARE})
    config = config.model_copy(update={"training": settings})
    generator = torch.Generator().manual_seed(settings.seed)
    head = build_head(config, settings.seed).to(device)
    optimizer = torch.optim.Adam(head.parameters(), lr=LEARNING_RATE)
    level = torch.tensor([NO_SIGNAL], device=device)
    c_noise = precondition(level, config.sigma_data).c_noise  # whatever the deviation is
    table, size, spacing = StackTable.of(stacks), settings.crop, settings.row_spacing
    units = Units(config.softening, config.sigma_data)
    deadline = Deadline.after(seconds)
    for step in range(steps):
        places = draw_places(table, BATCH, size, generator, row_spacing=spacing)
        images = read_crops(stacks, places, size, spacing).to(device)
        if units_of is not None:
            units = units_of(places.stack)
        scale = head.sigma_data = units.sigma_data
        example = draw_example(images, config, generator, units)
        base, masks = example.base, example.masks
        no_residual = torch.zeros_like(base)
        inputs = network_input(no_residual, base, masks)
        with torch.no_grad(), autocast(device):
            levels = network_levels(c_noise, example.measured)
            features = network.features(inputs, levels).float()
            told = example.measured
            mean = denoise(network, no_residual, base, masks, level, scale, told).float()
        error = (example.residual - mean) / column(scale)
        angle = max(math.pi * step / steps, math.pi * deadline.share)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * (0.02 + 0.98 * (0.5 + 0.5 * math.cos(angle)))
        loss = spread_loss(head(features, inputs), error, example.hidden)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        ended = step + 1 == steps or deadline.passed
        done = 1.0 if ended else max((step + 1) / steps, deadline.share)
        progress.update("learning how large its errors are", done)
        if ended:
            break
    head.sigma_data = config.sigma_data
    return head.to("cpu").eval()
