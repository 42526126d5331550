"""From known planes to a volume: one residual, denoised through XZ and YZ slices in turn.

The paper (section 3.3) samples XZ slices and YZ slices apart and averages the two volumes. Here
both look at one volume and take turns, so that they agree at the end and a fifth of the
evaluations is enough. The first two evaluations, one per direction, see no noise: combined they
are the mean that ``mode="mean"`` returns, that sampling starts from, and onto which a part of the
sample's detail is put at the end (see `detail`).

A pass over XZ slices touches each y alone, one over YZ slices each x. So the last pass over a block
of a volume needs no more than the slices through it; see `blocks.pass_boxes`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.base import Base, make_base
from isoslice.blocks import Box, Place, Plane, Triple, whole
from isoslice.config import ModelConfig
from isoslice.detail import DEFAULT_DETAIL, Gains, blend_detail, usual_grain
from isoslice.device import autocast
from isoslice.diffusion import NO_SIGNAL, Network, denoise, noise_schedule
from isoslice.gains import detail_gains
from isoslice.geometry import PlaneGrid
from isoslice.noise import noise_block
from isoslice.parallel import on_all_cores
from isoslice.pieces import drawn_pieces, plane_distances
from isoslice.stretch import unstretch

Mode = Literal["sample", "mean"]

#: Dimension of a (C, Z, Y, X) volume that counts the slices of each plane.
_SLICE_DIM: dict[Plane, int] = {"XZ": 2, "YZ": 3}

#: Weight of each direction's mean in their sum. Each direction sees one slice through a voxel; the
#: best weight is 1/2 where both say the same, and 1 where they know nothing in common. On four
#: specimens at 2x, 4x and 8x the best was 0.50 to 0.62, and this cost at most 0.05 dB
#: (docs/experiments.md). One number for all, so that a volume's parts need not know of each other.
WEIGHT = 0.57

#: Voxels that are put together at once.
COMPOSED = 2**22
#: Pixels in one batch of slices; what bounds memory beside the volume itself.
BATCH_PIXELS = {"cpu": 2**18, "cuda": 2**22, "mps": 2**19}


def slices(volume: Tensor, plane: Plane) -> Tensor:
    """View a volume (C, Z, Y, X) as its slices (N, C, Z, W); writing to it writes the volume."""
    return volume.movedim(_SLICE_DIM[plane], 0)


def _batches(count: int, pixels: int, device: torch.device) -> Iterator[slice]:
    size = max(1, BATCH_PIXELS[device.type] // pixels)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def denoise_slices(
    network: Network,
    residual: Tensor,
    base: Base,
    box: Place,
    plane: Plane,
    sigma: float,
    sigma_data: float,
    device: torch.device,
    update: Callable[[Tensor, Tensor], object],
) -> Iterator[int]:
    """Denoise a part of a volume slice by slice.

    Parameters
    ----------
    network
        The denoiser, on `device`, in evaluation mode.
    residual
        Noisy residual, (C, Z, Y, X), on any device.
    base
        What it is added to, of the same size.
    box
        Which part.
    plane
        Direction of the slices.
    sigma, sigma_data
        Noise level of `residual`, and the model's residual deviation.
    device
        Where to compute.
    update
        Called for each batch of slices with a view into `residual` and the estimate of it, both
        (n, C, Z, W); on a CPU from several threads.

    Yields
    ------
    How many slices each batch had.
    """
    part = slices(residual[(slice(None), *box)], plane)
    level, mask = torch.tensor([sigma], device=device), base.mask[box[0]].to(device)
    across = _SLICE_DIM[plane] - 1
    first = box[across].start

    def work(batch: slice) -> None:
        view = part[batch]
        place = list(box)
        place[across] = slice(first + batch.start, first + batch.stop)
        with torch.inference_mode(), autocast(device):  # which other threads don't inherit
            estimate = denoise(
                network,
                view.to(device, torch.float32),
                slices(base.part((place[0], place[1], place[2])), plane).to(device),
                mask.expand(len(view), -1),
                level,
                sigma_data,
            )
            update(view, estimate.float().to(residual.device))

    pixels = part.shape[2] * part.shape[3]
    for batch in on_all_cores(work, _batches(len(part), pixels, device), device):
        yield batch.stop - batch.start


class Step(NamedTuple):
    """One pass over a volume's slices."""

    plane: Plane
    #: Noise level before, and the share of the distance to the estimate that is kept.
    sigma: float
    kept: float


