"""Build an untrained network from settings."""

from __future__ import annotations

from torch import nn

from isoslice.models.config import AnyConfig
from isoslice.models.networks.denoiser import Denoiser, channels_last
from isoslice.models.networks.unet import UNet
from isoslice.runtime.randomness import seeded


def build_network(config: AnyConfig, seed: int = 0) -> nn.Module:
    """Build the network that `config` describes, initialised from `seed`."""
    with seeded(seed):
        return _untrained(config)


def _untrained(config: AnyConfig) -> nn.Module:
    if config.recipe == "isoslice":
        own = config.network
        shape = own.channels, own.widths, own.blocks_down, own.blocks_up
        return channels_last(Denoiser(*shape, measured=own.measured))
    unet = config.network
    return channels_last(
        UNet(
            unet.channels,
            unet.width,
            unet.multipliers,
            unet.blocks,
            unet.attention,
            unet.head_channels,
            unet.groups,
        )
    )
