"""A few pieces of a stack that stand for all of it, and what was drawn between their planes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Region, whole
from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.roughness import roughness
from isoslice.inference.detail.blend import soften, split_detail, usual_grain
from isoslice.inference.interpolated import make_base
from isoslice.models.config import ModelConfig

#: Pieces looked at, and from how many places a side each is taken; their size: so many intervals
#: between measured planes, and voxels along Y and X.
COUNT, PLACES, INTERVALS, SIDE = 4, 4, 8, 64

#: Gives a part of the measured planes, normalised, (C, n, y, x).
Read = Callable[[Region], NDArray[np.float32]]


def reader(planes: NDArray[np.float32]) -> Read:
    """Read from planes (C, n, Y, X) that are in memory."""
    return lambda place: np.ascontiguousarray(planes[(slice(None), *place)])


def pieces(shape: tuple[int, int, int], read: Read) -> list[Region]:
    """Cut measured planes into pieces spread over the depth and over what the planes show.

    At each of `COUNT` depths, the piece is taken at which the sum of roughness over places, row by
    row, passes a certain share: rarely an empty one, and on a diagonal where all are alike. A small
    stack has fewer than `COUNT`: the same piece is not looked at twice.

    Parameters
    ----------
    shape
        Of all planes, (n, Y, X).
    read
        Gives parts of them.
    """
    n, height, width = shape

    def parts(size: int, whole: int, count: int) -> list[slice]:
        starts = ((i + 0.5) / count * max(0, whole - size) for i in range(count))
        return [slice(round(start), min(round(start) + size, whole)) for start in starts]

    chosen: list[Region] = []
    lateral = [(y, x) for y in parts(SIDE, height, PLACES) for x in parts(SIDE, width, PLACES)]
    for i, z in enumerate(parts(INTERVALS + 1, n, COUNT)):
        here = (torch.from_numpy(read((z, y, x))) for y, x in lateral)
        sums = np.cumsum([float(roughness(piece).mean(dim=1).sum()) for piece in here])
        share = (i * (PLACES + 1) + 0.5) / PLACES**2
        piece = (z, *lateral[int(np.searchsorted(sums, share * sums[-1]))])
        if piece not in chosen:
            chosen.append(piece)
    return chosen


def drawn_place(piece: Region, grid: PlaneGrid) -> Region:
    """Say where a piece of the measured planes lies in the volume."""
    depth, y, x = piece
    known = grid.known[depth]
    return slice(math.floor(known[0]), math.ceil(known[-1]) + 1), y, x


class Parts(Protocol):
    """What was drawn for a volume, in memory or not: its residual's mean, and a sample."""

    def part(self, place: Region) -> tuple[Tensor, Tensor | None]:
        """Mean and sample of a part."""


class Piece(NamedTuple):
    """A piece of the stack, and of what was drawn between its planes, (C, planes, Y, X)."""

    measured: Tensor
    #: Interpolated linearly.
    linear: Tensor
    #: Restored without detail; and that detail, of which measured planes have none. Stretched.
    mean: Tensor
    fine: Tensor
    coarse: Tensor
    #: Of each plane from the next measured one, (planes,).
    distance: Tensor


def drawn_piece(
    config: ModelConfig,
    measured: NDArray[np.float32],
    grid: PlaneGrid,
    base: Tensor,
    mean: Tensor,
    sample: Tensor,
) -> Piece:
    """Take apart what was drawn for one piece.

    The dial stands at all of the detail: turned down, planes are to be smoother.

    Parameters
    ----------
    config
        The model's settings.
    measured
        Its planes, normalised, (C, n, y, x).
    grid
        Where they lie in it.
    base, mean, sample
        Interpolation, stretched, and the residuals that `sampler.draw` gave there,
        (C, grid.depth, y, x).
    """
    detail = sample - mean
    for channel in detail:
        soften(channel, usual_grain(config))
    linear = torch.from_numpy(interpolate(measured.swapaxes(0, 1), grid)).transpose(0, 1)
    hidden = torch.from_numpy(~grid.mask).to(base.device)[:, None, None]
    fine, coarse = (band * hidden for band in split_detail(detail, config.sampler.detail_sigma))
    return Piece(
        torch.from_numpy(measured).to(base.device),
        linear.to(base.device),
        base + mean,
        fine,
        coarse,
        torch.from_numpy(grid.distances).to(base.device),
    )


def piece_grid(piece: Region, grid: PlaneGrid) -> PlaneGrid:
    """Grid of a piece's own planes, which begins at the output plane at or below the first."""
    known = grid.known[piece[0]]
    return PlaneGrid(tuple(z - math.floor(known[0]) for z in known))


def drawn_pieces(
    config: ModelConfig, read: Read, shape: tuple[int, int, int], grid: PlaneGrid, drawn: Parts
) -> Sequence[Piece]:
    """Cut pieces out of what was drawn for a whole stack; those with nothing hidden tell nothing.

    Parameters
    ----------
    config
        The model's settings.
    read, shape
        Gives parts of the measured planes, normalised; their shape, (n, Y, X).
    grid
        Where they lie.
    drawn
        What was drawn between them.
    """
    drawn_there = []
    for piece in pieces(shape, read):
        own = piece_grid(piece, grid)
        if own.mask.all():
            continue
        mean, sample = drawn.part(drawn_place(piece, grid))
        assert sample is not None  # detail is looked at where there is some
        measured = read(piece)
        base = make_base(torch.from_numpy(measured), own, config.softening, mean.device)
        linear = base.part(whole(base.shape).slices()).to(mean.device)
        drawn_there.append(drawn_piece(config, measured, own, linear, mean, sample))
    return drawn_there
