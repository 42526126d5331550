"""How wrong the mean is likely to be, voxel by voxel: a head on the trained denoiser.

The mean is learned first and stays as it is. Then a few convolutions learn, from the features that
the denoiser makes the mean of, the expected absolute error |r - mean| of the residual: known rows
far away, or edges between them, mean large errors. It costs one evaluation of the network a
direction, as the mean does; no samples are drawn.
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise
from isoslice.models.diffusion.masked_example import mask_images
from isoslice.models.diffusion.variance_stabilization import unstretch, unstretch_slope
from isoslice.models.networks.denoiser import Denoiser, even
from isoslice.runtime.device import autocast
from isoslice.runtime.randomness import seeded

#: Channels of the head.
WIDTH = 32
#: Differences of neighbours that count as none, in units of the residual's deviation.
FAINT = 0.03
#: The logarithm of the expected error, in units of the residual's deviation, is kept within these.
LIMITS = (-7.0, 4.0)


class SpreadHead(nn.Module):
    """Features and what the denoiser sees -> logarithm of the expected absolute error.

    Beside the features it sees how steep and how noisy the interpolated image is, as logarithms:
    errors are about in proportion to that.

    Parameters
    ----------
    channels
        Image channels C.
    features
        Channels of the denoiser's last features, ``widths[0]``.
    sigma_data
        Deviation of the residual.
    """

    def __init__(self, channels: int, features: int, sigma_data: float) -> None:
        super().__init__()
        self.channels, self.sigma_data = channels, sigma_data
        self.enter = nn.Conv2d(features + (4 * channels + 1) * 4, WIDTH, 3, padding=1)
        self.middle = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.leave = nn.Conv2d(WIDTH, channels * 4, 1)
        for parameter in self.leave.parameters():  # begins with the same error everywhere
            nn.init.zeros_(parameter)

    def forward(self, features: Tensor, seen: Tensor) -> Tensor:
        """(N, features, H/2, W/2) and the denoiser's input (N, 2C + 1, H, W) -> (N, C, H, W)."""
        height, width = seen.shape[-2:]
        base = even(seen[:, self.channels : 2 * self.channels])
        steep = [
            F.pad(base.diff(dim=dim).abs(), pad) / (2 * self.sigma_data)  # seen twice as large
            for dim, pad in ((3, (0, 1, 0, 0)), (2, (0, 0, 0, 1)))
        ]
        logs = torch.cat(steep, dim=1).add(FAINT).log()
        x = torch.cat([features, *(F.pixel_unshuffle(y, 2) for y in (even(seen), logs))], dim=1)
        x = self.leave(F.silu(self.middle(F.silu(self.enter(x)))))
        return F.pixel_shuffle(x, 2)[..., :height, :width].clamp(*LIMITS)


class SpreadNetwork(nn.Module):
    """A denoiser with its head, called like a denoiser.

    Given to `edm.denoise` at `NO_SIGNAL` it makes that return the expected absolute error of
    the mean (stretched intensities, zero on known rows), so that all that makes the mean of a
    volume makes this too.
    """

    def __init__(self, denoiser: Denoiser, head: SpreadHead) -> None:
        super().__init__()
        self.denoiser, self.head = denoiser, head

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """(N, 2C + 1, H, W) and noise levels -> (N, C, H, W), in units of the deviation."""
        log_spread: Tensor = self.head(self.denoiser.features(x, c_noise), x)
        return log_spread.exp()


def build_head(config: ModelConfig, seed: int = 0) -> SpreadHead:
    """Make an untrained head for a model's network; its first weights depend on `seed`."""
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
    """Fill in the hidden rows of 2D images, and say how wrong that is likely to be.

    Parameters
    ----------
    network, config
        On the images' device; the model's settings.
    images
        Normalised, (N, C, H, W); hidden rows are not looked at.
    masks
        Known rows, (N, H).

    Returns
    -------
    Mean and expected absolute error, both (N, C, H, W), of intensities.
    """
    example = mask_images(images, masks, config.softening)
    base, hidden = example.base, example.hidden
    level = torch.tensor([NO_SIGNAL], device=images.device)
    nothing = torch.zeros_like(base)
    with autocast(images.device):
        mean, spread = (
            denoise(each, nothing, base, masks, level, config.sigma_data).float()
            for each in (network.denoiser, network)
        )
    restored = base + mean
    return (
        torch.where(hidden, unstretch(restored, config.softening), images),
        spread * unstretch_slope(restored, config.softening),
    )