#: The mean's two passes: what slices hold is not looked at, there is no signal.
MEAN_STEPS = (Step("XZ", NO_SIGNAL, 0.0), Step("YZ", NO_SIGNAL, 0.0))


def sampling_steps(config: ModelConfig, count: int) -> list[Step]:
    """List `count` steps, XZ and YZ in turn: Euler's, along the probability flow (EDM eq. 4, 5)."""
    settings, scale = config.sampler, config.sigma_data
    levels = noise_schedule(
        count, settings.sigma_max * scale, settings.sigma_min * scale, settings.rho
    )
    return [
        Step(("XZ", "YZ")[i % 2], sigma, following / sigma)
        for i, (sigma, following) in enumerate(pairwise(levels))
    ]


def distilled_steps(config: ModelConfig, second: float) -> list[Step]:
    """List a distilled network's steps: XZ from noise alone; YZ from what that leaves.

    `second` is the noise level of the YZ pass, in units of ``config.sigma_data``.
    """
    first, scale = config.sampler.sigma_max, config.sigma_data
    return [Step("XZ", first * scale, second / first), Step("YZ", second * scale, 0.0)]


def all_steps(config: ModelConfig, mode: Mode, evaluations: int) -> list[Step]:
    """List all passes; those of the mean, where there is one, come first."""
    if mode == "mean":
        return list(MEAN_STEPS)
    if config.distilled is not None:
        return distilled_steps(config, config.distilled.sigma_second)
    return [*MEAN_STEPS, *sampling_steps(config, max(1, evaluations - 2))]


def add_noise(
    residual: Tensor, mask: Tensor, sigma: float, seed: int, origin: Triple = (0, 0, 0)
) -> None:
    """Add noise to the unmeasured planes of a (C, Z, Y, X) volume that begins at `origin`."""
    c, _, y, x = residual.shape
    for index, measured in enumerate(mask.tolist()):  # no second volume for the noise
        if not measured:
            place = (0, origin[0] + index, origin[1], origin[2])
            noise = noise_block(seed, (c, 1, y, x), place, residual.device)[:, 0]
            residual[:, index] = residual[:, index].float().add_(noise, alpha=sigma)


def _step(view: Tensor, estimate: Tensor, kept: float) -> None:
    """Move slices towards their estimate, and keep a share of the distance."""
    view.copy_(torch.lerp(estimate, view.float(), kept))


class Drawn(NamedTuple):
    """What `draw` gives, (C, Z, Y, X), zero on known planes, in half precision."""

    #: The residual's mean; nothing of a distilled network's, which starts without.
    mean: Tensor | None
    #: A sample of it; none in mode ``mean``.
    sample: Tensor | None

    def part(self, place: Place) -> tuple[Tensor, Tensor | None]:
        """Copy a part of both, in single precision; zeros where there is no mean."""
        some = self.mean if self.mean is not None else self.sample
        assert some is not None
        index = (slice(None), *place)
        mean = (
            some[index].float() if self.mean is not None else torch.zeros_like(some[index]).float()
        )
        return mean, None if self.sample is None else self.sample[index].float()


@torch.inference_mode()
def draw(
    network: Network,
    config: ModelConfig,
    base: Base,
    *,
    mode: Mode = "sample",
    evaluations: int = 5,
    seed: int = 0,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
    boxes: Sequence[Box] | None = None,
    origin: Triple = (0, 0, 0),
) -> Drawn:
    """Compute the residual's mean and a sample of it; other arguments as in `restore`.

    Parameters
    ----------
    base
        The interpolated volume.
    boxes
        What each of `all_steps` looks at, in the coordinates of the whole volume; all by default.
    origin
        Where in the whole volume `base` begins.
    """
    device = device or torch.device("cpu")
    steps = all_steps(config, mode, evaluations)
    if boxes is None:
        boxes = [whole(base.shape)] * len(steps)
    count = sum(step.sigma == NO_SIGNAL for step in steps)
    total, done = sum(box.size for box in boxes), 0
    residual = base.zeros()

    def denoised(step: Step, box: Box, update: Callable[[Tensor, Tensor], object]) -> None:
        nonlocal done
        a_slice = box.size // box.shape[_SLICE_DIM[step.plane] - 1]
        for slices_done in denoise_slices(
            network,
            residual,
            base,
            box.slices(origin),
            step.plane,
            step.sigma,
            config.sigma_data,
            device,
            update,
        ):
            done += slices_done * a_slice
            report(done / total)

    mean = None
    if count:  # their sum, weighted
        denoised(steps[0], boxes[0], lambda view, estimate: view.copy_(WEIGHT * estimate))
        denoised(steps[1], boxes[1], lambda view, estimate: view.add_(WEIGHT * estimate))
        mean = residual
    if len(steps) == count:
        return Drawn(mean, None)
    residual = residual.clone()
    place = box_z, *_ = boxes[count].slices(origin)
    noisy = residual[(slice(None), *place)]
    add_noise(noisy, base.mask[box_z], steps[count].sigma, seed, boxes[count].start)
    for step, box in zip(steps[count:], boxes[count:], strict=True):
        denoised(step, box, partial(_step, kept=step.kept))
    return Drawn(mean, residual)


