"""The passes that make a volume, one over XZ slices, one over YZ slices in turn.

A pass over XZ slices touches each y alone, one over YZ slices each x. So a pass goes over any part
of a volume that is whole along the slices, a *slab*, as it goes over all of it; and slabs of one
pass need not know of each other. Batches of slices lie at the same places whatever the slab, so
that every voxel is computed by the same operations on the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from isoslice.data.box import SlicePlane, Triple
from isoslice.inference.interpolated import Base
from isoslice.inference.tiling import Window, windows_of
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import (
    NO_SIGNAL,
    Network,
    denoise,
    hidden_rows,
    noise_schedule,
)
from isoslice.models.diffusion.noise import noise_at
from isoslice.models.networks.denoiser import HEAD_REACH, reach
from isoslice.models.networks.ready_weights import ready_weights
from isoslice.runtime.device import at_once, autocast, fast_dtype, kind_of
from isoslice.runtime.threads import on_all_cores

#: Dimension of a (C, Z, Y, X) volume that counts the slices of each plane.
SLICE_DIM: dict[SlicePlane, int] = {"XZ": 2, "YZ": 3}

#: Weight of each direction's mean in their sum. Each direction sees one slice through a voxel; the
#: best weight is 1/2 where both say the same, and 1 where they know nothing in common. On four
#: specimens at 2x, 4x and 8x the best was 0.50 to 0.62, and this cost at most 0.05 dB
#: (docs/benchmarks/experiments.md). One number for all, so that a volume's parts need not know of
#: each other.
WEIGHT = 0.57

#: Pixels in one batch of slices, by `device.kind_of`; what bounds memory beside the volume itself.
BATCH_PIXELS = {"cpu": 2**18, "cuda": 2**22, "large cuda": 2**24, "mps": 2**19}


class Pass(NamedTuple):
    """One pass over a volume's slices."""

    plane: SlicePlane
    #: Noise level that the network is told, and the share of the distance to its estimate that is
    #: kept.
    sigma: float
    kept: float = 0.0
    #: Deviation of the noise that is added before.
    noise: float = 0.0

    @property
    def is_mean(self) -> bool:
        """Whether it estimates the mean: what slices hold is not looked at, there is no signal."""
        return self.sigma == NO_SIGNAL


#: The mean's two passes. The residual is zero before the first one.
MEAN_PASSES = (Pass("XZ", NO_SIGNAL), Pass("YZ", NO_SIGNAL))


def sampling_passes(config: ModelConfig, count: int) -> list[Pass]:
    """List `count` passes, XZ and YZ in turn: Euler's, along the flow (EDM eq. 4, 5)."""
    settings, scale = config.sampler, config.sigma_data
    levels = noise_schedule(
        count, settings.sigma_max * scale, settings.sigma_min * scale, settings.rho
    )
    return [
        Pass(("XZ", "YZ")[i % 2], sigma, following / sigma, 0.0 if i else sigma)
        for i, (sigma, following) in enumerate(pairwise(levels))
    ]


def distilled_passes(config: ModelConfig, second: float) -> list[Pass]:
    """List a distilled network's passes: XZ from noise alone; YZ from what that leaves.

    `second` is the noise level of the YZ pass, in units of ``config.sigma_data``.
    """
    first, scale = config.sampler.sigma_max, config.sigma_data
    return [
        Pass("XZ", first * scale, second / first, first * scale),
        Pass("YZ", second * scale),
    ]


def sample_passes(config: ModelConfig, evaluations: int) -> list[Pass]:
    """List the passes of a sample; of `evaluations`, the mean took two before them."""
    if config.distilled is not None:
        return distilled_passes(config, config.distilled.sigma_second)
    return sampling_passes(config, max(1, evaluations - len(MEAN_PASSES)))


def slices(volume: Tensor, plane: SlicePlane) -> Tensor:
    """View a volume (C, Z, Y, X) as its slices (N, C, Z, W); writing to it writes the volume."""
    return volume.movedim(SLICE_DIM[plane], 0)


