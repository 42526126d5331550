"""The denoiser: a small convolutional U-Net whose finest level is half resolution.

Magnitude-preserving layers (Karras et al. 2024, "EDM2", arXiv 2312.02696): weights are normalised,
sums and activations keep unit variance, and no layer computes statistics over the image. So the
receptive field is finite, which exact tiling needs.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from isoslice.models.networks.scaled_weights import scale_weights

# Keeps the variance of SiLU's output at that of its input (EDM2 equation 81).
_SILU_GAIN = 1 / 0.596
# Weight t of the residual branch in a block, and of the coarser level where levels are merged.
_BLOCK_SHARE, _LEVEL_SHARE = 0.3, 0.5


def mp_silu(x: Tensor) -> Tensor:
    """Apply SiLU, scaled to keep the variance of unit normal input."""
    return F.silu(x) * _SILU_GAIN


def mp_sum_weights(t: float) -> tuple[float, float]:
    """Return weights of a and b for lerp(a, b, t) scaled to unit variance (EDM2 equation 88).

    Pass the second one to the layer that computes b, as its gain, to save one pass over the image.
    """
    return (1 - t) / math.hypot(1 - t, t), t / math.hypot(1 - t, t)


def pad_to_even(x: Tensor) -> Tensor:
    """Repeat the last row and column of (N, C, H, W) where H or W is odd."""
    # Not F.pad, which autocast on CPUs runs in float32, with a copy in each direction.
    if x.shape[3] % 2:
        x = torch.cat([x, x[..., -1:]], dim=3)
    if x.shape[2] % 2:
        x = torch.cat([x, x[:, :, -1:]], dim=2)
    return x


class MPConv(nn.Module):
    """Convolution with normalised weights and no bias (EDM2 section 2.3).

    Kernels 1 and 3 keep height and width, 2 halves them, 0 makes a linear layer. The output is
    multiplied by `gain`.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, gain: float = 1.0) -> None:
        super().__init__()
        size = (kernel, kernel) if kernel else ()
        self.weight = nn.Parameter(torch.randn(outputs, inputs, *size))
        self.gain = gain

    @property
    def scale(self) -> float:
        """What stored weights, which have to be normalised (see `renormalize`), are scaled by."""
        return self.gain / self.root

    @property
    def root(self) -> float:
        """Square root of the number of weights of an output."""
        return math.sqrt(math.prod(self.weight.shape[1:]))

    def scaled(self, gain: Tensor) -> Tensor:
        """Return scaled weights with another gain: a number, or one for each output."""
        return self.weight * (gain / self.root)

    def forward(self, x: Tensor, weight: Tensor | None = None) -> Tensor:
        """Convolve, by weights that are scaled already if given."""
        weight = (self.weight * self.scale if weight is None else weight).to(x.dtype)
        if weight.ndim == 2:
            return F.linear(x, weight)
        if weight.shape[-1] == 2:
            return F.conv2d(x, weight, stride=2)
        return F.conv2d(x, weight, padding=weight.shape[-1] // 2)


class Prepared(NamedTuple):
    """What a network computes before its first convolution, for all layers at once.

    Attributes
    ----------
    gains
        Of each block, (N or 1, width, 1, 1); they depend on the noise.
    weights
        Scaled ones of layers; of those that are not here, each scales its own.
    """

    gains: Mapping[nn.Module, Tensor]
    weights: Mapping[nn.Module, Tensor]


class Block(nn.Module):
    """Residual block: two 3x3 convolutions, with a gain between them that depends on the noise."""

    def __init__(self, width: int, embedding: int) -> None:
        super().__init__()
        self.old, new = mp_sum_weights(_BLOCK_SHARE)
        self.conv1 = MPConv(width, width, 3, _SILU_GAIN)
        self.conv2 = MPConv(width, width, 3, _SILU_GAIN * new)
        self.level = MPConv(embedding, width, 0)
        self.level_gain = nn.Parameter(torch.zeros(()))

    def forward(self, x: Tensor, prepared: Prepared) -> Tensor:
        """(N, width, H, W) -> same."""
        gain, ready = prepared.gains[self], prepared.weights.get
        if len(gain) == 1:  # one noise level for all: cheaper as part of the weights
            scaled = self.conv1.scaled(_SILU_GAIN * gain[0, ..., None])
            y = self.conv1(F.silu(x), scaled)
        else:
            y = self.conv1(F.silu(x), ready(self.conv1)) * gain.to(x.dtype)
        y = self.conv2(F.silu(y, inplace=not self.training), ready(self.conv2))
        total: Tensor = y.add_(x, alpha=self.old)
        return total


class Blocks(nn.Module):
    """A sequence of residual blocks of one width."""

    def __init__(self, width: int, embedding: int, count: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width, embedding) for _ in range(count))

    def forward(self, x: Tensor, prepared: Prepared) -> Tensor:
        """(N, width, H, W) -> same."""
        for block in self.blocks:
            x = block(x, prepared)
        return x


