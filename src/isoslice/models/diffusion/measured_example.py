"""Training examples whose planes are no rows: blurred, noisy, anywhere, as `data.measurement` says.

Rows of an image stand for the volume along Z. From these, planes are measured at drawn positions
through a drawn slice profile, noise is added, and what is interpolated between them is the base.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolation_matrix
from isoslice.data.measurement import Measurement
from isoslice.data.profile import FWHM, POINT, Profile
from isoslice.models.diffusion.variance_stabilization import stretch

#: Planes along Z: distance in rows, least and most; share of evenly spaced ones; and of others, how
#: far each is off, as a share of the distance, and the share that is missing.
DISTANCE, EVEN_SHARE, JITTER, MISSING = (1.5, 12.0), 0.6, 0.4, 0.2
#: Share of points; of others, the share of Gaussians, the rest being slabs; and the largest
#: deviation of a Gaussian and width of a slab, in distances of planes.
POINT_SHARE, GAUSSIAN_SHARE, GAUSSIAN_MOST, SLAB_MOST = 0.2, 0.65, 0.9, 1.5
#: Share of examples whose planes get noise, and its least and largest deviation (log-uniform).
NOISE_SHARE, NOISE = 0.6, (0.005, 0.1)


class DrawnPlanes(NamedTuple):
    """How planes of a batch of images were measured.

    Attributes
    ----------
    weights, filling
        A, (N, n, H), and linear interpolation, (N, H, n); zero of planes that an image has not.
    rows
        Share of a plane in each row, (N, H).
    deviation
        Of the profile in rows, (N,).
    noise
        Deviation of the noise that planes get, (N,).
    """

    weights: Tensor
    filling: Tensor
    rows: Tensor
    deviation: Tensor
    noise: Tensor


def draw_planes(count: int, height: int, generator: torch.Generator) -> DrawnPlanes:
    """Draw how planes of `count` images of `height` rows are measured."""
    weights = torch.zeros(count, height, height)
    filling = torch.zeros(count, height, height)
    rows, deviation = torch.zeros(count, height), torch.zeros(count)
    for index in range(count):
        distance = _between(*DISTANCE, generator, logarithmic=True)
        grid = draw_grid(height, distance, generator)
        profile = draw_profile(distance, generator)
        planes = len(grid.known)
        a = Measurement(tuple(grid.known), grid.depth, profile).matrix
        # Rows beyond the last plane are not restored, but seen by it where it is blurred.
        weights[index, :planes, : grid.depth] = torch.from_numpy(a)
        filled = torch.from_numpy(interpolation_matrix(grid))
        filling[index, : grid.depth, :planes] = filled
        filling[index, grid.depth :, planes - 1] = 1
        rows[index, : grid.depth] = torch.from_numpy(grid.shares)
        deviation[index] = profile.deviation
    noisy = torch.rand(count, generator=generator) < NOISE_SHARE
    low, high = torch.tensor(NOISE).log()
    level = (low + (high - low) * torch.rand(count, generator=generator)).exp()
    most = int((weights.sum(dim=2) > 0).sum(dim=1).max())
    return DrawnPlanes(
        weights[:, :most], filling[:, :, :most], rows, deviation, torch.where(noisy, level, 0.0)
    )


def draw_grid(height: int, distance: float, generator: torch.Generator) -> PlaneGrid:
    """Draw planes about `distance` rows apart: evenly spaced, jittered, or with some missing."""
    start = _between(0.0, 1.0 - 1e-6, generator)
    known = torch.arange(start, height - 1 + 1e-6, distance, dtype=torch.float64)
    kind = _between(0.0, 1.0, generator)
    if kind >= EVEN_SHARE:
        off = (torch.rand(len(known), generator=generator, dtype=torch.float64) * 2 - 1) * JITTER
        kept = torch.rand(len(known), generator=generator) >= MISSING
        off[0] = 0.0
        kept[0] = kept[-1] = True
        if kind >= (1 + EVEN_SHARE) / 2:
            known = known[kept]
        else:
            known = (known + off * distance).clamp(max=height - 1)
            known = torch.cat([known[:1], known[1:][known.diff() > 0]])
    return PlaneGrid(tuple(known.tolist()))


def draw_profile(distance: float, generator: torch.Generator) -> Profile:
    """Draw the slice profile of planes that are `distance` rows apart."""
    kind, size = _between(0.0, 1.0, generator), _between(0.0, 1.0, generator)
    if kind < POINT_SHARE:
        return POINT
    if kind < POINT_SHARE + (1 - POINT_SHARE) * GAUSSIAN_SHARE:
        return Profile("gaussian", max(size * GAUSSIAN_MOST * distance, 0.1) * FWHM)
    return Profile("slab", max(size * SLAB_MOST * distance, 0.1))


def measure(
    images: Tensor, drawn: DrawnPlanes, softening: float | None, generator: torch.Generator
) -> Tensor:
    """Measure planes of images (N, C, H, W), and interpolate: the base, stretched, same shape.

    In single precision: rounding in half precision would be noise that networks are not told.
    """
    count, channels, height, width = images.shape
    weights, filling = drawn.weights.to(images), drawn.filling.to(images)
    columns = images.transpose(1, 2).reshape(count, height, channels * width)
    with torch.autocast(images.device.type, enabled=False):
        planes = weights @ columns
        noise = torch.randn(planes.shape, generator=generator).to(images)
        planes = planes + drawn.noise.to(images)[:, None, None] * noise
        base = filling @ stretch(planes, softening)
    return base.reshape(count, height, channels, width).transpose(1, 2)


def levels(drawn: DrawnPlanes, sigma_data: float) -> Tensor:
    """Return what the network is told of planes, (N, 2); see `edm.denoise`.

    The noise that images have of their own counts as structure, of which planes see what the
    profile leaves.
    """
    return torch.stack([drawn.deviation, drawn.noise / sigma_data], dim=1)


def _between(
    low: float, high: float, generator: torch.Generator, *, logarithmic: bool = False
) -> float:
    share = float(torch.rand((), generator=generator))
    if logarithmic:
        return float(low * (high / low) ** share)
    return low + share * (high - low)