def batch_size(pixels: int, kind: str) -> int:
    """Say how many slices of so many pixels make a batch, on a device of a kind."""
    return max(1, BATCH_PIXELS[kind] // pixels)


def run_pass(
    network: Network,
    config: ModelConfig,
    step: Pass,
    residual: Tensor,
    base: Base,
    *,
    origin: Triple = (0, 0, 0),
    seed: int = 0,
    device: torch.device,
) -> Iterator[int]:
    """Run one pass over a slab, in place.

    Parameters
    ----------
    network, config
        The denoiser, on `device`, in evaluation mode; the model's settings.
    step
        Which pass.
    residual
        What the pass before left, (C, Z, Y, X), on any device; zero before the first one.
    base
        What it is added to, of the same size.
    origin
        Where the slab's first voxel lies in the whole volume, (Z, Y, X). For the same bits as of
        the whole, the number of its first slice is a multiple of `batch_size`.
    seed
        Of the noise.
    device
        Where to compute.

    Yields
    ------
    How many slices each batch had.
    """
    if step.noise:
        hidden = hidden_rows(base.mask[None], base.measured)[0]
        add_noise(residual, hidden, step.noise, seed, origin)
    update = _average if step.is_mean else partial(_approach, kept=step.kept)
    part = slices(residual, step.plane)
    count, height, width = len(part), part.shape[2], part.shape[3]
    level, mask = torch.tensor([step.sigma], device=device), base.mask.to(device)
    measured = None if base.measured is None else base.measured.to(device)
    windows = windows_of(height, width, *_halo(config))

    def estimated(batch: slice, window: Window) -> Tensor:
        across = window.columns
        y, x = (batch, across) if step.plane == "XZ" else (across, batch)
        estimate = denoise(
            network,
            part[batch, :, window.rows, across].to(device, torch.float32),
            slices(base.part((window.rows, y, x)), step.plane).to(device),
            mask[window.rows].expand(batch.stop - batch.start, -1),
            level,
            config.sigma_data,
            measured,
        )
        return estimate[..., *window.inner].float().to(residual.device)

    def whole(batch: slice) -> Tensor:
        if len(windows) == 1:
            return estimated(batch, windows[0])
        # All windows see the slice as it was.
        estimate = torch.empty(part[batch].shape, device=residual.device)
        for window in windows:
            estimate[:, :, window.own_rows, window.own_columns] = estimated(batch, window)
        return estimate

    def corrected(batch: slice, estimate: Tensor) -> Tensor:
        every = slice(None)
        place = (every, batch, every) if step.plane == "XZ" else (every, every, batch)
        interpolated = slices(base.part(place), step.plane).to(estimate.device)
        planes = slices(base.planes[(every, *place)], step.plane).to(estimate.device)
        assert base.correction is not None
        return base.correction(estimate, interpolated, planes)

    def restore(batch: slice) -> None:
        with torch.inference_mode(), autocast(device):  # which other threads don't inherit
            estimate = whole(batch)
            if base.correction is not None and not step.is_mean:
                estimate = corrected(batch, estimate)
            update(part[batch], estimate)

    size = batch_size(height * width, kind_of(device))
    batches = (slice(a, min(a + size, count)) for a in range(0, count, size))
    with ready_weights(network, fast_dtype(device)):
        for batch in on_all_cores(restore, batches, device):
            yield batch.stop - batch.start


def _halo(config: ModelConfig) -> tuple[int, int]:
    """How far windows see beyond what they are for, and what they begin at multiples of."""
    shape = config.network
    stride = 2 ** len(shape.widths)
    far = reach(shape.widths, shape.blocks_down, shape.blocks_up) + HEAD_REACH
    return -(-far // stride) * stride, stride


def add_noise(
    residual: Tensor,
    hidden: Tensor,
    sigma: float,
    seed: int,
    origin: Triple = (0, 0, 0),
) -> None:
    """Add noise to the `hidden` planes of a slab (C, Z, Y, X) whose first voxel is `origin`."""
    c, _, y, x = residual.shape
    device, (below, row, column) = residual.device, origin
    places = torch.arange(c), torch.arange(row, row + y), torch.arange(column, column + x)
    channels, rows, columns = (place.to(device) for place in places)
    # Few planes, for memory: no second volume for the noise.
    for some in torch.split(hidden.nonzero()[:, 0].to(device), at_once(c * y * x, device)):
        noise = noise_at(seed, channels, below + some, rows, columns)
        noisy = residual.index_select(1, some).float().add_(noise, alpha=sigma)
        residual.index_copy_(1, some, noisy.to(residual.dtype))


def _average(view: Tensor, estimate: Tensor) -> None:
    """Add one direction's estimate to the mean."""
    view.add_(WEIGHT * estimate)


def _approach(view: Tensor, estimate: Tensor, kept: float) -> None:
    """Move slices towards their estimate, and keep a share of the distance."""
    view.copy_(torch.lerp(estimate, view.float(), kept))
