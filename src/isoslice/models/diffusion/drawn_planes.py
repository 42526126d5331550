"""Drawn measurements: positions, slice profile and noise of planes, for many images at once.

The same as `data.measurement.Measurement` of each image, in the form in which a GPU draws hundreds:
planes are numbered from 0, and those that an image has not count for nothing.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from isoslice.data.profile import FWHM, Profile
from isoslice.models.config import OwnPlanes

#: Planes along Z: distance in rows, least and most; share of evenly spaced ones; and of others, how
#: far each is off, as a share of the distance, and the share that is missing.
DISTANCE, EVEN_SHARE, JITTER, MISSING = (1.5, 12.0), 0.6, 0.4, 0.2
#: Share of points; of others, the share of Gaussians, the rest being slabs; and the largest
#: deviation of a Gaussian and width of a slab, in distances of planes.
POINT_SHARE, GAUSSIAN_SHARE, GAUSSIAN_MOST, SLAB_MOST = 0.2, 0.65, 0.9, 1.5
#: Least deviation of a Gaussian, and width of a slab, in rows.
LEAST_WIDTH = 0.1
#: Share of examples whose planes get noise, and its least and largest deviation (log-uniform).
NOISE_SHARE, NOISE = 0.6, (0.005, 0.1)


class DrawnPlanes(NamedTuple):
    """How planes of a batch of images were measured.

    Attributes
    ----------
    weights
        A, (N, n, H); zero of planes that an image has not.
    lower, share
        Where each row lies: the plane at or below it, and the distance from that as a share of the
        interval to the next; (N, H) each. Beyond the last plane, at that.
    rows
        Share of a plane in each row, (N, H).
    deviation
        Of the profile in rows, (N,).
    noise
        Deviation of the noise that planes get, (N,).
    """

    weights: Tensor
    lower: Tensor
    share: Tensor
    rows: Tensor
    deviation: Tensor
    noise: Tensor


class DrawnProfiles(NamedTuple):
    """Slice profiles of images, (N, 1, 1) each: whether Gaussian or a slab, and how wide in rows.

    Attributes
    ----------
    gaussian
        True of Gaussians.
    width
        Deviation of a Gaussian, width of a slab; zero of points.
    """

    gaussian: Tensor
    width: Tensor

    @property
    def deviation(self) -> Tensor:
        """Standard deviation, (N,)."""
        return torch.where(self.gaussian, self.width, self.width / math.sqrt(12)).flatten()

    def ramp(self, distance: Tensor) -> Tensor:
        """Blur the ramp max(t, 0) at (N, ...): see `Profile.ramp`."""
        width = self.width.clamp(min=1e-3)
        t = distance / width
        density = torch.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
        bell = width * (t * torch.special.ndtr(t) + density)
        slab = (t.clamp(-0.5, 0.5) + 0.5).square() * (width / 2) + (distance - width / 2).relu()
        return torch.where(self.gaussian, bell, slab)


def draw_planes(
    count: int,
    height: int,
    generator: torch.Generator,
    device: torch.device | None = None,
    own: OwnPlanes | None = None,
    own_share: float = 0.0,
) -> DrawnPlanes:
    """Draw how planes of `count` images of `height` rows are measured.

    Parameters
    ----------
    count, height
        Number of images and of their rows.
    generator
        On the CPU.
    device
        Where to compute; the CPU by default.
    own, own_share
        Planes of a stack that will be restored, and how many images have these, all at its end.
    """
    numbers = torch.rand(count, 7, generator=generator, dtype=torch.float64)
    each = torch.rand(count, _most_planes(height, own), 2, generator=generator, dtype=torch.float64)
    if device is not None and device.type == "cuda":
        numbers, each = numbers.to(device), each.to(device)
    start, gap, kind, shape, size, noisy, level = numbers[:, :, None].unbind(1)
    distance = DISTANCE[0] * (DISTANCE[1] / DISTANCE[0]) ** gap
    profiles = _draw_profiles(shape[:, None], size[:, None], distance[:, None])
    if own is not None:
        mine = torch.arange(count, device=start.device)[:, None] >= count - round(own_share * count)
        distance = torch.where(mine, own.distance, distance)
        kind = torch.where(mine, 0.0, kind) if own.even else kind
    places, planes = _draw_places(start, distance, kind, each, height)
    ramp = profiles.ramp(_to_rows(places, height))
    deviation = profiles.deviation
    if own is not None:
        theirs = ramp_of(own.profile, _to_rows(places, height))
        ramp = torch.where(mine[:, :, None], theirs, ramp)
        deviation = torch.where(mine[:, 0], own.profile.deviation, deviation)
    depth = _last(places, planes).ceil().long() + 1
    weights = _weights(ramp, depth) * planes[:, :, None]
    lower, share = _bracket(places, planes, height)
    low, high = (math.log(each) for each in NOISE)
    noise = torch.where(noisy < NOISE_SHARE, (low + (high - low) * level).exp(), 0.0)
    return DrawnPlanes(
        weights.float(),
        lower,
        share.float(),
        _rows(places, planes, height).float(),
        deviation.float(),
        noise.flatten().float(),
    )


def _most_planes(height: int, own: OwnPlanes | None) -> int:
    """Return how many planes `height` rows have at most."""
    least = DISTANCE[0] if own is None else min(DISTANCE[0], own.distance)
    return int((height - 1) / least) + 1


def _draw_profiles(shape: Tensor, size: Tensor, distance: Tensor) -> DrawnProfiles:
    """Turn numbers in [0, 1) into profiles of planes that are some rows apart, (N, 1, 1) each."""
    gaussian = shape < POINT_SHARE + (1 - POINT_SHARE) * GAUSSIAN_SHARE
    width = size * distance * torch.where(gaussian, GAUSSIAN_MOST, SLAB_MOST)
    return DrawnProfiles(
        gaussian & (shape >= POINT_SHARE),
        torch.where(shape < POINT_SHARE, 0.0, width.clamp(min=LEAST_WIDTH)),
    )


def _draw_places(
    start: Tensor, distance: Tensor, kind: Tensor, each: Tensor, height: int
) -> tuple[Tensor, Tensor]:
    """Place planes evenly, jittered, or with some missing.

    Parameters
    ----------
    start, distance, kind
        First plane, distance in rows and a number in [0, 1), (N, 1) each.
    each
        Two numbers in [0, 1) for every plane, (N, n, 2).
    height
        Number of rows.

    Returns
    -------
    Rising places in rows, (N, n), and which planes there are, (N, n): the first ones.
    """
    number = torch.arange(each.shape[1], device=each.device)
    even = start + number * distance
    planes = even <= height - 1 + 1e-6
    last = planes.sum(dim=1, keepdim=True) - 1
    # Half of those that are not even are jittered, half have planes missing, never an end.
    jittered = (kind >= EVEN_SHARE) & (kind < (1 + EVEN_SHARE) / 2) & (number > 0)
    off = (each[..., 0] * 2 - 1) * JITTER * distance
    places = torch.where(jittered, even + off, even).clamp(max=height - 1)
    inside = (number > 0) & (number < last)
    gone = (kind >= (1 + EVEN_SHARE) / 2) & inside & (each[..., 1] < MISSING)
    kept = planes & ~gone
    places = torch.where(kept, places, math.inf).sort(dim=1).values
    return places, torch.isfinite(places)


def _to_rows(places: Tensor, height: int) -> Tensor:
    """Return distances of planes to rows 0 to H, (N, n, H + 1); large of planes not there."""
    rows = torch.arange(height + 1, device=places.device, dtype=places.dtype)
    return rows - places.nan_to_num(posinf=4.0 * height)[:, :, None]


def _weights(ramp: Tensor, depth: Tensor) -> Tensor:
    """Return the weights of rows, (N, n, H), from the blurred ramp at (N, n, H + 1).

    They are its second differences. Summed up to a row, its first differences: so what lies beyond
    either end counts with the first and the last row, `depth` - 1.
    """
    upto = ramp.diff(dim=2)
    row = torch.arange(upto.shape[2], device=ramp.device)
    upto = torch.where(row >= depth[:, :, None] - 1, 1.0, upto)
    return upto.diff(dim=2, prepend=torch.zeros_like(upto[..., :1]))


def _last(places: Tensor, planes: Tensor) -> Tensor:
    """Return the place of the last plane, (N, 1)."""
    return torch.where(planes, places, -math.inf).amax(dim=1, keepdim=True)


def _bracket(places: Tensor, planes: Tensor, height: int) -> tuple[Tensor, Tensor]:
    """Find the planes around each row: see `DrawnPlanes`."""
    rows = torch.arange(height, device=places.device, dtype=places.dtype)
    rows = rows.expand(len(places), -1).contiguous()
    most = planes.sum(dim=1, keepdim=True) - 2
    lower = torch.searchsorted(places.contiguous(), rows, right=True) - 1
    lower = torch.minimum(lower.clamp(min=0), most)
    below, above = places.gather(1, lower), places.gather(1, lower + 1)
    return lower, ((rows - below) / (above - below)).clamp(0, 1)


def _rows(places: Tensor, planes: Tensor, height: int) -> Tensor:
    """Return the share of a plane in each row, (N, H)."""
    rows = torch.arange(height, device=places.device, dtype=places.dtype)
    distance = (rows - places.nan_to_num(posinf=-10.0)[:, :, None]).abs()
    return (1 - distance).clamp(min=0).sum(dim=1).clamp(max=1)


def ramp_of(profile: Profile, distance: Tensor) -> Tensor:
    """Blur the ramp max(t, 0) by a slice profile: `Profile.ramp`, on any device."""
    if profile.kind != "sampled":
        gaussian = torch.tensor(profile.kind == "gaussian", device=distance.device)
        width = profile.width / (FWHM if profile.kind == "gaussian" else 1)
        return DrawnProfiles(gaussian, torch.tensor(width, device=distance.device)).ramp(distance)
    edges, weights = distance.new_tensor(profile.edges), distance.new_tensor(profile.weights)
    steps = edges.diff()
    share = torch.cat([steps.new_zeros(1), (weights * steps).cumsum(0)])
    ramps = (share[:-1] * steps + weights * steps**2 / 2).cumsum(0)
    ramps = torch.cat([ramps.new_zeros(1), ramps])
    at = (torch.bucketize(distance, edges, right=True) - 1).clamp(0, len(weights) - 1)
    t = distance - edges[at]
    inside = ramps[at] + share[at] * t + weights[at] * t * t / 2
    outside = (distance <= edges[0]) | (distance >= edges[-1])
    return torch.where(outside, distance.relu(), inside)
