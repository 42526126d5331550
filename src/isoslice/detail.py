"""How much of a sample's detail is kept: one dial between the mean and the sample.

The mean is the most faithful volume and smooth; a sample is as rough as the specimen, and every
voxel's share of invention costs accuracy. The two frequency ranges of invention differ in what they
give: coarse detail (slow along Z) costs most of the accuracy and is hardly seen; fine detail makes
the volume look real. So the dial first lets fine detail in, then coarse.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from isoslice.config import ModelConfig

#: Where the dial stands if nobody turns it: all of the fine detail, none of the coarse.
DEFAULT_DETAIL = 0.5


def usual_detail(config: ModelConfig) -> float:
    """Where the dial stands if nobody turns it; a distilled network has learned what to leave out.

    Such a network's detail is counted from the interpolation, so all of it is kept.
    """
    return DEFAULT_DETAIL if config.distilled is None else 1.0


def shares(detail: float) -> tuple[float, float]:
    """Shares of fine and of coarse detail at a position of the dial, 0 ... 1."""
    return min(1.0, 2 * detail), max(0.0, 2 * detail - 1)


def smoothing_matrix(depth: int, sigma: float) -> Tensor:
    """Gaussian smoothing along Z as a matrix (depth, depth); nothing lies beyond the ends.

    `sigma` is the Gaussian's deviation in voxels; it is cut at three of them, and its full rows sum
    to one.
    """
    reach = max(1, math.ceil(3 * sigma))
    offsets = torch.arange(-reach, reach + 1)
    taps = torch.exp(-0.5 * (offsets / sigma) ** 2)
    taps /= taps.sum()
    distance = torch.arange(depth)[None] - torch.arange(depth)[:, None]
    inside = distance.abs() <= reach
    return torch.where(inside, taps[distance.clamp(-reach, reach) + reach], 0.0)


def blend_detail(
    mean: Tensor,
    sample: Tensor,
    detail: float,
    sigma: float,
    gains: Tensor | Sequence[float] | None = None,
) -> Tensor:
    """Put a part of a sample's detail onto the mean.

    With d = sample - mean and S smoothing along Z, the result is
    mean + g f (d - S d) + c S d, where g are gains, and f and c `shares` of `detail`.

    Parameters
    ----------
    mean, sample
        Volumes (C, Z, Y, X), or their residuals; `sample` is overwritten with the result.
    detail
        0: the mean; 1/2: all fine detail; 1: the sample (its fine detail times the gains).
    sigma
        What counts as fine: detail that a Gaussian of this deviation along Z, in voxels, removes.
    gains
        Of fine detail, of each channel (C,) or of each of its planes (C, Z), or None for 1. Few
        steps, by two directions that take turns, give too little of it; this makes up for it.

    Returns
    -------
    `sample`, overwritten.
    """
    fine, coarse = shares(detail)
    smooth = smoothing_matrix(mean.shape[1], sigma).to(mean.device)
    rough = torch.eye(mean.shape[1], device=mean.device) - smooth
    gains = torch.ones(len(mean)) if gains is None else torch.as_tensor(gains)
    columns = gains.to(rough).reshape(len(mean), -1, 1)
    for known, drawn, gain in zip(mean, sample, columns, strict=True):  # one by one, for memory
        drawn.sub_(known)
        kept = gain * fine * rough + coarse * smooth
        torch.add(known, torch.tensordot(kept, drawn, dims=1), out=drawn)
    return sample
