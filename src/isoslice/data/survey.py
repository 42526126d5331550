"""Statistics of a stack's planes: blank and lost planes, saturation, voxels without data.

One pass over all voxels, in memory or read part by part, finds what restoration must not guess:
which planes were lost, which intensities the detector cannot exceed, and where the field of view
ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Voxels, and share of all voxels, from which an extreme intensity is a detector's limit.
MIN_SATURATED, MIN_SATURATED_SHARE = 16, 1e-5
#: Smallest share of all voxels of a value that stands for "no data".
OUTSIDE_SHARE = 0.01
#: Two planes have the same outline if the intersection of their foregrounds is at least this share
#: of the union, and the union at least that share of the plane.
MIN_OVERLAP, MIN_FOREGROUND = 0.8, 0.02
#: Bit depths of cameras whose largest value is a detector's ceiling in a wider type.
CAMERA_BITS = range(8, 17)

#: Why planes are left out that a user said are missing.
MISSING = "missing, as was told"

#: Reads a plane (Y, X), by time point, channel and number.
ReadPlane = Callable[[int, int, int], NDArray[Any]]


def planes_of(stack: NDArray[Any]) -> ReadPlane:
    """Return the reader of planes of a stack in memory, (T, C, n, Y, X)."""

    def read(time: int, channel: int, plane: int) -> NDArray[Any]:
        voxels: NDArray[Any] = stack[time, channel, plane]
        return voxels

    return read


#: Time point, channel and number of a plane.
PlaneIndex = tuple[int, int, int]


@dataclass(frozen=True)
class Damage:
    """Planes that are missing or damaged, though they hold something, and why.

    Attributes
    ----------
    certain
        Those that are left out.
    doubtful
        Those that are warned of, but kept.
    blank
        Whether blank planes between others are left out, too.
    """

    certain: Mapping[PlaneIndex, str] = field(default_factory=dict)
    doubtful: Mapping[PlaneIndex, str] = field(default_factory=dict)
    blank: bool = True


@dataclass
class Survey:
    """Statistics of each plane; arrays of shape (T, C, n).

    Attributes
    ----------
    least, most
        Extremes of finite voxels; NaN where there are none.
    at_least, at_most, zeros
        Numbers of voxels that equal `least`, `most` and 0.
    finite, count
        Numbers of finite voxels, and of all.
    damage
        Planes that are missing or damaged.
    """

    least: NDArray[np.float64]
    most: NDArray[np.float64]
    at_least: NDArray[np.int64]
    at_most: NDArray[np.int64]
    zeros: NDArray[np.int64]
    finite: NDArray[np.int64]
    count: NDArray[np.int64]
    damage: Damage = field(default_factory=Damage)

    def add(self, time: int, channel: int, plane: int, part: NDArray[Any]) -> None:
        """Add a part of a plane to the statistics."""
        index = (time, channel, plane)
        self.count[index] += part.size
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            part = part[np.isfinite(part)]
        self.finite[index] += part.size
        if not part.size:
            return
        self.zeros[index] += part.size - np.count_nonzero(part)
        low, high = part.min(), part.max()
        for value, extreme, number, beyond in (
            (low, self.least, self.at_least, float(low) < self.least[index]),
            (high, self.most, self.at_most, float(high) > self.most[index]),
        ):
            if np.isnan(extreme[index]) or beyond:
                extreme[index], number[index] = float(value), 0
            if float(value) == extreme[index]:
                number[index] += np.count_nonzero(part == value)

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Mask of planes without structure: of one value, or without a finite voxel."""
        blank: NDArray[np.bool_] = (self.finite == 0) | (self.least == self.most)
        return blank

    @property
    def useless(self) -> NDArray[np.bool_]:
        """Mask of planes that are blank, damaged or missing."""
        useless = self.blank
        for index in self.damage.certain:
            useless[index] = True
        return useless

    @property
    def first_filled(self) -> int:
        """First time point with any structure; 0 if there is none."""
        return int((~self.blank).any(axis=(1, 2)).argmax())

    @property
    def filled_run(self) -> tuple[int, slice]:
        """First time point with structure, and its longest run of planes that all are of use.

        For comparisons of neighbouring planes. Channels without any structure are ignored.
        """
        time = self.first_filled
        filled = ~self.blank[time].all(axis=1)
        useless = self.useless[time]
        full = np.flatnonzero(~useless[filled].any(axis=0))
        if not full.size:
            return time, slice(0, useless.shape[1])
        runs = np.split(full, np.flatnonzero(np.diff(full) > 1) + 1)
        longest = max(runs, key=len)
        return time, slice(int(longest[0]), int(longest[-1]) + 1)

    def extremes(self, time: int, channels: slice, planes: Sequence[int]) -> NDArray[np.float64]:
        """Return the smallest and largest intensity of channels in planes, (C, 2); 0 if unknown."""
        least, most = (
            extreme[time, channels][:, list(planes)] for extreme in (self.least, self.most)
        )
        pairs = [
            (np.nanmin(low), np.nanmax(high)) if not np.isnan(low).all() else (0.0, 0.0)
            for low, high in zip(least, most, strict=True)
        ]
        return np.asarray(pairs, np.float64)

    @property
    def holes(self) -> bool:
        """Whether any voxel is not finite."""
        return bool((self.finite < self.count).any())


