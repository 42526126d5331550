"""The U-Net of the MSDSR paper: group norm, attention, full resolution (section 3.2).

Modules are named as in the authors' checkpoints, which load unchanged. The input is a noisy image
and a time step, without the mask of known rows.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812


def time_embedding(t: Tensor, dims: int) -> Tensor:
    """Embed time steps (N,) as cosines and sines at `dims` / 2 frequencies: (N, dims).

    Frequencies decrease geometrically from 1 to 1/10000 (Ho et al. 2020, arXiv 2006.11239, app. B).
    """
    half = dims // 2
    exponents = torch.arange(half, dtype=torch.float32, device=t.device) / half
    angles = t[:, None].float() * torch.exp(-math.log(10_000) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=1)


def _norm(channels: int, groups: int) -> nn.GroupNorm:
    """Make a group norm of `groups` groups, or as many as divide the channels."""
    return nn.GroupNorm(math.gcd(groups, channels), channels)


def _zeroed(module: nn.Conv2d | nn.Conv1d) -> nn.Module:
    """Initialise a layer with zeros, so that an untrained block is the identity."""
    nn.init.zeros_(module.weight)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
    return module


class ResidualBlock(nn.Module):
    """Residual block: two 3x3 convolutions, the time embedding added between them."""

    def __init__(self, inputs: int, outputs: int, embedding: int, groups: int) -> None:
        super().__init__()
        self.in_layers = nn.Sequential(
            _norm(inputs, groups), nn.SiLU(), nn.Conv2d(inputs, outputs, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, outputs))
        self.out_layers = nn.Sequential(
            _norm(outputs, groups),
            nn.SiLU(),
            nn.Identity(),  # where the released network has a dropout of 0
            _zeroed(nn.Conv2d(outputs, outputs, 3, padding=1)),
        )
        self.skip_connection = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, inputs, H, W) and (N, embedding) -> (N, outputs, H, W)."""
        h = self.in_layers(x) + self.emb_layers(embedding)[:, :, None, None]
        result: Tensor = self.skip_connection(x) + self.out_layers(h)
        return result


class Attention(nn.Module):
    """Self-attention over all pixels, in heads of about `head_channels` channels."""

    def __init__(self, channels: int, head_channels: int, groups: int) -> None:
        super().__init__()
        self.heads = channels // math.gcd(channels, head_channels)
        self.norm = _norm(channels, groups)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = _zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, channels, H, W) -> same; `embedding` is not used."""
        n, channels, height, width = x.shape
        flat = x.reshape(n, channels, height * width)
        # Stored head by head: (q, k, v) of the first head, then of the second, ...
        qkv = self.qkv(self.norm(flat)).reshape(n, self.heads, 3, -1, height * width)
        q, k, v = (part.transpose(2, 3).contiguous() for part in qkv.unbind(2))
        attended = F.scaled_dot_product_attention(q, k, v).transpose(2, 3)
        result: Tensor = flat + self.proj_out(attended.reshape(n, channels, -1))
        return result.reshape(x.shape)


class Downsample(nn.Module):
    """Halve height and width by a strided convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, H / 2, W / 2); `embedding` is not used."""
        result: Tensor = self.op(x)
        return result


class Upsample(nn.Module):
    """Double height and width by nearest-neighbour interpolation and a convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, C, H, W) -> (N, C, 2 H, 2 W); `embedding` is not used."""
        result: Tensor = self.conv(F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return result


class InputConv(nn.Conv2d):
    """The first convolution."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:  # type: ignore[override]
        """(N, C, H, W) -> (N, width, H, W); `embedding` is not used."""
        return super().forward(x)


def _run(layers: nn.Module, x: Tensor, embedding: Tensor) -> Tensor:
    for layer in layers.children():
        x = layer(x, embedding)
    return x


class UNet(nn.Module):
    """Attention U-Net of the released code; the time step enters every residual block.

    Parameters
    ----------
    channels
        Image channels, in and out.
    width
        Channels at full resolution; 224 as released.
    multipliers
        Channels at 1, 1/2, 1/4, ... resolution, as multiples of `width`.
    blocks
        Residual blocks a level on the way down; one more on the way up.
    attention
        Downsampling factors at which there is self-attention.
    head_channels
        Channels of an attention head.
    groups
        Groups of group norm; 32 as released. A group of one channel would remove the time
        embedding added to it, so narrow networks need fewer groups.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        multipliers: tuple[int, ...],
        blocks: int,
        attention: tuple[int, ...],
        head_channels: int,
        groups: int = 32,
    ) -> None:
        super().__init__()
        self.width = width
        self.multiple = 2 ** (len(multipliers) - 1)
        embedding = 4 * width
        self.time_embed = nn.Sequential(
            nn.Linear(width, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        stage = [InputConv(channels, width, 3, padding=1)]
        self.input_blocks = nn.ModuleList([nn.ModuleList(stage)])
        skips, inputs = [width], width
        for level, multiplier in enumerate(multipliers):
            outputs = multiplier * width
            for _ in range(blocks):
                layers: list[nn.Module] = [ResidualBlock(inputs, outputs, embedding, groups)]
                if 2**level in attention:
                    layers.append(Attention(outputs, head_channels, groups))
                self.input_blocks.append(nn.ModuleList(layers))
                skips.append(outputs)
                inputs = outputs
            if level < len(multipliers) - 1:
                self.input_blocks.append(nn.ModuleList([Downsample(inputs)]))
                skips.append(inputs)
        self.middle_block = nn.ModuleList(
            [
                ResidualBlock(inputs, inputs, embedding, groups),
                Attention(inputs, head_channels, groups),
                ResidualBlock(inputs, inputs, embedding, groups),
            ]
        )
        self.output_blocks = nn.ModuleList()
        for level in reversed(range(len(multipliers))):
            outputs = multipliers[level] * width
            for block in range(blocks + 1):
                layers = [ResidualBlock(inputs + skips.pop(), outputs, embedding, groups)]
                if 2**level in attention:
                    layers.append(Attention(outputs, head_channels, groups))
                if level and block == blocks:
                    layers.append(Upsample(outputs))
                self.output_blocks.append(nn.ModuleList(layers))
                inputs = outputs
        self.out = nn.Sequential(
            _norm(inputs, groups), nn.SiLU(), _zeroed(nn.Conv2d(inputs, channels, 3, padding=1))
        )

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        """(N, C, H, W) and time steps (N,) -> (N, C, H, W).

        H and W must be multiples of `multiple` (8 with four levels); t is zero for images without
        noise.
        """
        embedding = self.time_embed(time_embedding(t, self.width))
        skips = []
        for layers in self.input_blocks:
            x = _run(layers, x, embedding)
            skips.append(x)
        x = _run(self.middle_block, x, embedding)
        for layers in self.output_blocks:
            x = _run(layers, torch.cat([x, skips.pop()], dim=1), embedding)
        result: Tensor = self.out(x)
        return result
