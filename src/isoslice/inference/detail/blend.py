"""How much of a sample's detail is kept: one dial between the mean and the sample.

The mean is the most faithful volume and smooth; a sample is as rough as the specimen, and every
voxel's share of invention costs accuracy. The two frequency ranges of invention differ in what they
give: fine detail makes the volume look real; coarse detail (slow along Z) costs most of the
accuracy and is hardly seen, but where a specimen is noisy, noise without it looks unreal. So the
dial first lets fine detail in, then as much of the coarse as suits the specimen (`roughness`).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from isoslice.models.config import ModelConfig
from isoslice.runtime.device import at_once

#: Where the dial stands if nobody turns it: all of the detail.
DEFAULT_DETAIL = 1.0


def usual_grain(config: ModelConfig) -> float:
    """Share of the grain that is kept.

    All of it of a distilled network, whose detail is counted from the interpolation: it holds what
    the network knows, too.
    """
    return config.sampler.detail_grain if config.distilled is None else 1.0


class Gains(NamedTuple):
    """Gains of sampled detail at ``detail=1``, per channel and plane, (C, Z).

    Or per distance from the nearest measured plane, (C, farthest): see `of_planes`.
    """

    fine: Tensor
    #: From 0 to 1.
    coarse: Tensor

    def of_planes(self, distances: Tensor) -> Gains:
        """Gains of planes, (C, Z), from those of distances 1, 2, ...; `distances` is (Z,).

        Measured planes, at distance 0, have no detail: theirs don't matter.
        """
        index = distances.clamp(1, self.fine.shape[1]).to(self.fine.device) - 1
        return Gains(self.fine[:, index], self.coarse[:, index])

    def at(self, detail: float) -> Gains:
        """Return the gains at another position of the dial, from 0 to 1.

        Of 1 + h in all, h being the coarse detail's, the dial lets in a share; the fine detail has
        the first 1 of it.
        """
        let_in = detail * (1 + self.coarse)
        return Gains(self.fine * let_in.clamp(max=1), (let_in - 1).clamp(min=0))


def smooth_along_z(detail: Tensor, sigma: float) -> Tensor:
    """Smooth (C, Z, Y, X) along Z by a Gaussian; nothing lies beyond the ends.

    `sigma` is its deviation in voxels; it is cut at three of them, and its taps sum to one.
    """
    reach = max(1, math.ceil(3 * sigma))
    taps = [math.exp(-0.5 * (offset / sigma) ** 2) for offset in range(reach + 1)]
    total = taps[0] + 2 * sum(taps[1:])
    smooth = detail * (taps[0] / total)
    for offset, tap in enumerate(taps[1 : detail.shape[1]], start=1):
        smooth[:, offset:].add_(detail[:, :-offset], alpha=tap / total)
        smooth[:, :-offset].add_(detail[:, offset:], alpha=tap / total)
    return smooth


def soften(planes: Tensor, kept: float) -> None:
    """Attenuate high frequencies of planes (n, Y, X) in place: ``blur + kept * (planes - blur)``.

    The blur is a binomial 1-2-1 filter along Y and X, with edges replicated.
    """
    if kept == 1:
        return
    count = at_once(planes[0].numel(), planes.device)
    for some in torch.split(planes, count):  # few, for memory
        around = F.pad(some[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        some.lerp_(_means_of_four(_means_of_four(around)), 1 - kept)


def _means_of_four(planes: Tensor) -> Tensor:
    """Average planes (n, Y, X) over each 2 x 2 pixels, (n, Y - 1, X - 1).

    As `F.avg_pool2d` does, to the last bit; on a processor, where that takes pixel by pixel, in a
    ninth of the time.
    """
    total = planes[:, :-1, :-1] + planes[:, :-1, 1:]
    return total.add_(planes[:, 1:, :-1]).add_(planes[:, 1:, 1:]).mul_(0.25)


def split_detail(detail: Tensor, sigma: float) -> tuple[Tensor, Tensor]:
    """Split detail (C, Z, Y, X) into what is fine along Z and what is coarse: d - S d and S d."""
    coarse = smooth_along_z(detail, sigma)
    return detail - coarse, coarse


def blend_detail(
    mean: Tensor,
    sample: Tensor,
    detail: float,
    sigma: float,
    gains: Gains | None = None,
    grain: float = 1.0,
) -> Tensor:
    """Put a part of a sample's detail onto the mean.

    With d = sample - mean, softened within planes, and S smoothing along Z, the result is
    mean + g (d - S d) + h S d, where g and h are the gains at the dial's position.

    Parameters
    ----------
    mean, sample
        Volumes (C, Z, Y, X), or their residuals; `sample` is overwritten with the result.
    detail
        0: the mean; 1: all detail, times the gains. Between them, see `Gains.at`.
    sigma
        What counts as fine: detail that a Gaussian of this deviation along Z, in voxels, removes.
    gains
        One by default.
    grain
        See `soften`: those steps' detail is grainier than the specimen.

    Returns
    -------
    `sample`, overwritten.
    """
    if gains is None:
        gains = Gains(*torch.ones(2, *mean.shape[:2]))
    columns = (each.to(sample)[:, :, None, None] for each in gains.at(detail))
    for known, drawn, g, h in zip(mean, sample, *columns, strict=True):  # one by one, for memory
        drawn.sub_(known)
        soften(drawn, grain)
        coarse = smooth_along_z(drawn[None], sigma)[0]
        drawn.mul_(g).add_(coarse.mul_(h - g)).add_(known)
    return sample
