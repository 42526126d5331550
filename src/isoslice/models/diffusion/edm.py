"""Residual diffusion conditioned on known rows.

With b the image whose hidden rows are interpolated from the known ones, only the residual
r = x - b is diffused: zero on known rows, small elsewhere. Preconditioning and noise distribution
follow Karras et al. 2022 ("EDM", arXiv 2206.00364); so does the loss, except for a square root.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

#: Network: (input (N, 2C+1, H, W), levels) -> (N, C, H, W). Levels are c_noise (N,), or (N, 3)
#: with how planes were measured beside it: see `denoise`.
Network = Callable[[Tensor, Tensor], Tensor]

#: Noise level at which the input contains no signal; the denoiser then returns the mean.
NO_SIGNAL = float("inf")
# Its c_noise, far above ln(sigma / sigma_data) / 4 of any level used in sampling.
_C_NOISE_NO_SIGNAL = 1.5
#: Added to an image's mean squared error before the root, whose slope is infinite at zero.
SQRT_OFFSET = 1e-3


class Preconditioning(NamedTuple):
    """Scale factors of EDM table 1, each of shape (N,)."""

    c_skip: Tensor
    c_out: Tensor
    c_in: Tensor
    c_noise: Tensor


def precondition(sigma: Tensor, sigma_data: float | Tensor) -> Preconditioning:
    """Compute the scale factors of EDM equation 7 for noise levels `sigma` of shape (N,).

    ``c_noise`` is relative to `sigma_data`, so that it stands for the same signal-to-noise ratio
    whatever the data. `NO_SIGNAL` gives the limits for sigma to infinity: c_skip = c_in = 0.
    """
    total = sigma**2 + sigma_data**2
    no_signal = torch.isinf(sigma)
    c_out = torch.where(no_signal, sigma_data, sigma * sigma_data / total.sqrt())
    c_noise = ((sigma / sigma_data).log() / 4).masked_fill(no_signal, _C_NOISE_NO_SIGNAL)
    return Preconditioning(sigma_data**2 / total, c_out, total.rsqrt(), c_noise)


def column(values: float | Tensor) -> float | Tensor:
    """Make numbers of images, (N,), multiply these, (N, C, H, W); one number stays."""
    return values.reshape(-1, 1, 1, 1) if isinstance(values, Tensor) else values


def network_input(scaled: Tensor, base: Tensor, masks: Tensor) -> Tensor:
    """Concatenate the network's inputs: scaled noisy residual, base image, measured rows.

    Shapes (N, C, H, W), (N, C, H, W) and (N, H) give (N, 2C + 1, H, W). Intensities are mapped
    from [0, 1] to [-1, 1], to have about unit magnitude like the scaled residual.
    """
    plane = masks[:, None, :, None].to(base.dtype).expand(-1, 1, -1, base.shape[3])
    return torch.cat([scaled, base * 2 - 1, plane], dim=1)


def network_levels(c_noise: Tensor, measured: Tensor | None) -> Tensor:
    """Join what the network is told: noise levels (N,), and how planes were measured (N, 2).

    Either may be of all images, of length 1. Without the latter, noise levels are returned.
    """
    if measured is None:
        return c_noise
    count = max(len(c_noise), len(measured))
    return torch.cat([c_noise[:, None].expand(count, 1), measured.expand(count, -1)], dim=1)


def denoise(
    network: Network,
    noisy: Tensor,
    base: Tensor,
    masks: Tensor,
    sigma: Tensor,
    sigma_data: float | Tensor,
    measured: Tensor | None = None,
) -> Tensor:
    """Estimate the residual from a noisy one (EDM equation 7), zero on known rows.

    Parameters
    ----------
    network
        See `Network`.
    noisy
        r + sigma n on hidden rows, zero on known ones; shape (N, C, H, W). Ignored where `sigma`
        is `NO_SIGNAL`.
    base, masks
        Interpolated image (N, C, H, W) and known rows (N, H); of planes between rows, the share of
        each row.
    sigma
        Noise level of each image, shape (N,), or of all, shape (1,).
    sigma_data
        Standard deviation of the residual on hidden rows, of all images or of each, (N,).
    measured
        Deviation of the slice profile in rows, and of the planes' noise in multiples of
        `sigma_data`, (N, 2) or (1, 2); None of points without noise.

    Returns
    -------
    Expected residual given the input, shape (N, C, H, W).
    """
    scales = precondition(sigma, sigma_data)
    estimate = estimate_everywhere(network, noisy, base, masks, scales, measured)
    return estimate * hidden_rows(masks, measured)[:, None, :, None]


def estimate_everywhere(
    network: Network,
    noisy: Tensor,
    base: Tensor,
    masks: Tensor,
    scales: Preconditioning,
    measured: Tensor | None,
) -> Tensor:
    """Estimate the residual as `denoise` does, but not made zero on known rows: (N, C, H, W)."""
    scaled = noisy * column(scales.c_in)
    levels = network_levels(scales.c_noise, measured)
    output = network(network_input(scaled, base, masks), levels)
    return column(scales.c_skip) * noisy + column(scales.c_out) * output.to(noisy.dtype)


def hidden_rows(masks: Tensor, measured: Tensor | None = None) -> Tensor:
    """Return which rows are to be restored, (N, H); arguments as in `denoise`.

    All of planes that are blurred or noisy, else all that are no plane.
    """
    hidden = masks != 1
    return hidden if measured is None else hidden | measured.any(dim=1, keepdim=True)


def weighted_loss(error: Tensor, hidden: Tensor, c_out: Tensor) -> Tensor:
    """Compute the RMS of error / c_out over the hidden pixels of each image, mean over images.

    Its square is EDM equation 8 with lambda = 1 / c_out^2, which weights all noise levels equally
    in an untrained network. Later the images that are hardest to predict, by their noise, mask or
    content, would dominate the gradient; the root divides each image's gradient by its error.

    Shapes (N, C, H, W), (N, 1, H, 1) and (N,).
    """
    scaled = error * hidden / column(c_out)
    pixels = hidden.sum(dim=(1, 2, 3)) * (error.shape[1] * error.shape[3])
    squares = scaled.square().sum(dim=(1, 2, 3)) / pixels.clamp(min=1)
    return (squares + SQRT_OFFSET).sqrt().mean()


def draw_sigma(
    count: int,
    log_mean: float,
    log_std: float,
    no_signal_share: float,
    generator: torch.Generator,
) -> Tensor:
    """Draw training noise levels in multiples of `sigma_data`, shape (count,), on the CPU.

    Log-normal with median ``exp(log_mean)`` (EDM table 1), and `NO_SIGNAL` with the
    probability `no_signal_share`, which trains the mean that prediction starts from.
    """
    normal = torch.randn(count, generator=generator)
    pure = torch.rand(count, generator=generator) < no_signal_share
    return (log_mean + log_std * normal).exp().masked_fill(pure, NO_SIGNAL)


def noise_schedule(steps: int, sigma_max: float, sigma_min: float, rho: float) -> list[float]:
    """Return `steps` decreasing noise levels and a final 0 (EDM equation 5)."""
    if steps == 1:
        return [sigma_max, 0.0]
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return [(high + i / (steps - 1) * (low - high)) ** rho for i in range(steps)] + [0.0]
