"""The denoiser: a small convolutional U-Net that never works at full resolution.

Magnitude-preserving layers (Karras et al. 2024, "EDM2", arXiv 2312.02696): weights are normalised,
sums and activations keep unit variance, and no layer takes statistics over the image. So the
output at a pixel depends on a finite neighbourhood only, which exact tiling needs.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

# Keeps the variance of SiLU's output at that of its input (EDM2 equation 81).
_SILU_GAIN = 1 / 0.596
# Share of the new in the sums of a residual block, and of what comes from below in those of levels.
_BLOCK_SHARE, _LEVEL_SHARE = 0.3, 0.5


def normalized(weight: Tensor, gain: float | Tensor = 1.0) -> Tensor:
    """Weights whose outputs have the variance of their inputs (EDM2 equation 66).

    `weight` has shape (out, in, ...); each output's weights are scaled to norm `gain`.
    """
    dims = list(range(1, weight.ndim))
    norm = weight.square().sum(dims, keepdim=True).sqrt()
    return weight * (gain / (norm + 1e-6))


def mp_silu(x: Tensor) -> Tensor:
    """SiLU that keeps the variance of unit normal input."""
    return F.silu(x) * _SILU_GAIN


def mp_sum_weights(t: float) -> tuple[float, float]:
    """Weights of a and b in a sum with the share `t` of b that keeps unit variance (EDM2 eq. 88).

    The second one is best given to the layer that makes b, as its gain: one pass over the image
    less.
    """
    return (1 - t) / math.hypot(1 - t, t), t / math.hypot(1 - t, t)


def even(x: Tensor) -> Tensor:
    """Repeat the last row and column of (N, C, H, W) where H or W is odd."""
    # Not F.pad: autocast on CPUs has it compute in float32, copying the image there and back.
    if x.shape[3] % 2:
        x = torch.cat([x, x[..., -1:]], dim=3)
    if x.shape[2] % 2:
        x = torch.cat([x, x[:, :, -1:]], dim=2)
    return x


class MPConv(nn.Module):
    """Convolution with normalised weights and no bias (EDM2 section 2.3).

    Kernels 1 and 3 keep the size, 2 halves it, 0 is linear.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int) -> None:
        super().__init__()
        size = (kernel, kernel) if kernel else ()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *size))

    def forward(self, x: Tensor, gain: float | Tensor = 1.0) -> Tensor:
        """Convolve; `gain` scales the output (a number, or shape (outputs, 1, 1, 1)).

        Outside training the stored weights are taken to be normalised (see `renormalize`).
        """
        if self.training:
            weight = normalized(self.weight, gain)
        else:
            weight = self.weight * (gain / math.sqrt(self.weight[0].numel()))
        if weight.ndim == 2:
            return F.linear(x, weight.to(x.dtype))
        if weight.shape[-1] == 2:
            return F.conv2d(x, weight.to(x.dtype), stride=2)
        return F.conv2d(x, weight.to(x.dtype), padding=weight.shape[-1] // 2)

    @torch.no_grad()
    def renormalize(self) -> None:
        """Put stored weights back to norm one an element (EDM2 equation 67, forced)."""
        self.weight.copy_(normalized(self.weight, math.sqrt(self.weight[0].numel())))


class Block(nn.Module):
    """Residual block: two 3x3 convolutions, the noise level as a gain between them."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.conv1 = MPConv(width, width, 3)
        self.conv2 = MPConv(width, width, 3)
        self.level = MPConv(embedding, width, 0)
        self.level_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, width, H, W) and (N or 1, embedding) -> (N, width, H, W)."""
        gain = self.level(embedding, self.level_gain) + 1
        if len(gain) == 1:  # one level for all: cheaper as part of the weights
            y = self.conv1(F.silu(x), _SILU_GAIN * gain[0, :, None, None, None])
        else:
            y = self.conv1(F.silu(x), _SILU_GAIN) * gain[:, :, None, None].to(x.dtype)
        old, new = mp_sum_weights(_BLOCK_SHARE)
        y = self.conv2(F.silu(y, inplace=not self.training), _SILU_GAIN * new)
        total: Tensor = y.add_(x, alpha=old)
        return total


class Blocks(nn.Module):
    """Residual blocks of one width, one after the other."""

    def __init__(self, width: int, embedding: int, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, embedding) for _ in range(count))

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """(N, width, H, W) and (N or 1, embedding) -> (N, width, H, W)."""
        for block in self.blocks:
            x = block(x, embedding)
        return x


