"""Large slices through a network in overlapping windows, blended."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

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


#: Slices are taken whole up to this side, and in windows up to it beyond.
WHOLE = 1024
#: Windows begin at multiples of this, as the network's coarsest pixels do.
STRIDE = 32
#: How far neighbours overlap. A window is not looked at in the outer `IGNORED` pixels, where it
#: lacks most of what lies beyond; across the rest, weights go over from one to the other. See
#: docs/scaling.md for how far a pixel matters.
OVERLAP, IGNORED = 128, 32


def spans(length: int) -> list[tuple[int, int]]:
    """Cut a side into windows of about one size that overlap: first pixel, and last plus one."""
    if length <= WHOLE:
        return [(0, length)]
    count = -(-length // (WHOLE - OVERLAP - STRIDE))
    inner = [round(i * length / count / STRIDE) * STRIDE for i in range(1, count)]
    cuts = [0, *inner, length]
    half = OVERLAP // 2
    return [(max(0, a - half), min(length, b + half)) for a, b in pairwise(cuts)]


def weights(length: int) -> Iterator[tuple[slice, Tensor]]:
    """Yield each window of a side, and the weight of its pixels; at every pixel they sum to one."""
    found = spans(length)
    for number, (start, stop) in enumerate(found):
        weight = torch.ones(stop - start)
        ramp = ((torch.arange(OVERLAP) + 0.5 - IGNORED) / (OVERLAP - 2 * IGNORED)).clamp(0, 1)
        if number:
            weight[:OVERLAP] = ramp
        if number + 1 < len(found):
            weight[-OVERLAP:] = 1 - ramp
        yield slice(start, stop), weight


def tiled(network: Network) -> Network:
    """Apply `network` to images of any size in little memory: windows at places that never change.

    A network without attention and statistics over the image depends on a finite neighbourhood;
    what lies far away matters so little that windows give what the whole would.
    """

    def blended(x: Tensor, t: Tensor) -> Tensor:
        if max(x.shape[2:]) <= WHOLE:
            return network(x, t)
        total = None
        for rows, down in weights(x.shape[2]):
            for columns, across in weights(x.shape[3]):
                found = network(x[..., rows, columns].contiguous(), t).float()
                found *= (down[:, None] * across).to(found.device)
                if total is None:
                    total = found.new_zeros((*found.shape[:2], *x.shape[2:]))
                total[..., rows, columns] += found
        assert total is not None
        return total

    return blended
