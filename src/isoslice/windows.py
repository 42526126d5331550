"""Large slices through a network that knows only small ones: overlapping windows, blended."""

from __future__ import annotations

import torch
from torch import Tensor

from isoslice.diffusion import Network


def window_starts(length: int, window: int) -> list[int]:
    """First pixels of the fewest windows that cover `length`, spread evenly."""
    if length <= window:
        return [0]
    count = -(-length // window)
    return [round(i * (length - window) / (count - 1)) for i in range(count)]


def tent(window: int) -> Tensor:
    """Weight of each pixel of a window: highest in the middle, never zero; shape (window,)."""
    ramp = torch.arange(1, window + 1, dtype=torch.float32)
    return torch.minimum(ramp, ramp.flip(0))


def windowed(network: Network, window: int) -> Network:
    """Apply `network` to windows of at most `window` x `window` pixels and blend its outputs.

    A network with attention and group norm, trained on crops of one size, behaves differently on
    larger images. Within a sampling loop the blended estimate is what all windows agree on, so no
    seam appears (MultiDiffusion, arXiv 2302.08113, equation 5).
    """

    def blended(x: Tensor, t: Tensor) -> Tensor:
        height, width = min(x.shape[2], window), min(x.shape[3], window)
        tops, lefts = window_starts(x.shape[2], window), window_starts(x.shape[3], window)
        if len(tops) == len(lefts) == 1:
            return network(x, t)
        weight = (tent(height)[:, None] * tent(width)).to(x.device)
        total, weights = torch.zeros_like(x), torch.zeros_like(x[:1, :1])
        for top in tops:
            for left in lefts:
                part = (..., slice(top, top + height), slice(left, left + width))
                total[part] += weight * network(x[part].contiguous(), t).to(x.dtype)
                weights[part] += weight
        return total / weights

    return blended
