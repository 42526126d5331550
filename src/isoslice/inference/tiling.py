"""Large slices through a network in overlapping windows: blended, or cut where nothing shows."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from isoslice.models.diffusion.edm import Network


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


#: Pixels of an image that the network takes at once, in its own memory; larger ones are cut.
WHOLE = 2_250_000


def spans(length: int, count: int, halo: int, stride: int) -> list[tuple[slice, slice]]:
    """Cut a side into windows.

    Parameters
    ----------
    length
        Of the side.
    count
        How many.
    halo
        How far a window goes beyond what it is for.
    stride
        Windows begin at multiples of this.

    Returns
    -------
    The windows, and what each is for.
    """
    cuts = [round(i * length / count / stride) * stride for i in range(count)] + [length]
    return [
        (slice(max(0, a - halo), min(length, b + halo)), slice(a, b)) for a, b in pairwise(cuts)
    ]


@lru_cache(maxsize=2**14)
def widest(length: int, count: int, halo: int, stride: int) -> int:
    """Return the length of the longest window of `spans`."""
    longest: int = max(
        window.stop - window.start for window, _ in spans(length, count, halo, stride)
    )
    return longest


def grid(
    height: int, width: int, halo: int, stride: int
) -> tuple[list[tuple[slice, slice]], list[tuple[slice, slice]]]:
    """Cut an image into windows of at most `WHOLE` pixels, with the least work for the network."""
    best: tuple[int, int, int] | None = None
    for rows in range(1, max(1, height // stride) + 1):
        tall = widest(height, rows, halo, stride)
        most = WHOLE // tall
        least = math.ceil(width / max(1, most))  # fewer columns cannot be as narrow
        for columns in range(least, max(1, width // stride) + 1):
            wide = widest(width, columns, halo, stride)
            if wide <= most:
                work = rows * columns * tall * wide
                best = min(best or (work, rows, columns), (work, rows, columns))
                break
        if best and (rows * tall) > 2 * best[1] * height:
            break
    _, rows, columns = best or (0, max(1, height // stride), max(1, width // stride))
    return spans(height, rows, halo, stride), spans(width, columns, halo, stride)


class Window(NamedTuple):
    """Part of an image that is computed by itself: rows and columns."""

    rows: slice
    columns: slice
    #: The core that it is responsible for.
    own_rows: slice
    own_columns: slice

    @property
    def inner(self) -> tuple[slice, slice]:
        """Where in the window that lies."""
        top, left = self.rows.start, self.columns.start
        return (
            slice(self.own_rows.start - top, self.own_rows.stop - top),
            slice(self.own_columns.start - left, self.own_columns.stop - left),
        )


def windows_of(height: int, width: int, halo: int, stride: int) -> list[Window]:
    """Cut an image of any size into windows whose own parts are as if it had not been cut.

    That holds for a network without attention and statistics over the image, of which a pixel
    depends on nothing farther away than `halo` (see `denoiser.reach`); `stride` is how many pixels
    one of its coarsest level spans.
    """
    if height * width <= WHOLE:
        rows, columns = slice(0, height), slice(0, width)
        return [Window(rows, columns, rows, columns)]
    down, across = grid(height, width, halo, stride)
    return [
        Window(rows, columns, own_rows, own_columns)
        for rows, own_rows in down
        for columns, own_columns in across
    ]
