"""From known planes to a volume: one residual, denoised through XZ and YZ slices in turn.

The paper (section 3.3) samples XZ slices and YZ slices apart and averages the two volumes. Here
both look at one volume and take turns, so that they agree at the end and a fifth of the
evaluations is enough. The first two evaluations, one per direction, see no noise: combined they
are the mean that ``mode="mean"`` returns, that sampling starts from, and onto which a part of the
sample's detail is put at the end (see `detail.blend`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Region, whole
from isoslice.data.grid import PlaneGrid
from isoslice.inference.detail.blend import DEFAULT_DETAIL, Gains, blend_detail, usual_grain
from isoslice.inference.detail.patches import reader
from isoslice.inference.detail.strength import find_gains
from isoslice.inference.interpolated import Base, make_base
from isoslice.inference.passes import all_passes, run_pass
from isoslice.models.choices import Mode
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import Network
from isoslice.models.diffusion.variance_stabilization import unstretch

#: Voxels that are put together at once.
COMPOSED = 2**22


class Drawn(NamedTuple):
    """What `draw` gives, (C, Z, Y, X), zero on known planes, in half precision."""

    #: The residual's mean; nothing of a distilled network's, which starts without.
    mean: Tensor | None
    #: A sample of it; none in mode ``mean``.
    sample: Tensor | None

    def part(self, place: Region) -> tuple[Tensor, Tensor | None]:
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
    mean: Tensor | None = None,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> Drawn:
    """Compute the residual's mean and a sample of it; arguments as in `restore`.

    `base` is the interpolated volume. A `mean` that an earlier call gave is not computed again.
    """
    device = device or torch.device("cpu")
    steps = all_passes(config, mode, evaluations)
    if mean is not None and steps[0].is_mean:
        steps = [step for step in steps if not step.is_mean]
        residual = mean.clone()
    else:
        residual, mean = base.zeros(), None
    for number, step in enumerate(steps):
        if mean is None and number and not step.is_mean and steps[number - 1].is_mean:
            mean, residual = residual, residual.clone()
        count, done = base.shape[1 if step.plane == "XZ" else 2], 0
        for finished in run_pass(network, config, step, residual, base, seed=seed, device=device):
            done += finished
            report((number + done / count) / len(steps))
    return Drawn(residual, None) if mode == "mean" else Drawn(mean, residual)


def margin(config: ModelConfig) -> tuple[int, int, int]:
    """How far `compose` looks along Z, Y and X: detail is smoothed along Z and softened in XY."""
    return math.ceil(3 * config.sampler.detail_sigma), 1, 1


@torch.inference_mode()
def compose(
    config: ModelConfig,
    base: Base,
    drawn: Drawn,
    part: Region,
    detail: float | None = None,
    gains: Gains | None = None,
) -> Iterator[tuple[slice, Tensor]]:
    """Put together interpolation, mean and detail.

    Parameters
    ----------
    config
        The model's settings.
    base, drawn
        Of a volume, or of a window of it that has all of the `margin` around `part`.
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
    depth, height, width = base.shape
    along_z, _, _ = margin(config)
    around_z = slice(max(0, z.start - along_z), min(depth, z.stop + along_z))
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
        How much of the sample's detail is kept, from 0 (the mean) to 1; see `blend.blend_detail`.
        All by default.
    gains
        How much detail is strengthened at each distance from the next measured plane; by default
        `strength.find_gains` finds it.
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
            n, y, x = planes.shape[1:]
            gains = find_gains(config, reader(planes), (n, y, x), grid, drawn)
        gains = gains.of_planes(torch.from_numpy(grid.distances))
    result = np.empty((len(planes), *base.shape), np.float32)
    for rows, volume in compose(config, base, drawn, whole(base.shape).slices(), detail, gains):
        result[:, :, rows] = volume.cpu().numpy()
    result[:, list(grid.known)] = planes
    return result
