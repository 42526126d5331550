"""Planes as they were measured, and how near a restored volume is to the truth."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import minimum_filter1d

from isoslice.data.grid import PlaneGrid
from isoslice.data.measurement import Measurement
from isoslice.data.profile import Profile
from profiles import measured, places_of
from suite.measured.rows import Case, profile_name

Floats = NDArray[Any]
#: Share of voxels with one and the same value from which on it is background.
BACKGROUND = 0.2


@dataclass(frozen=True)
class Truth:
    """A volume that restorations are compared with, (Z, Y, X)."""

    voxels: Floats

    @cached_property
    def limits(self) -> tuple[float, float]:
        """The 0.1st and 99.9th percentile: the range that PSNR and noise refer to."""
        low, high = np.percentile(self.voxels, [0.1, 99.9])
        return float(low), float(high)

    @property
    def span(self) -> float:
        """Length of this range."""
        low, high = self.limits
        return high - low

    def psnr(self, found: Floats, planes: NDArray[np.bool_] | None = None) -> float:
        """PSNR of intensities within the range, over all planes or some; as `profiles.psnr`."""
        which = slice(None) if planes is None else planes
        ours, true = (np.clip(v[which], *self.limits).astype(float) for v in (found, self.voxels))
        error = float(np.mean((ours - true) ** 2))
        return float(10 * np.log10(self.span**2 / error)) if error else float("inf")

    def specimen(self, reach: int) -> NDArray[np.bool_]:
        """Mark what is no background: one number for `reach` voxels along Z on either side."""
        values, counts = np.unique(self.voxels, return_counts=True)
        if counts.max() < BACKGROUND * self.voxels.size:
            return np.ones(self.voxels.shape, bool)
        empty = (self.voxels == values[counts.argmax()]).astype(np.uint8)
        return minimum_filter1d(empty, 2 * reach + 1, axis=0, mode="nearest") == 0

    def coverage(
        self, interval: tuple[Floats, Floats], reach: int, planes: NDArray[np.bool_] | None = None
    ) -> float:
        """Return the share of the specimen, in all planes or some, that lies in an interval."""
        inside = (interval[0] <= self.voxels) & (self.voxels <= interval[1])
        counted = self.specimen(reach)
        if planes is not None:
            counted &= planes[:, None, None]
        return float(inside[counted].mean())


@dataclass(frozen=True)
class Scene:
    """Planes to be restored, and their truth.

    Attributes
    ----------
    case
        How they were measured.
    seen
        The profile they were seen through, in voxels; of a pair unknown, a point here.
    planes
        (n, Y, X), single precision.
    truth
        On the grid that is restored.
    size
        Spacing of the planes, (Z, Y, X).
    positions
        Of planes that are not even, in voxels.
    """

    case: Case
    seen: Profile
    planes: NDArray[np.float32]
    truth: Truth
    size: tuple[float, float, float]
    positions: tuple[float, ...] | None = None

    @property
    def given(self) -> str:
        """The profile as isoslice is told it."""
        return profile_name(self.seen)

    @property
    def missing(self) -> NDArray[np.bool_] | None:
        """Planes that were not measured, where planes are points on the grid."""
        places = self.positions or tuple(
            range(0, len(self.planes) * self.case.factor, self.case.factor)
        )
        grid = PlaneGrid(places)
        return ~grid.mask if self.given == "point" and grid.is_whole else None


def blurred_scene(
    volume: Floats, part: str, factor: int, seen: Profile, noise: float, seed: int = 0
) -> Scene:
    """See every `factor`-th plane through a profile, and add noise, a share of the range."""
    planes, voxels = measured(volume, seen, factor)
    truth = Truth(voxels)
    if noise:
        grain = np.random.default_rng(seed).normal(size=planes.shape)
        planes = planes + noise * truth.span * grain
    case = Case(part, factor, "even", profile_name(seen), noise)
    return Scene(case, seen, planes.astype(np.float32), truth, (float(factor), 1.0, 1.0))


def uneven_scenes(volume: Floats) -> list[Scene]:
    """Measure points at the places of `profiles.places_of`, linear between voxels."""
    return [_uneven(volume, name, at) for name, at in places_of(len(volume)).items()]


def _uneven(volume: Floats, name: str, places: NDArray[np.float64]) -> Scene:
    grid = PlaneGrid(tuple(places.tolist()))
    truth = volume[: grid.depth].astype(float)
    matrix = Measurement(grid.known, grid.depth).matrix
    planes = np.einsum("iz,zyx->iyx", matrix, truth).astype(np.float32)
    size = (float(np.median(np.diff(places))), 1.0, 1.0)
    case = Case("uneven", 4, name)
    return Scene(case, Profile(), planes, Truth(truth), size, tuple(places.tolist()))


def taps(profile: Profile) -> list[float]:
    """Return what a plane weights voxels by, one on each side as far as it reaches."""
    reach = int(np.ceil(profile.reach)) + 1
    row = Measurement((0.0, float(reach)), 2 * reach + 1, profile).matrix[1]
    return [float(weight) for weight in row]
