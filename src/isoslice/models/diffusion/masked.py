"""Masked slice diffusion as published: MSDSR (arXiv 2404.09425, section 3).

The image itself is diffused. Before every evaluation the known rows overwrite the noisy image; the
network predicts the noise, whose target is zero on known rows. isoslice's own recipe is in `edm`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.models.diffusion.ddim import DdimCoefficients
from isoslice.models.diffusion.edm import Network


def put_known(images: Tensor, known: Tensor, masks: Tensor) -> Tensor:
    """Take rows of `known` where `masks` is True, of `images` elsewhere.

    Shapes (N, C, H, W), same, and (N, H) or (1, H).
    """
    return torch.where(masks[:, None, :, None], known, images)


def noise_loss(
    network: Network, images: Tensor, masks: Tensor, t: Tensor, noise: Tensor, signal: Tensor
) -> Tensor:
    """Compute the L1 error of the predicted noise over all rows (paper, equation 3).

    Parameters
    ----------
    network
        (noisy image (N, C, H, W), time step (N,)) -> noise.
    images
        Clean images, intensities in about [0, 1]; shape (N, C, H, W).
    masks
        Known rows, shape (N, H).
    t
        Time step of each image, shape (N,).
    noise
        Standard normal, shape (N, C, H, W).
    signal
        alpha bar of every time step, see `ddim.cosine_alphas_cumprod`.
    """
    share = signal[t][:, None, None, None]
    noisy = share.sqrt() * images + (1 - share).sqrt() * noise
    target = noise * ~masks[:, None, :, None]
    return (network(put_known(noisy, images, masks), t) - target).abs().mean()


def ddim(
    network: Network,
    known: Tensor,
    masks: Tensor,
    coefficients: DdimCoefficients,
    noise: Callable[[int], Tensor],
    report: Callable[[float], None] = lambda fraction: None,
    clip: tuple[float, float] | None = None,
) -> Tensor:
    """Sample the hidden rows (paper, algorithm 2; DDIM equation 12).

    Parameters
    ----------
    network
        As for `noise_loss`.
    known
        Images of which only the known rows are used, shape (N, C, H, W).
    masks
        Known rows, shape (N, H) or (1, H).
    coefficients
        See `ddim.ddim_coefficients`.
    noise
        ``noise(0)`` is the initial image, ``noise(i)`` what the i-th step adds; shape (N, C, H, W).
    report
        Called with the fraction done.
    clip
        Limits of every estimate of the clean image. Not in the released code; without it, networks
        trained for only minutes drift in brightness.

    Returns
    -------
    Shape (N, C, H, W). As in the released code, known rows keep the noise of the last step; use
    `put_known` to restore them.
    """
    x = noise(0)
    for taken, step in enumerate(reversed(range(len(coefficients)))):
        x = put_known(x, known, masks)
        t = torch.full((len(x),), int(coefficients.timesteps[step]), device=x.device)
        e = network(x, t).to(x.dtype)
        alpha, previous = coefficients.alphas[step], coefficients.alphas_prev[step]
        sigma = coefficients.sigmas[step]
        clean = (x - (1 - alpha) ** 0.5 * e) / alpha**0.5
        if clip is not None:
            clean = clean.clamp(*clip)
            e = (x - alpha**0.5 * clean) / (1 - alpha) ** 0.5
        towards = max(1 - previous - sigma**2, 0.0) ** 0.5 * e
        x = previous**0.5 * clean + towards + sigma * noise(taken + 1)
        report((taken + 1) / len(coefficients))
    return x


def direct_loss(network: Network, images: Tensor, masks: Tensor) -> Tensor:
    """Compute the L1 error on hidden rows of the paper's end-to-end U-Net (section 4.2)."""
    hidden = ~masks[:, None, :, None]
    error = (direct(network, images, masks) - images).abs() * hidden
    return error.mean() / hidden.float().mean()


def direct(network: Network, known: Tensor, masks: Tensor) -> Tensor:
    """Restore hidden rows in one evaluation, from known rows and zeros, at time step 0.

    Shapes as in `ddim`; known rows are returned unchanged.
    """
    visible = known * masks[:, None, :, None]
    t = torch.zeros(len(known), dtype=torch.long, device=known.device)
    return put_known(network(visible, t).to(known.dtype), known, masks)


def hidden_row_masks(
    count: int,
    height: int,
    hidden: tuple[int, int],
    generator: torch.Generator,
    *,
    each: bool = False,
) -> Tensor:
    """Draw masks of shape (count, height), True where known.

    The number of hidden rows is uniform in `hidden` (both ends included): drawn once for the whole
    batch, as in the released code, or for `each` image. The rows are drawn for each image.
    """
    low, high = hidden
    number = torch.randint(low, high + 1, (count if each else 1, 1), generator=generator)
    order = torch.stack([torch.randperm(height, generator=generator) for _ in range(count)])
    return order >= number


def stratified_timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Draw one time step from each of `count` equal parts of 0 ... `steps` - 1, shuffled; (count,).

    Stratified sampling: each is uniform by itself, together they cover all noise levels.
    """
    positions = torch.rand(count, generator=generator, dtype=torch.float64) + torch.arange(count)
    order = torch.randperm(count, generator=generator)
    return (positions[order] * steps / count).long().clamp(max=steps - 1)


def blur(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur (C, Z, Y, X) with the paper's Gaussian filter: 3 x 3 x 3 voxels, sigma 0.5."""
    from isoslice.data.baselines import gaussian_blur3

    return gaussian_blur3(volume, 0.5)
