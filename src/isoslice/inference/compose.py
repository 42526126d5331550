"""Put a frame together: interpolation, the residual's mean, and a sample's detail.

The paper (section 3.3) samples XZ slices and YZ slices apart and averages the two volumes. Here
both look at one residual and take turns, so that they agree at the end and a fifth of the
evaluations is enough. The first two evaluations, one per direction, see no noise: combined they
are the mean that ``mode="mean"`` returns, that sampling starts from, and onto which a part of the
sample's detail is put here (see `detail.blend`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from isoslice.data.box import Box, Region, widened
from isoslice.inference.detail.blend import DEFAULT_DETAIL, Gains, blend_detail, usual_grain
from isoslice.inference.fields import FieldStore
from isoslice.inference.measured import MeasuredPlanes
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.variance_stabilization import unstretch

#: Voxels that are put together at once, by where that is: on a GPU a whole block.
COMPOSED = {"cpu": 2**22, "cuda": 2**24}


@dataclass(frozen=True)
class Residual:
    """A residual that passes left: its mean, a sample of it, or both.

    Attributes
    ----------
    store
        What holds them.
    mean, sample
        Names of their fields. Without a mean, detail is counted from the interpolation; without a
        sample there is none.
    """

    store: FieldStore
    mean: str | None
    sample: str | None = None

    def part(self, place: Region) -> tuple[Tensor, Tensor | None]:
        """Read mean and sample of a part, (C, z, y, x), in single precision."""
        sample = None if self.sample is None else self.store.read(self.sample, place)
        if self.mean is not None:
            return self.store.read(self.mean, place), sample
        assert sample is not None  # one of them is there
        return torch.zeros_like(sample), sample


def margin(config: ModelConfig) -> tuple[int, int, int]:
    """How far detail is looked at along Z, Y and X: smoothed along Z and softened in XY."""
    return math.ceil(3 * config.sampler.detail_sigma), 1, 1


@torch.inference_mode()
def compose(
    config: ModelConfig,
    planes: MeasuredPlanes,
    residual: Residual,
    box: Box,
    detail: float | None = None,
    gains: Gains | None = None,
) -> Tensor:
    """Compose a part of the volume, normalised, (C, z, y, x), where fields are read.

    Parameters
    ----------
    config
        The model's settings.
    planes
        Measured planes, between which the volume is interpolated.
    residual
        What is added.
    box
        Which part.
    detail
        How much of the sample's detail is kept, from 0 (the mean) to 1; see `blend.blend_detail`.
        All by default.
    gains
        Of each of the volume's planes, (C, Z).
    """
    store = residual.store
    result = torch.empty(store.layout.channels, *box.shape, device=store.device)
    for rows, part in _parts(box, COMPOSED[store.device.type]):
        result[:, :, rows] = _composed(config, planes, residual, part, detail, gains)
    return result


def _parts(box: Box, most: int) -> Iterator[tuple[slice, Box]]:
    """Cut a box along Y into parts of `most` voxels, for memory."""
    (z, y, x), (below, end, right) = box
    step = max(1, most // ((below - z) * (right - x)))
    for start in range(y, end, step):
        stop = min(start + step, end)
        yield slice(start - y, stop - y), Box((z, start, x), (below, stop, right))


def _composed(
    config: ModelConfig,
    planes: MeasuredPlanes,
    residual: Residual,
    box: Box,
    detail: float | None,
    gains: Gains | None,
) -> Tensor:
    store, window = residual.store, box
    if residual.sample is not None:
        window = widened(box, store.layout.shape, margin(config))
    place = window.slices()
    mean, sample = residual.part(place)
    if sample is not None:
        share = DEFAULT_DETAIL if detail is None else detail
        inside = None if gains is None else Gains(*(each[:, place[0]] for each in gains))
        sigma, grain = config.sampler.detail_sigma, usual_grain(config)
        mean = blend_detail(mean, sample, share, sigma, inside, grain)
    base = planes.base(box.slices(), config.softening, store.device)
    every = (slice(None),) * 3
    total = base.part(every).add_(mean[(slice(None), *box.slices(window.start))])
    return unstretch(total, config.softening)
