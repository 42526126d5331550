"""Drawn measurements: positions, slice profile and noise of planes, for many images at once.

The same as `data.measurement.Measurement` of each image: planes are numbered from 0, and those that
an image has not count for nothing. Computed with NumPy, since on a GPU the start of a hundred small
operators takes longer.
"""

from __future__ import annotations

import math
from typing import NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.models.config import OwnPlanes

Floats: TypeAlias = NDArray[np.float64]
Truths: TypeAlias = NDArray[np.bool_]
Whole: TypeAlias = NDArray[np.int64]

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
    """How planes of a batch of images were measured; on the CPU when drawn.

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
    """Slice profiles of images, (N, 1) each: whether Gaussian or a slab, and how wide in rows.

    Attributes
    ----------
    gaussian
        True of Gaussians.
    width
        Deviation of a Gaussian, width of a slab; zero of points.
    """

    gaussian: Truths
    width: Floats

    @property
    def deviation(self) -> Floats:
        """Standard deviation, (N,)."""
        return np.where(self.gaussian, self.width, self.width / math.sqrt(12)).ravel()

    def ramp(self, distance: Floats, image: Whole) -> Floats:
        """Blur the ramp max(t, 0) at (planes, rows), by the profiles of images (planes,).

        See `Profile.ramp`.
        """
        bell, width = self.gaussian[image, 0], np.maximum(self.width[image], 1e-3)
        ramp = np.empty_like(distance)
        for of_kind, blurred in ((bell, _bell), (~bell, _slab)):
            ramp[of_kind] = blurred(distance[of_kind], width[of_kind])
        return ramp


def _bell(distance: Floats, width: Floats) -> Floats:
    """Blur the ramp max(t, 0) at (planes, rows) by Gaussians."""
    from scipy.special import ndtr  # not needed to predict

    t = distance / width
    density = np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
    blurred: Floats = width * (t * ndtr(t) + density)
    return blurred


def _slab(distance: Floats, width: Floats) -> Floats:
    """Blur the ramp max(t, 0) at (planes, rows) by slabs."""
    inside = (distance / width).clip(-0.5, 0.5) + 0.5
    return inside * inside * (width / 2) + np.maximum(distance - width / 2, 0)


def draw_planes(
    count: int,
    height: int,
    generator: torch.Generator,
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
    own, own_share
        Planes of a stack that will be restored, and how many images have these, all at its end.
    """
    numbers = torch.rand(count, 7, generator=generator, dtype=torch.float64).numpy()
    shape_of_each = count, _most_planes(height, own), 2
    each = torch.rand(shape_of_each, generator=generator, dtype=torch.float64).numpy()
    start, gap, kind, shape, size, noisy, level = numbers.T[:, :, None]
    distance = DISTANCE[0] * (DISTANCE[1] / DISTANCE[0]) ** gap
    profiles = _draw_profiles(shape, size, distance)
    deviation = profiles.deviation
    if own is not None:
        mine = np.arange(count)[:, None] >= count - round(own_share * count)
        distance = np.where(mine, own.distance, distance)
        kind = np.where(mine, 0.0, kind) if own.even else kind
    places, planes = _draw_places(start, distance, kind, each, height)
    image, _ = np.nonzero(planes)  # of each plane that there is
    place = places[planes]
    distances = np.arange(height + 1) - place[:, None]
    ramp = profiles.ramp(distances, image)
    if own is not None:
        ramp = np.where(mine[image], own.profile.ramp(distances), ramp)
        deviation = np.where(mine[:, 0], own.profile.deviation, deviation)
    last = np.where(planes, places, -math.inf).max(axis=1, keepdims=True)
    weights = np.zeros((*planes.shape, height))
    weights[planes] = _weights(ramp, np.ceil(last[image]) + 1)
    lower, share = _bracket(places, planes, height)
    low, high = (math.log(each) for each in NOISE)
    noise = np.where(noisy < NOISE_SHARE, np.exp(low + (high - low) * level), 0.0).ravel()
    rows = _rows(image, place, (count, height))
    return DrawnPlanes(*map(_tensor, (weights, lower, share, rows, deviation, noise)))


