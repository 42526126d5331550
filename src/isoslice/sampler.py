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

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.blocks import Box, Plane, Triple, whole
from isoslice.config import ModelConfig
from isoslice.detail import DEFAULT_DETAIL, Gains, blend_detail, usual_grain
from isoslice.device import autocast, volume_home
from isoslice.diffusion import NO_SIGNAL, Network, denoise, noise_schedule
from isoslice.gains import detail_gains
from isoslice.geometry import PlaneGrid
from isoslice.interpolate import interpolation_matrix
from isoslice.noise import noise_block
from isoslice.parallel import on_all_cores
from isoslice.pieces import drawn_pieces, plane_distances
from isoslice.stretch import stretch, unstretch

Mode = Literal["sample", "mean"]

#: Dimension of a (C, Z, Y, X) volume that counts the slices of each plane.
_SLICE_DIM: dict[Plane, int] = {"XZ": 2, "YZ": 3}

#: Weight of each direction's mean in their sum. Each direction sees one slice through a voxel; the
#: best weight is 1/2 where both say the same, and 1 where they know nothing in common. On four
#: specimens at 2x, 4x and 8x the best was 0.50 to 0.62, and this cost at most 0.05 dB
#: (docs/experiments.md). One number for all, so that a volume's parts need not know of each other.
WEIGHT = 0.57

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
    base: Tensor,
    mask: Tensor,
    plane: Plane,
    sigma: float,
    sigma_data: float,
    device: torch.device,
    update: Callable[[Tensor, Tensor], object],
) -> Iterator[int]:
    """Denoise a volume slice by slice.

    Parameters
    ----------
    network
        The denoiser, on `device`, in evaluation mode.
    residual, base
        Noisy residual and interpolated volume, (C, Z, Y, X), on any device.
    mask
        Known planes, shape (Z,).
    plane
        Direction of the slices.
    sigma, sigma_data
        Noise level of `residual`, and the model's residual deviation.
    device
        Where to compute.
    update
        Called for each batch of slices with a view into `residual` and the estimate of it,
        (n, C, Z, W); on a CPU from several threads.

    Yields
    ------
    How many slices each batch had.
    """
    residual_slices, base_slices = slices(residual, plane), slices(base, plane)
    level, mask = torch.tensor([sigma], device=device), mask.to(device)
    pixels = residual_slices.shape[2] * residual_slices.shape[3]

    def work(batch: slice) -> None:
        view = residual_slices[batch]
        with torch.inference_mode(), autocast(device):  # which other threads don't inherit
            estimate = denoise(
                network,
                view.to(device),
                base_slices[batch].to(device),
                mask.expand(len(view), -1),
                level,
                sigma_data,
            )
            update(view, estimate.float().to(residual.device))

    for batch in on_all_cores(work, _batches(len(residual_slices), pixels, device), device):
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


def base_volume(
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    softening: float | None,
    device: torch.device | None = None,
    rows: slice = slice(None),
) -> Tensor:
    """Stretch planes (C, n, Y, X) and interpolate them linearly: `rows` of (C, grid.depth, Y, X)."""
    known = stretch(torch.from_numpy(planes).to(device or "cpu"), softening)
    weights = torch.from_numpy(interpolation_matrix(grid)[rows]).to(known.device)
    base = known.new_empty(len(known), len(weights), *known.shape[2:])
    for channel, filled in zip(known, base, strict=True):
        torch.mm(weights, channel.flatten(1), out=filled.view(len(weights), -1))
    return base


def add_noise(
    residual: Tensor, mask: Tensor, sigma: float, seed: int, origin: Triple = (0, 0, 0)
) -> None:
    """Add noise to the unmeasured planes of a (C, Z, Y, X) volume that begins at `origin`."""
    c, _, y, x = residual.shape
    for index, measured in enumerate(mask.tolist()):  # no second volume for the noise
        if not measured:
            place = (0, origin[0] + index, origin[1], origin[2])
            noise = noise_block(seed, (c, 1, y, x), place, residual.device)
            residual[:, index].add_(noise[:, 0], alpha=sigma)


