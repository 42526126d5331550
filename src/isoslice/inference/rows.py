"""Hidden rows of 2D images, by any recipe: the paired task of the paper (section 4.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from isoslice.inference.recipes import recipe_of
from isoslice.models.choices import Mode
from isoslice.models.config import AnyConfig
from isoslice.models.diffusion.masked import put_known
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
    mode: Mode = "sample",
    steps: int = 8,
    seed: int = 0,
) -> Tensor:
    """Fill in the hidden rows of 2D images.

    Parameters
    ----------
    network, config
        A model's network, in evaluation mode, moved to the images' device; and its settings.
    images
        Normalised, shape (N, C, H, W); hidden rows are not looked at. For the U-Net recipes H and W
        must be multiples of 8.
    masks
        Known rows, shape (N, H).
    mode
        ``sample`` or ``mean``; the recipes of the paper, which have one of them only, ignore it.
    steps
        Network evaluations of a sample.
    seed
        Of the sampling noise.

    Returns
    -------
    Shape (N, C, H, W); known rows are those of `images`.
    """
    network.to(images.device)
    generator, recipe = torch.Generator().manual_seed(seed), recipe_of(config)
    parts = []
    for some, rows in zip(torch.split(images, BATCH), torch.split(masks, BATCH), strict=True):
        known = torch.where(rows[:, None, :, None], some, torch.zeros_like(some))

        def noise(_: int = 0, shape: torch.Size = known.shape) -> Tensor:
            return torch.randn(shape, generator=generator).to(images.device)

        with autocast(images.device):
            part = recipe.restore_rows(network, known, rows, mode, steps, noise)
        parts.append(put_known(part.float(), known, rows))
    return torch.cat(parts)