def _tensor(array: Floats | Whole) -> Tensor:
    """Make a tensor of an array, in single precision or of whole numbers."""
    return torch.from_numpy(array if array.dtype == np.int64 else array.astype(np.float32))


def _most_planes(height: int, own: OwnPlanes | None) -> int:
    """Return how many planes `height` rows have at most."""
    least = DISTANCE[0] if own is None else min(DISTANCE[0], own.distance)
    return int((height - 1) / least) + 1


def _draw_profiles(shape: Floats, size: Floats, distance: Floats) -> DrawnProfiles:
    """Turn numbers in [0, 1) into profiles of planes that are some rows apart, (N, 1) each."""
    gaussian = shape < POINT_SHARE + (1 - POINT_SHARE) * GAUSSIAN_SHARE
    width = size * distance * np.where(gaussian, GAUSSIAN_MOST, SLAB_MOST)
    return DrawnProfiles(
        gaussian & (shape >= POINT_SHARE),
        np.where(shape < POINT_SHARE, 0.0, np.maximum(width, LEAST_WIDTH)),
    )


def _draw_places(
    start: Floats, distance: Floats, kind: Floats, each: Floats, height: int
) -> tuple[Floats, Truths]:
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
    Rising places in rows, (N, n), infinite of planes not there, and which planes there are, (N, n):
    the first ones.
    """
    number = np.arange(each.shape[1])
    even = start + number * distance
    planes = even <= height - 1 + 1e-6
    last = planes.sum(axis=1, keepdims=True) - 1
    # Half of those that are not even are jittered, half have planes missing, never an end.
    jittered = (kind >= EVEN_SHARE) & (kind < (1 + EVEN_SHARE) / 2) & (number > 0)
    off = (each[..., 0] * 2 - 1) * JITTER * distance
    places = np.minimum(np.where(jittered, even + off, even), height - 1)
    inside = (number > 0) & (number < last)
    gone = (kind >= (1 + EVEN_SHARE) / 2) & inside & (each[..., 1] < MISSING)
    places = np.sort(np.where(planes & ~gone, places, math.inf), axis=1)
    return places, np.isfinite(places)


def _weights(ramp: Floats, depth: Floats) -> Floats:
    """Return the weights of rows, (planes, H), from the blurred ramp at (planes, H + 1).

    They are its second differences. Summed up to a row, its first differences: so what lies beyond
    either end counts with the first and the last row, `depth` - 1; (planes, 1).
    """
    upto = np.diff(ramp, axis=1)
    upto[np.arange(upto.shape[1]) >= depth - 1] = 1.0
    weights: Floats = np.diff(upto, axis=1, prepend=0.0)
    return weights


def _bracket(places: Floats, planes: Truths, height: int) -> tuple[Whole, Floats]:
    """Find the planes around each row: see `DrawnPlanes`."""
    rows = np.arange(height)
    most = planes.sum(axis=1, keepdims=True) - 2
    below_row = (places[:, :, None] <= rows).sum(axis=1)
    lower = np.minimum(np.maximum(below_row - 1, 0), most)
    below, above = (np.take_along_axis(places, each, axis=1) for each in (lower, lower + 1))
    return lower, ((rows - below) / (above - below)).clip(0, 1)


def _rows(image: Whole, place: Floats, shape: tuple[int, int]) -> Floats:
    """Return the share of a plane in each row, (N, H), from where the planes of images lie."""
    row = np.floor(place).astype(np.int64)
    shares = np.zeros((shape[0], shape[1] + 1))
    np.add.at(shares, (image, row), 1 - (place - row))
    np.add.at(shares, (image, row + 1), place - row)
    return shares[:, :-1].clip(max=1)