def _step(view: Tensor, estimate: Tensor, kept: float) -> None:
    """Move slices towards their estimate, and keep a share of the distance."""
    view.copy_(torch.lerp(estimate, view, kept))


@torch.inference_mode()
def draw(
    network: Network,
    config: ModelConfig,
    base: Tensor,
    mask: Tensor,
    *,
    mode: Mode = "sample",
    evaluations: int = 5,
    seed: int = 0,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
    boxes: Sequence[Box] | None = None,
    origin: Triple = (0, 0, 0),
) -> tuple[Tensor, Tensor | None]:
    """Compute the residual's mean and a sample of it; other arguments as in `restore`.

    Parameters
    ----------
    base, mask
        Interpolated volume (C, Z, Y, X), stretched, and known planes (Z,).
    boxes
        What each of `all_steps` looks at, in the coordinates of the whole volume; all by default.
    origin
        Where in the whole volume `base` begins.

    Returns
    -------
    Mean and sample, shape (C, Z, Y, X), zero on known planes. In mode ``mean`` there is no sample.
    Beside the sample of a distilled network, which starts without, the mean is zero.
    """
    device = device or torch.device("cpu")
    steps = all_steps(config, mode, evaluations)
    if boxes is None:
        boxes = [whole((base.shape[1], base.shape[2], base.shape[3]))] * len(steps)
    count = 2 if steps[0].sigma == NO_SIGNAL else 0
    total, done = sum(box.size for box in boxes), 0
    residual = torch.zeros_like(base)

    def denoised(step: Step, box: Box, update: Callable[[Tensor, Tensor], object]) -> None:
        nonlocal done
        place = (slice(None), *box.slices(origin))
        a_slice = box.size // box.shape[_SLICE_DIM[step.plane] - 1]
        for slices_done in denoise_slices(
            network,
            residual[place],
            base[place],
            mask[place[1]],
            step.plane,
            step.sigma,
            config.sigma_data,
            device,
            update,
        ):
            done += slices_done * a_slice
            report(done / total)

    mean = base.new_zeros(()).expand_as(base)
    if count:
        denoised(steps[0], boxes[0], lambda view, estimate: view.copy_(estimate))
        denoised(steps[1], boxes[1], lambda view, estimate: view.add_(estimate))
        mean = residual.mul_(WEIGHT)
    if len(steps) == count:
        return mean, None
    residual = residual.clone()
    place = boxes[count].slices(origin)
    noisy = residual[(slice(None), *place)]
    add_noise(noisy, mask[place[0]], steps[count].sigma, seed, boxes[count].start)
    for step, box in zip(steps[count:], boxes[count:], strict=True):
        denoised(step, box, partial(_step, kept=step.kept))
    return mean, residual


def put_together(
    config: ModelConfig,
    base: Tensor,
    mean: Tensor,
    sample: Tensor | None,
    detail: float | None,
    gains: Gains | None,
) -> Tensor:
    """Return intensities (C, Z, Y, X) from an interpolation and what was drawn; all overwritten.

    `gains` are those of the volume's planes, see `detail.blend_detail`.
    """
    residual = mean
    if sample is not None:
        share = DEFAULT_DETAIL if detail is None else detail
        sigma, grain = config.sampler.detail_sigma, usual_grain(config)
        residual = blend_detail(mean, sample, share, sigma, gains, grain)
    return unstretch(base.add_(residual), config.softening)


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
    home = volume_home(device, planes[:, 0].size * grid.depth)
    base = base_volume(planes, grid, config.softening, home)
    mean, sample = draw(
        network,
        config,
        base,
        torch.from_numpy(grid.mask),
        mode=mode,
        evaluations=evaluations,
        seed=seed,
        device=device,
        report=report,
    )
    if sample is not None:
        if gains is None:
            looked_at = drawn_pieces(config, planes, grid, base, mean, sample)
            gains = detail_gains(config, looked_at, len(planes))
        gains = gains.of_planes(plane_distances(grid))
    result: NDArray[np.float32] = put_together(config, base, mean, sample, detail, gains).cpu().numpy()
    result[:, list(grid.known)] = planes
    return result
