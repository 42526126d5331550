"""How much fine detail is strengthened: until restored planes are as rough as measured ones.

A few steps, by two directions that take turns, give too little fine detail; by how much depends on
the specimen, the spacing and how long the network was trained. Roughness within planes (the mean
absolute difference of neighbours along Y and X) is known from the measured ones, and restored ones
should have it. A few pieces of the stack tell the gain that gives it to them; it then holds for the
whole volume.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.config import ModelConfig
from isoslice.detail import blend_detail
from isoslice.diffusion import Network
from isoslice.geometry import PlaneGrid
from isoslice.sampler import base_volume, draw, usual_detail
from isoslice.stretch import unstretch

#: Pieces looked at: each of so many intervals between measured planes, and voxels along Y and X.
COUNT, INTERVALS, SIDE = 4, 8, 64
#: Least and largest gain.
LIMITS = (0.5, 2.5)


def pieces(shape: tuple[int, ...]) -> list[tuple[slice, slice, slice]]:
    """Cut planes (C, n, Y, X) into pieces spread along Z and over the quarters of XY.

    A small stack has fewer than `COUNT`: the same piece is not looked at twice.
    """
    _, n, height, width = shape

    def part(size: int, whole: int, where: float) -> slice:
        start = round(where * max(0, whole - size))
        return slice(start, min(start + size, whole))

    found: list[tuple[slice, slice, slice]] = []
    for i in range(COUNT):
        piece = (
            part(INTERVALS + 1, n, (i + 0.5) / COUNT),
            part(SIDE, height, (0.25, 0.75)[i % 2]),
            part(SIDE, width, (0.25, 0.75)[i // 2 % 2]),
        )
        if piece not in found:
            found.append(piece)
    return found


def roughness(planes: Tensor) -> Tensor:
    """Mean absolute difference of neighbours along Y and X, of planes (C, n, Y, X): (C,)."""
    along = [planes.diff(dim=dim).abs().flatten(1) for dim in (2, 3)]
    return torch.cat(along, dim=1).mean(dim=1)


@torch.inference_mode()
def detail_gains(
    network: Network,
    config: ModelConfig,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    *,
    evaluations: int,
    seed: int = 0,
    device: torch.device | None = None,
) -> list[float]:
    """Find the gain of each channel's fine detail; arguments as in `sampler.restore`.

    The dial stands where it does if nobody turns it: turned down, planes are to be smoother.
    """
    drawn, measured = [], []
    for depth, *lateral in pieces(planes.shape):
        piece = np.ascontiguousarray(planes[(slice(None), depth, *lateral)])
        known = grid.known[depth]
        part = PlaneGrid(tuple(index - known[0] for index in known))
        if part.mask.all():
            continue
        base = base_volume(piece, part, config.softening)
        mean, sample = draw(
            network,
            config,
            base,
            torch.from_numpy(part.mask),
            evaluations=evaluations,
            seed=seed,
            device=device,
        )
        assert sample is not None  # by the mode
        measured.append(torch.from_numpy(piece))
        without, once = (
            blend_detail(
                mean, sample.clone(), usual_detail(config), config.sampler.detail_sigma, gains
            )
            for gains in ([0.0] * len(piece), None)
        )
        hidden = torch.from_numpy(~part.mask)
        fine = (once - without)[:, hidden]
        drawn.append(((base + without)[:, hidden], fine))
    if not measured:
        return [1.0] * len(planes)
    wanted = torch.stack([roughness(piece) for piece in measured]).mean(dim=0)
    flat = torch.cat([piece.flatten(1) for piece in measured], dim=1)
    lowest, highest = (extreme[:, None, None, None] for extreme in flat.aminmax(dim=1))

    def found(gains: Tensor) -> Tensor:
        """Roughness of restored planes; no darker nor brighter than measured ones."""
        column = gains[:, None, None, None]
        restored = (unstretch(rest + column * d, config.softening) for rest, d in drawn)
        inside = (volume.clamp(lowest, highest) for volume in restored)
        return torch.stack([roughness(volume) for volume in inside]).mean(dim=0)

    low, high = (torch.full_like(wanted, limit) for limit in LIMITS)
    for _ in range(12):  # bisection: more detail is rougher
        middle = (low + high) / 2
        enough = found(middle) >= wanted
        low, high = torch.where(enough, low, middle), torch.where(enough, middle, high)
    return [float(gain) for gain in (low + high) / 2]
