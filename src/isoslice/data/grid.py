"""Positions of planes, defined once for every method, baseline and metric.

Planes of an even stack lie at z = 0, k, 2k, ... of the output grid: n planes give (n - 1) k + 1
output planes. Others lie anywhere, also between output planes. Nothing is extrapolated by more than
a part of an output plane beyond the first and the last measured one.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import VoxelSize
from isoslice.errors import DataError, SettingsError


@dataclass(frozen=True)
class PlaneGrid:
    """Positions of the measured planes on the output's z grid.

    All code takes positions from the grid, never from ``i * k``.

    Attributes
    ----------
    known
        Position of each measured plane in output planes, strictly increasing; the first lies
        within the first output plane, from 0 to below 1.
    """

    known: tuple[float, ...]

    def __post_init__(self) -> None:
        """Check that the planes span the grid."""
        rising = len(self.known) > 1 and bool(np.all(np.diff(self.known) > 0))
        if not (rising and 0 <= self.known[0] < 1 and np.isfinite(self.known[-1])):
            raise DataError(
                f"got measured planes at {list(self.known)[:5]}, expected at least two, increasing "
                "and starting at 0; a single plane has nothing to fill in between"
            )

    @property
    def depth(self) -> int:
        """Number of output planes, which cover all measured ones."""
        return math.ceil(self.known[-1]) + 1

    @property
    def is_whole(self) -> bool:
        """Whether every measured plane is one of the output's."""
        return all(float(z).is_integer() for z in self.known)

    @property
    def nearest(self) -> tuple[int, ...]:
        """Index of the output plane at or next to each measured one."""
        return tuple(np.rint(self.known).astype(int).tolist())

    @property
    def shares(self) -> NDArray[np.float32]:
        """Share of a measured plane in each output plane, (depth,): 1 where one was measured."""
        known = np.asarray(self.known, np.float64)
        below, shares = np.floor(known).astype(int), np.zeros(self.depth + 1)
        np.add.at(shares, below, 1 - (known - below))
        np.add.at(shares, below + 1, known - below)
        return np.minimum(shares[:-1], 1).astype(np.float32)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Shape (depth,): True where a plane was measured, not between output planes."""
        mask = np.zeros(self.depth, dtype=bool)
        mask[[int(z) for z in self.known if float(z).is_integer()]] = True
        return mask

    def bracket(self, rows: slice = slice(None)) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
        """Find the measured planes around each output plane of `rows`.

        Returns
        -------
        lower
            Index of the measured plane at or below each, at most the last but one.
        share
            Distance from it in [0, 1], as a share of the interval up to the next measured plane.
        """
        known, z = np.asarray(self.known), np.arange(self.depth)[rows]
        lower = np.clip(np.searchsorted(known, z, side="right") - 1, 0, len(known) - 2)
        share = (z - known[lower]) / (known[lower + 1] - known[lower])
        return lower, np.clip(share, 0.0, 1.0)

    @property
    def distances(self) -> NDArray[np.intp]:
        """Distance of each output plane to the nearest measured one in planes, shape (depth,).

        Rounded where that lies between output planes.
        """
        lower, _ = self.bracket()
        known, z = np.asarray(self.known), np.arange(self.depth)
        away = np.minimum(np.abs(z - known[lower]), np.abs(known[lower + 1] - z))
        rounded: NDArray[np.intp] = np.rint(away).astype(np.intp)
        return rounded


def even_grid(planes: int, factor: int) -> PlaneGrid:
    """Return the grid on which every `factor`-th output plane is measured."""
    return PlaneGrid(tuple(range(0, (planes - 1) * factor + 1, factor)))


def factor_from_voxel_size(voxel_size: VoxelSize) -> int:
    """Return the number of output planes per measured plane that is closest to isotropic voxels.

    The target is the XY spacing (the geometric mean of Y and X where they differ).

    Raises
    ------
    DataError
        If the nearest integer is below 2: the stack is isotropic already.
    """
    ratio = voxel_size.z / float(np.sqrt(voxel_size.y * voxel_size.x))
    factor = int(np.floor(ratio + 0.5 + 1e-6))  # 1.5 rounds up whatever the unit
    if factor < 2:
        raise DataError(
            f"got a voxel size of {tuple(voxel_size)} (Z, Y, X), Z only {ratio:.2f} times XY: the "
            "stack is isotropic already, expected at least 1.5 times; if the voxel size is wrong, "
            "correct it, for example with --voxel-size 4.0,0.83,0.83um; to refine Z all the same, "
            "give a factor, for example --factor 2"
        )
    return factor


def check_factor(factor: int) -> int:
    """Return `factor` if it is an integer of at least 2, else raise `SettingsError`."""
    if not (np.isfinite(factor) and int(factor) == factor and factor >= 2):
        raise SettingsError(f"got factor {factor}, expected an integer of at least 2")
    return int(factor)


def output_voxel_size(voxel_size: VoxelSize, factor: int) -> VoxelSize:
    """Return the spacing of the output: Z divided by `factor`, Y and X unchanged."""
    return VoxelSize(voxel_size.z / factor, voxel_size.y, voxel_size.x)


def thin(volume: NDArray[Any], factor: int, axis: int = 0) -> NDArray[Any]:
    """Keep planes 0, k, 2k, ... along `axis`: the coarse stack of a true volume.

    Planes beyond the last multiple of `factor` are dropped; compare with `crop_to_grid`.
    """
    return np.take(volume, range(0, volume.shape[axis], factor), axis=axis)


def crop_to_grid(volume: NDArray[Any], factor: int, axis: int = 0) -> NDArray[Any]:
    """Drop the planes of a true volume beyond the last one that `thin` keeps."""
    depth = (volume.shape[axis] - 1) // factor * factor + 1
    return np.take(volume, range(depth), axis=axis)


def planes_around(grid: PlaneGrid, start: int, stop: int) -> tuple[int, int, PlaneGrid]:
    """Return the first and last measured plane around output planes `start` to `stop` (exclusive).

    The third value is the grid of these measured planes, which begins at the output plane at or
    below the first of them.
    """
    known = np.asarray(grid.known)
    first = max(0, int(np.searchsorted(known, start, side="right")) - 1)
    last = min(int(np.searchsorted(known, stop - 1, side="left")), len(known) - 1)
    if first == last:  # a grid has at least two
        first, last = (first, last + 1) if last + 1 < len(known) else (first - 1, last)
    begin = int(np.floor(known[first]))
    return first, last, PlaneGrid(tuple((known[first : last + 1] - begin).tolist()))