#: Waves in the embedding of how planes were measured, for each of two numbers.
MEASURED_WAVES = 4
#: Pixels by which the receptive field of `error_head.SpreadHead` exceeds the denoiser's: two 3x3
#: convolutions on the features instead of one.
HEAD_REACH = 2


def reach(widths: tuple[int, ...], blocks_down: tuple[int, ...], blocks_up: tuple[int, ...]) -> int:
    """Return the radius of the receptive field in pixels; arguments as of `Denoiser`.

    A 3x3 convolution adds one pixel of its level; the image's offset within a coarsest pixel adds
    at most one of these.
    """
    convolutions = [2 * (down + up) for down, up in zip(blocks_down, blocks_up, strict=True)]
    convolutions[0] += 2  # the first and the last convolution
    along = sum(count * 2 << level for level, count in enumerate(convolutions))
    return along + (1 << len(widths))


class Denoiser(nn.Module):
    """U-Net over 1/2, 1/4, ... resolution, with pixel (un)shuffling at input and output.

    Parameters
    ----------
    channels
        Image channels C; the network takes 2C + 1 and returns C.
    widths
        Channels at 1/2, 1/4, 1/8, ... resolution.
    blocks_down, blocks_up
        Residual blocks a level on the way down and up.
    measured
        Whether it is told how planes were measured.
    """

    def __init__(
        self,
        channels: int,
        widths: tuple[int, ...],
        blocks_down: tuple[int, ...],
        blocks_up: tuple[int, ...],
        measured: bool = False,
    ) -> None:
        super().__init__()
        self.widths = widths
        embedding = 64
        self.frequencies: Tensor
        self.register_buffer("frequencies", torch.linspace(0.5, 8.0, 16), persistent=False)
        self.embed = MPConv(32, embedding, 0)
        if measured:
            self.embed_measured = MPConv(4 * MEASURED_WAVES, embedding, 0)
            self.measured_gain = nn.Parameter(torch.zeros(()))
        # One more input channel, constant one, replaces biases.
        self.enter = MPConv((2 * channels + 1) * 4 + 1, widths[0], 3)
        self.down = nn.ModuleList()
        self.shrink = nn.ModuleList()
        self.up = nn.ModuleList()
        self.grow = nn.ModuleList()
        self.own, below = mp_sum_weights(_LEVEL_SHARE)
        for level, width in enumerate(widths):
            if level:
                self.shrink.append(MPConv(widths[level - 1], width, 2))
                self.grow.append(MPConv(width, widths[level - 1], 1, below))
            self.down.append(Blocks(width, embedding, blocks_down[level]))
            self.up.append(Blocks(width, embedding, blocks_up[level]))
        self.leave = MPConv(widths[0], channels * 4, 3)
        self.leave_gain = nn.Parameter(torch.zeros(()))
        # Scaled weights of layers, by their type, while many batches follow (`ready_weights`).
        self.ready: Mapping[torch.dtype, Mapping[nn.Module, Tensor]] = {}
        # Of which block each of all blocks' channels is, one block after the other.
        self.block_of: Tensor
        blocks = enumerate(self._blocks())
        numbers = [number for number, block in blocks for _ in range(len(block.level.weight))]
        self.register_buffer("block_of", torch.tensor(numbers, dtype=torch.long), persistent=False)

    def _blocks(self) -> list[Block]:
        return [block for blocks in (*self.down, *self.up) for block in blocks.blocks]

    def forward(self, x: Tensor, levels: Tensor) -> Tensor:
        """(N, 2C + 1, H, W) and levels -> (N, C, H, W), any H and W; see `edm.Network`."""
        height, width = x.shape[-2:]
        features = self.features(x, levels)
        x = F.pixel_shuffle(self.leave(features, self.leave.scaled(self.leave_gain)), 2)
        return x[..., :height, :width]

    def features(self, x: Tensor, levels: Tensor) -> Tensor:
        """Return the last layer's input: (N, widths[0], H, W), H and W halved and rounded up."""
        dtype = _computing_dtype(x)
        prepared = self._prepared(levels, dtype)
        ready = prepared.weights.get

        x = F.pixel_unshuffle(pad_to_even(x), 2)
        x = torch.cat([x, torch.ones_like(x[:, :1])], dim=1)
        x = self.enter(x.to(dtype, memory_format=torch.channels_last), ready(self.enter))
        skips = []
        for level in range(len(self.widths)):
            if level:
                shrink = self.shrink[level - 1]
                x = shrink(pad_to_even(x), ready(shrink))
            x = self.down[level](x, prepared)
            skips.append(x)
        for level in reversed(range(len(self.widths))):
            if level < len(self.widths) - 1:
                grow, skip = self.grow[level], skips[level]
                x = F.interpolate(grow(x, ready(grow)), scale_factor=2.0, mode="nearest")
                if x.shape != skip.shape:
                    x = x[..., : skip.shape[2], : skip.shape[3]]
                x = x.add_(skip, alpha=self.own)
            x = self.up[level](x, prepared)
        return x

    def _prepared(self, levels: Tensor, dtype: torch.dtype) -> Prepared:
        """Compute gains of all blocks, and in training scale the weights of all convolutions."""
        blocks, embedding = self._blocks(), mp_silu(self._embedding(levels))
        of_blocks = self._gains(blocks, embedding)
        gains: dict[nn.Module, Tensor] = dict(zip(blocks, of_blocks, strict=True))
        if not torch.is_grad_enabled():
            return Prepared(gains, self.ready.get(dtype, {}))
        layers = [layer for block in blocks for layer in (block.conv1, block.conv2)]
        layers += [self.enter, *self.shrink, *self.grow]
        stored, scales = [layer.weight for layer in layers], [layer.scale for layer in layers]
        weights = scale_weights(stored, scales, dtype)
        return Prepared(gains, dict(zip(layers, weights, strict=True)))

    def _gains(self, blocks: list[Block], embedding: Tensor) -> tuple[Tensor, ...]:
        """Compute gains (N, width, 1, 1) of blocks from embeddings (N, 64), in one product."""
        if not blocks:
            return ()
        weights = torch.cat([block.level.weight for block in blocks])
        gains = torch.stack([block.level_gain for block in blocks]) / blocks[0].level.root
        weights = weights * gains[self.block_of][:, None]
        joined = F.linear(embedding, weights.to(embedding.dtype)) + 1
        widths = [len(block.level.weight) for block in blocks]
        return torch.split(joined.reshape(*joined.shape, 1, 1), widths, dim=1)

    def _embedding(self, levels: Tensor) -> Tensor:
        """Embed noise levels, (N,), or these with how planes were measured, (N, 3)."""
        phase = levels.reshape(len(levels), -1)[:, :1] * self.frequencies * (2 * math.pi)
        waves = torch.cat([phase.cos(), phase.sin()], dim=1) * math.sqrt(2)
        embedding: Tensor = self.embed(waves)
        if levels.ndim == 1:  # points without noise, of which the rest would be zero
            return embedding
        orders = torch.arange(1, MEASURED_WAVES + 1, device=levels.device) * (math.pi / 4)
        angles = (levels[:, 1:].log1p()[:, :, None] * orders).flatten(1)
        away = torch.cat([1 - angles.cos(), angles.sin()], dim=1)
        told: Tensor = self.embed_measured(away, self.embed_measured.scaled(self.measured_gain))
        return embedding + told

    def normalized_weights(self) -> list[Tensor]:
        """Return the weights that are normalised, each output's to unit RMS."""
        return [module.weight for module in self.modules() if isinstance(module, MPConv)]

    @torch.no_grad()
    def renormalize(self) -> None:
        """Normalise stored weights; called after every optimiser step (EDM2 equation 67)."""
        weights = self.normalized_weights()
        norms = [
            torch.linalg.vector_norm(weight, dim=tuple(range(1, weight.ndim)), keepdim=True)
            for weight in weights
        ]
        torch._foreach_add_(norms, 1e-6)
        torch._foreach_div_(norms, [math.sqrt(math.prod(weight.shape[1:])) for weight in weights])
        torch._foreach_div_(weights, norms)

    @torch.no_grad()
    def project_gradients(self) -> None:
        """Remove what would change the norms of weights from their gradients, in place.

        So they are gradients of a network that normalises its weights at every evaluation (EDM2
        section 2.3), which costs several passes over all weights.
        """
        weights = [weight for weight in self.normalized_weights() if weight.grad is not None]
        gradients = [weight.grad for weight in weights if weight.grad is not None]
        along = torch._foreach_mul(gradients, weights)
        shares = [each.mean(tuple(range(1, each.ndim)), keepdim=True) for each in along]
        torch._foreach_sub_(gradients, torch._foreach_mul(weights, shares))


def _computing_dtype(x: Tensor) -> torch.dtype:
    """Return the precision in which a convolution of `x` is computed here."""
    kind = x.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype


def channels_last(network: nn.Module) -> nn.Module:
    """Store weights channels-last, in place; convolutions on CPUs run up to twice as fast."""
    for parameter in network.parameters():
        if parameter.ndim == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network
