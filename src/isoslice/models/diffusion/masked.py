"""Masked slice diffusion as published: MSDSR (arXiv 2404.09425, section 3).

The image itself is diffused. Before every evaluation the known rows overwrite the noisy image; the
network predicts the noise, and is taught that known rows have none. This file holds the recipe as
released, `sampler` the one isoslice uses by default.
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
    """Rows of `known` where `masks` is True, `images` elsewhere.

    Shapes (N, C, H, W), same, and (N, H) or (1, H).
    """
    return torch.where(masks[:, None, :, None], known, images)


def noise_loss(
    network: Network, images: Tensor, masks: Tensor, t: Tensor, noise: Tensor, signal: Tensor
) -> Tensor:
    """L1 error of the predicted noise over all rows (paper, equation 3).

    Parameters
    ----------
    network
        (noisy image (N, C, H, W), time step (N,)) -> noise.
    images
        Clean, intensities about [0, 1]; shape (N, C, H, W).
    masks
        Known rows, shape (N, H).
    t
        Time step of each image, shape (N,).
    noise
        Standard normal, shape (N, C, H, W).
    signal
        Share of signal at every time step, see `ddim.cosine_alphas_cumprod`.
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
        Images whose known rows are read, shape (N, C, H, W).
    masks
        Known rows, shape (N, H) or (1, H).
    coefficients
        See `ddim.ddim_coefficients`.
    noise
        ``noise(0)`` is the image to start from, ``noise(i)`` the fresh noise of the i-th step;
        shape (N, C, H, W).
    report
        Called with the fraction done.
    clip
        Limits of every estimate of the clean image. Not in the released code; without it a network
        that was trained for minutes only drifts off in brightness.

    Returns
    -------
    Shape (N, C, H, W). As released, known rows are not put back at the end: the last step leaves
    them with its own noise. Callers that want them exact use `put_known`.
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
    """L1 error on hidden rows of one pass: the paper's end-to-end U-Net (section 4.2)."""
    hidden = ~masks[:, None, :, None]
    error = (direct(network, images, masks) - images).abs() * hidden
    return error.mean() / hidden.float().mean()


def direct(network: Network, known: Tensor, masks: Tensor) -> Tensor:
    """Hidden rows in one pass: the network sees known rows and zeros, at time step 0.

    Shapes as in `ddim`; known rows of the result are those of `known`.
    """
    seen = known * masks[:, None, :, None]
    t = torch.zeros(len(known), dtype=torch.long, device=known.device)
    return put_known(network(seen, t).to(known.dtype), known, masks)


def hidden_row_masks(
    count: int,
    height: int,
    hidden: tuple[int, int],
    generator: torch.Generator,
    *,
    each: bool = False,
) -> Tensor:
    """Masks of shape (count, height), True where known.

    The number of hidden rows is drawn uniformly from `hidden` (both ends included): once for all
    images of a batch, as released, or for `each`. Which rows, is drawn for each image.
    """
    low, high = hidden
    number = torch.randint(low, high + 1, (count if each else 1, 1), generator=generator)
    order = torch.stack([torch.randperm(height, generator=generator) for _ in range(count)])
    return order >= number


def spread_timesteps(count: int, steps: int, generator: torch.Generator) -> Tensor:
    """Time steps of `count` images, one from each of as many equal parts of 0 ... `steps` - 1.

    Each is uniform by itself; together they cover all noise levels.
    """
    places = torch.rand(count, generator=generator, dtype=torch.float64) + torch.arange(count)
    order = torch.randperm(count, generator=generator)
    return (places[order] * steps / count).long().clamp(max=steps - 1)


def blur(volume: NDArray[np.float32]) -> NDArray[np.float32]:
    """Blur (C, Z, Y, X) by the paper's Gaussian: 3 x 3 x 3 voxels, sigma 0.5."""
    from isoslice.data.baselines import gaussian_blur3

    return gaussian_blur3(volume, 0.5)
