"""What neighbouring planes have in common: by this, damaged ones show.

Of each plane a grid of small patches is looked at, in full resolution: a few ten thousand voxels,
however large the plane. They are taken in the one pass that surveys the stack, and kept until the
next few planes have been compared with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.survey import PlaneIndex

#: Side of a patch in pixels, and patches along each side of a plane: at most, and at least.
PATCH, MOST_PATCHES, LEAST_PATCHES = 8, 24, 4
#: A plane is compared with so many planes before it.
LAGS = 4


@dataclass
class Likeness:
    """How planes look, and how much they are like those before them; NaN where unknown.

    Attributes
    ----------
    level, spread
        Mean and standard deviation of a plane's voxels, (T, C, n).
    detail
        Mean squared difference of neighbours along X, over that of all voxels, (T, C, n).
    coarse, fine
        Correlation with the plane 1, 2, ... before, (T, C, n, LAGS): of the patches' means, and of
        what varies within patches.
    same
        Share of voxels that equal those of the plane before, (T, C, n).
    change
        Mean squared difference from the plane before, (T, C, n).
    """

    level: NDArray[np.float64]
    spread: NDArray[np.float64]
    detail: NDArray[np.float64]
    coarse: NDArray[np.float64]
    fine: NDArray[np.float64]
    same: NDArray[np.float64]
    change: NDArray[np.float64]


def empty_likeness(times: int, channels: int, planes: int) -> Likeness:
    """Return the likeness of planes before any was seen."""
    shape = (times, channels, planes)
    level, spread, detail, same, change = (np.full(shape, np.nan) for _ in range(5))
    coarse, fine = (np.full((*shape, LAGS), np.nan) for _ in range(2))
    return Likeness(level, spread, detail, coarse, fine, same, change)


@dataclass(frozen=True)
class _Values:
    """Numbers of a plane, to be correlated with those of others; see `correlation`.

    Attributes
    ----------
    values
        As they are.
    centred, power
        Less their mean, (n,), and the sum of their squares; None where some are not finite.
    """

    values: NDArray[Any]
    centred: NDArray[np.float64] | None
    power: float

    @classmethod
    def of(cls, values: NDArray[Any]) -> _Values:
        """Subtract the mean once, not for each of the planes that they are compared with."""
        if not np.isfinite(values).all():
            return cls(values, None, np.nan)
        centred = values.ravel().astype(np.float64)
        centred -= centred.mean()
        return cls(values, centred, float(np.dot(centred, centred)))

    def correlation(self, other: _Values) -> float:
        """Return what `correlation` does."""
        if self.centred is None or other.centred is None:
            return correlation(self.values, other.values)
        scale = np.sqrt(self.power * other.power)
        return float(np.dot(self.centred, other.centred) / scale) if scale > 0 else np.nan


@dataclass
class _Plane:
    """Patches of a plane: voxels (rows, columns), and the same split into means and the rest."""

    index: PlaneIndex
    voxels: NDArray[Any]
    means: _Values
    rest: _Values


@dataclass
class Comparison:
    """Compares the planes of a stack as they are read, part by part, in rising order.

    Attributes
    ----------
    likeness
        What is known so far.
    """

    likeness: Likeness
    _begun: dict[PlaneIndex, tuple[int, NDArray[Any]]] = field(default_factory=dict)
    _before: list[_Plane] = field(default_factory=list)

    def add(self, time: int, channel: int, plane: int, part: NDArray[Any], height: int) -> None:
        """Look at some rows of a plane `height` rows high, those that follow the ones before."""
        index = (time, channel, plane)
        rows, columns = _places(height), _places(part.shape[1])
        if not (rows.size and columns.size):
            return
        if index not in self._begun:
            self._begun[index] = 0, np.empty((rows.size, columns.size), part.dtype)
        start, voxels = self._begun[index]
        end = start + len(part)
        first, last = np.searchsorted(rows, (start, end))
        voxels[first:last] = part[np.ix_(rows[first:last] - start, columns)]
        self._begun[index] = end, voxels
        if end == height:
            del self._begun[index]
            with np.errstate(over="ignore", invalid="ignore"):  # of huge floats nothing is known
                self._compare(index, voxels)

    def _compare(self, index: PlaneIndex, voxels: NDArray[Any]) -> None:
        values = voxels.astype(np.float64)
        values[~np.isfinite(values)] = np.nan
        high, wide = (size // PATCH for size in values.shape)
        patches = values.reshape(high, PATCH, wide, PATCH)
        means = patches.mean(axis=(1, 3))
        rest = (patches - means[:, None, :, None]).astype(np.float32)
        now = _Plane(index, voxels, _Values.of(means), _Values.of(rest))
        self._before = [
            one
            for one in self._before
            if one.index[:2] == index[:2] and index[2] - one.index[2] <= LAGS
        ]
        found = self.likeness
        found.level[index], found.spread[index] = _moments(values)
        if found.spread[index] > 0:
            steps = _mean(np.square(np.diff(patches, axis=3)))
            found.detail[index] = steps / found.spread[index] ** 2
        for one in self._before:
            lag = index[2] - one.index[2] - 1
            found.coarse[(*index, lag)] = now.means.correlation(one.means)
            found.fine[(*index, lag)] = now.rest.correlation(one.rest)
            if lag == 0:
                found.same[index] = float((voxels == one.voxels).mean())
                found.change[index] = _mean(np.square(values - one.voxels))
        self._before.append(now)


def _places(side: int) -> NDArray[np.int64]:
    """Return the coordinates of all pixels of evenly spaced patches along a side of a plane."""
    count = min(MOST_PATCHES, side // PATCH)
    if count < LEAST_PATCHES:
        return np.empty(0, np.int64)
    starts = np.rint(np.linspace(0, side - PATCH, count)).astype(np.int64)
    return (starts[:, None] + np.arange(PATCH)).ravel()


def _mean(values: NDArray[Any]) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean(dtype=np.float64)) if known.size else np.nan


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return (float(known.mean()), float(known.std())) if known.size else (np.nan, np.nan)


def correlation(one: NDArray[Any], other: NDArray[Any]) -> float:
    """Return the correlation of two arrays where both are finite; NaN where one is constant."""
    known = np.isfinite(one) & np.isfinite(other)
    if not known.any():
        return np.nan
    a, b = one[known].astype(np.float64), other[known].astype(np.float64)
    a, b = a - a.mean(), b - b.mean()
    scale = np.sqrt(np.dot(a, a) * np.dot(b, b))
    return float(np.dot(a, b) / scale) if scale > 0 else np.nan
