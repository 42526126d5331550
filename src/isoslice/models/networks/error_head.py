"""A head on the trained denoiser that predicts the mean's expected absolute error, the spread.

The denoiser is trained first and then frozen. From its last features a few convolutions learn the
expected absolute error E|r - mean| of the residual, which is large far from known rows and at edges
between them. Like the mean it takes one evaluation of the network a direction, and no samples.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, column, denoise
from isoslice.models.diffusion.masked_example import mask_images
from isoslice.models.diffusion.variance_stabilization import unstretch, unstretch_slope
from isoslice.models.networks.denoiser import Denoiser, pad_to_even
from isoslice.runtime.device import autocast
from isoslice.runtime.randomness import seeded

#: Channels of the head's hidden layers.
HEAD_WIDTH = 32
#: Added to gradients before their logarithm, in units of the residual's deviation.
GRADIENT_FLOOR = 0.03
#: The log of the expected error, in units of the residual's deviation, is clamped to these.
LOG_LIMITS = (-7.0, 4.0)


class SpreadHead(nn.Module):
    """Map features and the denoiser's input to the logarithm of the expected absolute error.

    Further inputs are log gradients of the interpolated image, to which errors are roughly
    proportional.

    Parameters
    ----------
    channels
        Image channels C.
    features
        Channels of the denoiser's last features, ``widths[0]``.
    sigma_data
        Standard deviation of the residual.
    """

    def __init__(self, channels: int, features: int, sigma_data: float) -> None:
        super().__init__()
        self.channels = channels
        #: Of all images, or of each, (N,).
        self.sigma_data: float | Tensor = sigma_data
        self.enter = nn.Conv2d(features + (4 * channels + 1) * 4, HEAD_WIDTH, 3, padding=1)
        self.middle = nn.Conv2d(HEAD_WIDTH, HEAD_WIDTH, 3, padding=1)
        self.leave = nn.Conv2d(HEAD_WIDTH, channels * 4, 1)
        for parameter in self.leave.parameters():  # initially predicts the same error everywhere
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, inputs: Tensor) -> Tensor:
        """(N, features, H/2, W/2) and the denoiser's input (N, 2C + 1, H, W) -> (N, C, H, W)."""
        height, width = inputs.shape[-2:]
        base = pad_to_even(inputs[:, self.channels : 2 * self.channels])
        steep = [
            F.pad(base.diff(dim=dim).abs(), pad) / (2 * column(self.sigma_data))  # of [-1, 1]
            for dim, pad in ((3, (0, 1, 0, 0)), (2, (0, 0, 0, 1)))
        ]
        logs = torch.cat(steep, dim=1).add(GRADIENT_FLOOR).log()
        stacked = [F.pixel_unshuffle(y, 2) for y in (pad_to_even(inputs), logs)]
        x = torch.cat([features, *stacked], dim=1)
        x = self.leave(F.silu(self.middle(F.silu(self.enter(x)))))
        return F.pixel_shuffle(x, 2)[..., :height, :width].clamp(*LOG_LIMITS)


class SpreadNetwork(nn.Module):
    """A denoiser with its head, called like a denoiser.

    With it `edm.denoise` at `NO_SIGNAL` returns the expected absolute error of the mean (stretched
    intensities, zero on known rows), so that code for the mean of a volume serves for its error.
    """

    def __init__(self, denoiser: Denoiser, head: SpreadHead) -> None:
        super().__init__()
        self.denoiser, self.head = denoiser, head

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """(N, 2C + 1, H, W) and noise levels -> (N, C, H, W), in units of `sigma_data`."""
        log_spread: Tensor = self.head(self.denoiser.features(x, c_noise), x)
        return log_spread.exp()


def build_head(config: ModelConfig, seed: int = 0) -> SpreadHead:
    """Build an untrained head for a model's network, initialised from `seed`."""
    with seeded(seed):
        return SpreadHead(config.network.channels, config.network.widths[0], config.sigma_data)


def with_head(network: nn.Module, head: nn.Module) -> SpreadNetwork:
    """Join a model's network and its head, both in evaluation mode."""
    assert isinstance(network, Denoiser)
    assert isinstance(head, SpreadHead)
    return SpreadNetwork(network, copy.deepcopy(head).eval())


@torch.inference_mode()
def mean_and_spread(
    network: SpreadNetwork, config: ModelConfig, images: Tensor, masks: Tensor
) -> tuple[Tensor, Tensor]:
    """Restore the hidden rows of 2D images, and predict the error.

    Parameters
    ----------
    network, config
        On the images' device; the model's settings.
    images
        Normalised, (N, C, H, W); hidden rows are ignored.
    masks
        Known rows, (N, H).

    Returns
    -------
    Mean and expected absolute error, both (N, C, H, W), of intensities.
    """
    example = mask_images(images, masks, config.softening)
    base, hidden = example.base, example.hidden
    level = torch.tensor([NO_SIGNAL], device=images.device)
    no_residual = torch.zeros_like(base)
    with autocast(images.device):
        mean, spread = (
            denoise(each, no_residual, base, masks, level, config.sigma_data).float()
            for each in (network.denoiser, network)
        )
    restored = base + mean
    return (
        torch.where(hidden, unstretch(restored, config.softening), images),
        spread * unstretch_slope(restored, config.softening),
    )
