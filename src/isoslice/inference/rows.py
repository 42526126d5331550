"""Hidden rows of 2D images, by any recipe: the paired task of the paper (section 4.3)."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from isoslice.data.masking import fill_rows
from isoslice.inference.passes import distilled_passes, sampling_passes
from isoslice.models.config import AnyConfig, ModelConfig, MsdsrConfig
from isoslice.models.diffusion.ddim import ddim_coefficients
from isoslice.models.diffusion.edm import NO_SIGNAL, Network, denoise
from isoslice.models.diffusion.masked import ddim, direct, put_known
from isoslice.models.diffusion.variance_stabilization import stretch, unstretch
from isoslice.runtime.device import autocast

#: Images computed at once.
BATCH = 16


@torch.inference_mode()
def restore_rows(
    network: nn.Module,
    config: AnyConfig,
    images: Tensor,
    masks: Tensor,
    *,
    mode: Literal["sample", "mean"] = "sample",
    steps: int = 8,
    seed: int = 0,
) -> Tensor:
    """Fill in the hidden rows of 2D images.

    Parameters
    ----------
    network, config
        A model's network, in evaluation mode on the images' device, and its settings.
    images
        Normalised, shape (N, C, H, W); hidden rows are not looked at. For the U-Net recipes H and W
        must be multiples of 8.
    masks
        Known rows, shape (N, H).
    mode
        ``sample`` or ``mean``, which masked slice diffusion does not have; ignored by the
        end-to-end U-Net.
    steps
        Network evaluations of a sample.
    seed
        Of the sampling noise.

    Returns
    -------
    Shape (N, C, H, W); known rows are those of `images`.
    """
    generator = torch.Generator().manual_seed(seed)
    parts = []
    for known, rows in zip(torch.split(images, BATCH), torch.split(masks, BATCH), strict=True):
        known = torch.where(rows[:, None, :, None], known, torch.zeros_like(known))

        def noise(_: int = 0, shape: torch.Size = known.shape) -> Tensor:
            return torch.randn(shape, generator=generator).to(images.device)

        with autocast(images.device):
            if isinstance(config, ModelConfig):
                stretched = stretch(known, config.softening)
                part = _residual_rows(network, config, stretched, rows, mode, steps, noise())
                part = unstretch(part.float(), config.softening)
            elif isinstance(config, MsdsrConfig):
                schedule = ddim_coefficients(steps, config.sampler.eta, config.sampler.timesteps)
                part = ddim(network, known, rows, schedule, noise, clip=config.sampler.clip)
            else:
                part = direct(network, known, rows)
        parts.append(put_known(part.float(), known, rows))
    return torch.cat(parts)


def _residual_rows(
    network: Network,
    config: ModelConfig,
    known: Tensor,
    masks: Tensor,
    mode: str,
    steps: int,
    noise: Tensor,
) -> Tensor:
    """Mean of the residual, then Euler's steps from it: `sampler.restore` in one direction."""
    base, scale = fill_rows(known, masks), config.sigma_data

    def estimate(residual: Tensor, sigma: float) -> Tensor:
        level = torch.tensor([sigma], device=known.device)
        return denoise(network, residual, base, masks, level, scale)

    if mode == "sample" and config.distilled is not None:
        residual = torch.zeros_like(base)
        todo = distilled_passes(config, config.distilled.sigma_second)
    else:
        residual = estimate(torch.zeros_like(base), NO_SIGNAL)
        todo = sampling_passes(config, max(1, steps - 1)) if mode == "sample" else []
    if todo:
        residual = residual + todo[0].sigma * noise * ~masks[:, None, :, None]
    for step in todo:
        residual = torch.lerp(estimate(residual, step.sigma), residual, step.kept)
    return base + residual