#: How much farther than the output the head of `error_head` sees: two 3x3 convolutions more than
#: the features, which see one less.
HEAD_REACH = 2


def reach(widths: tuple[int, ...], blocks_down: tuple[int, ...], blocks_up: tuple[int, ...]) -> int:
    """How far a pixel may depend on another one, in pixels; arguments as of `Denoiser`.

    A 3x3 convolution adds one pixel of its level; where the image begins within a coarsest pixel
    adds one of these at most.
    """
    convolutions = [2 * (down + up) for down, up in zip(blocks_down, blocks_up, strict=True)]
    convolutions[0] += 2  # entering and leaving
    along = sum(count * 2 << level for level, count in enumerate(convolutions))
    return along + (1 << len(widths))


class Denoiser(nn.Module):
    """U-Net over 1/2, 1/4, ... resolution, entered and left by pixel shuffling.

    Parameters
    ----------
    channels
        Image channels C; the network takes 2C + 1 and returns C.
    widths
        Channels at 1/2, 1/4, 1/8, ... resolution.
    blocks_down, blocks_up
        Residual blocks a level on the way down and up.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        blocks_down: tuple[int, ...],
        blocks_up: tuple[int, ...],
    ) -> None:
        super().__init__()
        self.widths = widths
        embedding = 64
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.linspace(0.5, 8.0, 16), persistent=False)
        self.embed = MPConv(32, embedding, 0)
        # One more input channel, constant one, takes the place of biases.
        self.enter = MPConv((2 * channels + 1) * 4 + 1, widths[0], 3)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        self.up = nn.ModuleList()
        self.grow = nn.ModuleList()
        for level, width in enumerate(widths):
            if level:
                self.shrink.append(MPConv(widths[level - 1], width, 2))
                self.grow.append(MPConv(width, widths[level - 1], 1))
            self.down.append(Blocks(width, embedding, blocks_down[level]))
            self.up.append(Blocks(width, embedding, blocks_up[level]))
        self.leave = MPConv(widths[0], channels * 4, 3)
        self.leave_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """(N, 2C + 1, H, W) and noise levels (N,) or (1,) -> (N, C, H, W), any H and W."""
        height, width = x.shape[-2:]
        x = F.pixel_shuffle(self.leave(self.features(x, c_noise), self.leave_gain), 2)
        return x[..., :height, :width]

    def features(self, x: Tensor, c_noise: Tensor) -> Tensor:
        """Return what the last layer sees: (N, widths[0], H, W), H and W halved and rounded up."""
        phase = c_noise[:, None] * self.frequencies * (2 * math.pi)
        waves = torch.cat([phase.cos(), phase.sin()], dim=1) * math.sqrt(2)
        embedding = mp_silu(self.embed(waves))

        x = F.pixel_unshuffle(even(x), 2)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        x = self.enter(x.contiguous(memory_format=torch.channels_last))
        skips = []
        for level in range(len(self.widths)):
            if level:
                x = self.shrink[level - 1](even(x))
            x = self.down[level](x, embedding)
            skips.append(x)
        own, below = mp_sum_weights(_LEVEL_SHARE)
        for level in reversed(range(len(self.widths))):
            if level < len(self.widths) - 1:
                x = F.interpolate(self.grow[level](x, below), scale_factor=2.0, mode="nearest")
                skip = skips[level]
                x = x[..., : skip.shape[2], : skip.shape[3]].add_(skip, alpha=own)
            x = self.up[level](x, embedding)
        return x

    @torch.no_grad()
    def renormalize(self) -> None:
        """Normalise all stored weights; called after every optimiser step."""
        for module in self.modules():
            if isinstance(module, MPConv):
                module.renormalize()


def channels_last(network: nn.Module) -> nn.Module:
    """Lay weights out channels-last, in place: convolutions on CPUs run up to twice as fast."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