def empty_survey(times: int, channels: int, planes: int) -> Survey:
    """Return the survey of a stack before any plane is added."""
    shape = (times, channels, planes)
    least, most = (np.full(shape, np.nan) for _ in range(2))
    at_least, at_most, zeros, finite, count = (np.zeros(shape, np.int64) for _ in range(5))
    return Survey(least, most, at_least, at_most, zeros, finite, count)


def survey(planes: NDArray[Any]) -> Survey:
    """Survey planes (T, C, n, Y, X) in memory."""
    surveyed = empty_survey(*planes.shape[:3])
    for t, c, z in np.ndindex(*planes.shape[:3]):
        surveyed.add(t, c, z, planes[t, c, z])
    return surveyed


def lost_planes(
    surveyed: Survey, read: ReadPlane | None = None
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Find lost planes: missing and damaged ones, and blank ones between others, if no dark gap.

    Of those, at least half of the voxels of the planes on both sides differ from their value, or
    those that differ have the same outline on both sides, as in images masked to the specimen.

    Parameters
    ----------
    surveyed
        Statistics of the planes.
    read
        Reads planes, to compare outlines; by default outlines are not compared.

    Returns
    -------
    Numbers of the lost planes, for each time point and channel.
    """
    times, channels, _ = surveyed.least.shape
    return tuple(tuple(_lost(surveyed, t, c, read) for c in range(channels)) for t in range(times))


def _lost(surveyed: Survey, t: int, c: int, read: ReadPlane | None) -> tuple[int, ...]:
    blank, useless = surveyed.blank[t, c], surveyed.useless[t, c]
    lost = [z for z in range(len(blank)) if (t, c, z) in surveyed.damage.certain]
    for below, above in pairwise(np.flatnonzero(~useless).tolist()):
        run = [z for z in range(below + 1, above) if blank[z] and z not in lost]
        if not run or not surveyed.damage.blank:
            continue
        pairs = [((t, c, n), (t, c, z)) for n in (below, above) for z in run]
        values = {surveyed.least[t, c, z] for z in run}
        if all(_differs(surveyed, *pair) for pair in pairs) or (
            read is not None
            and len(values) == 1
            and _same_outline(read(t, c, below), read(t, c, above), values.pop())
        ):
            lost += run
    return tuple(sorted(lost))


def lost_reasons(
    surveyed: Survey, lost: Sequence[Sequence[Sequence[int]]]
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    """Say why each of the planes that `lost_planes` found is taken as lost."""

    def reason(index: PlaneIndex) -> str:
        value = surveyed.least[index]
        blank = "without a finite voxel" if np.isnan(value) else f"{value:g} everywhere"
        return surveyed.damage.certain.get(index, blank)

    return tuple(
        tuple(tuple(reason((t, c, z)) for z in planes) for c, planes in enumerate(channels))
        for t, channels in enumerate(lost)
    )


def _same_outline(below: NDArray[Any], above: NDArray[Any], value: float) -> bool:
    """Tell whether mostly the same voxels of two planes differ from a value."""
    one, other = below != value, above != value
    either = int((one | other).sum())
    return either >= MIN_FOREGROUND * one.size and int((one & other).sum()) >= MIN_OVERLAP * either


def suspect_end_planes(surveyed: Survey) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Find blank planes at the ends that may have been lost: most of the next plane differs.

    They cannot be restored, and where a stack extends beyond the specimen, its ends are blank
    rightly. Planes without a finite voxel are left out, as they show no wrong value.
    """

    def ends(t: int, c: int) -> tuple[int, ...]:
        filled = np.flatnonzero(~surveyed.blank[t, c]).tolist()
        if not filled:
            return ()
        first, last, count = filled[0], filled[-1], surveyed.least.shape[2]
        held = surveyed.finite[t, c] > 0
        sides = ((first, range(first)), (last, range(last + 1, count)))
        return tuple(
            z
            for n, run in sides
            for z in run
            if held[z] and _differs(surveyed, (t, c, n), (t, c, z))
        )

    times, channels, _ = surveyed.least.shape
    return tuple(tuple(ends(t, c) for c in range(channels)) for t in range(times))


def _differs(surveyed: Survey, plane: tuple[int, int, int], blank: tuple[int, int, int]) -> bool:
    """Tell whether more than half of a plane's voxels differ from the value of a blank one."""
    value, same = surveyed.least[blank], 0
    if value == 0:
        same = int(surveyed.zeros[plane])
    elif value == surveyed.least[plane]:
        same = int(surveyed.at_least[plane])
    elif value == surveyed.most[plane]:
        same = int(surveyed.at_most[plane])
    return bool(same < surveyed.count[plane] / 2)


@dataclass(frozen=True)
class Limits:
    """Intensities of one channel that a restored volume keeps to.

    Attributes
    ----------
    floor, ceiling
        A detector's limits, or those of what is plausible, see `Normalization.bounded`; None where
        they are unknown.
    outside
        Value of voxels without data, as are those restored between two of them; None where no
        value stands for that.
    padding
        Whether `outside` lies so far below all other voxels that it is no intensity.
    """

    floor: float | None = None
    ceiling: float | None = None
    outside: float | None = None
    padding: bool = False


def find_limits(surveyed: Survey, channel: int, dtype: np.dtype[np.generic]) -> Limits:
    """Find the intensity limits of a channel of voxel type `dtype`."""
    filled = _filled(surveyed, channel)
    if not filled.any():
        return Limits()
    total = int(surveyed.finite[:, channel][filled].sum())
    low, high = surveyed.least[:, channel][filled], surveyed.most[:, channel][filled]
    least, most = float(low.min()), float(high.max())
    at_least = int(surveyed.at_least[:, channel][filled][low == least].sum())
    at_most = int(surveyed.at_most[:, channel][filled][high == most].sum())
    piled = max(MIN_SATURATED, MIN_SATURATED_SHARE * total)
    camera = dtype.kind in "iu" and most in [2.0**bits - 1 for bits in CAMERA_BITS]
    outside = None
    zeros = int(surveyed.zeros[:, channel][filled].sum())
    if least == 0 or (dtype.kind == "f" and zeros >= OUTSIDE_SHARE * total):
        outside = 0.0
    elif at_least >= OUTSIDE_SHARE * total:
        outside = least
    return Limits(
        least if at_least >= piled else None,
        most if camera or at_most >= piled else None,
        outside,
    )


def measured_range(surveyed: Survey, channel: int) -> tuple[float, float] | None:
    """Return the least and the largest value of a channel's sound planes; None without any."""
    filled = _filled(surveyed, channel)
    if not filled.any():
        return None
    low, high = surveyed.least[:, channel][filled], surveyed.most[:, channel][filled]
    return float(low.min()), float(high.max())


def _filled(surveyed: Survey, channel: int) -> NDArray[np.bool_]:
    """Return which planes of a channel hold voxels and are not damaged, (T, Z)."""
    damaged = surveyed.useless[:, channel] & ~surveyed.blank[:, channel]
    return ~np.isnan(surveyed.least[:, channel]) & ~damaged


def format_planes(planes: Iterable[int]) -> str:
    """Format plane numbers as ranges: ``12, 40-42``."""
    numbers = sorted(set(planes))
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