@torch.inference_mode()
def compose(
    config: ModelConfig,
    base: Base,
    drawn: Drawn,
    part: Place,
    detail: float | None = None,
    gains: Gains | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Put together interpolation, mean and detail.

    Parameters
    ----------
    config
        The model's settings.
    base, drawn
        Of a volume, or of a window of it.
    part
        What is wanted of that.
    detail
        See `restore`.
    gains
        Of each of the volume's (or the window's) planes, (C, Z).

    Yields
    ------
    Rows of `part` along Y, and their intensities (C, z, y, x), float32.
    """
    share = DEFAULT_DETAIL if detail is None else detail
    sigma, grain = config.sampler.detail_sigma, usual_grain(config)
    z, y, x = part
    # What softening and smoothing look at beside it, as far as there is anything.
    margin = math.ceil(3 * sigma)
    depth, height, width = base.shape
    around_z = slice(max(0, z.start - margin), min(depth, z.stop + margin))
    around_x = slice(max(0, x.start - 1), min(width, x.stop + 1))
    if gains is not None:
        gains = Gains(*(each[:, around_z] for each in gains))
    step = max(1, COMPOSED // ((around_z.stop - around_z.start) * (around_x.stop - around_x.start)))
    for start in range(y.start, y.stop, step):
        rows = slice(start, min(start + step, y.stop))
        around_y = slice(max(0, rows.start - 1), min(height, rows.stop + 1))
        place = around_z, around_y, around_x
        residual, sample = drawn.part(place)
        if sample is not None:
            residual = blend_detail(residual, sample, share, sigma, gains, grain)
        inner = tuple(
            slice(a.start - b.start, a.stop - b.start)
            for a, b in zip((z, rows, x), place, strict=True)
        )
        total = base.part((z, rows, x)).add_(residual[(slice(None), *inner)])
        yield slice(rows.start - y.start, rows.stop - y.start), unstretch(total, config.softening)


@torch.inference_mode()
def restore(
    network: Network,
    config: ModelConfig,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    *,
    mode: Mode = "sample",
    evaluations: int = 5,
    detail: float | None = None,
    gains: Gains | None = None,
    seed: int = 0,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> NDArray[np.float32]:
    """Fill in the planes between the measured ones.

    Parameters
    ----------
    network
        The denoiser, on `device`, in evaluation mode.
    config
        The model's settings: residual deviation, noise levels, stretch, whether it is distilled.
    planes
        Measured planes, normalised, shape (C, n, Y, X).
    grid
        Where they lie.
    mode
        ``mean``: the expected volume (smooth, highest PSNR). ``sample``: one plausible volume.
    evaluations
        Network evaluations per voxel of a sample: two for the mean, the rest take turns. A
        distilled model always takes two, and no mean.
    detail
        How much of the sample's detail is kept, from 0 (the mean) to 1; see `detail.blend_detail`.
        All by default.
    gains
        How much detail is strengthened at each distance from the next measured plane; by default
        `gains.detail_gains` finds it.
    seed
        Of the noise field.
    device
        Where to compute; the CPU by default.
    report
        Called with the fraction done.

    Returns
    -------
    Shape (C, grid.depth, Y, X). Measured planes are bit for bit those of `planes`.
    """
    device = device or torch.device("cpu")
    base = make_base(planes, grid, config.softening, device)
    drawn = draw(
        network,
        config,
        base,
        mode=mode,
        evaluations=evaluations,
        seed=seed,
        device=device,
        report=report,
    )
    if drawn.sample is not None:
        if gains is None:
            gains = detail_gains(
                config, drawn_pieces(config, planes, grid, base, drawn), len(planes)
            )
        gains = gains.of_planes(plane_distances(grid))
    result = np.empty((len(planes), *base.shape), np.float32)
    part = whole(base.shape).slices()
    for rows, volume in compose(config, base, drawn, part, detail, gains):
        result[:, :, rows] = volume.cpu().numpy()
    result[:, list(grid.known)] = planes
    return result
