"""What a stack's planes hold, plane by plane: blank and lost ones, saturation, voxels without data.

One look at every voxel, in memory or read part by part, tells what the restoration must not guess:
which planes were lost on the way, which intensities a detector cannot exceed, and where the field
of view ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Voxels that pile up at the largest or least intensity: so many, and so large a share of all.
PILED, PILED_SHARE = 16, 1e-5
#: Share of all voxels that a value has at least where it stands for "no data".
OUTSIDE_SHARE = 0.01
#: Two planes have the same outline where this share of what is in either is in both, and where
#: there is so much of it.
ALIKE, OUTLINED = 0.8, 0.02
#: Bits of cameras whose largest value is a detector's ceiling in a wider type.
CAMERA_BITS = range(8, 17)

#: Reads a plane (Y, X): time point, channel, number.
ReadPlane = Callable[[int, int, int], NDArray[Any]]


def planes_of(stack: NDArray[Any]) -> ReadPlane:
    """Read planes of a stack in memory, (T, C, n, Y, X)."""

    def read(time: int, channel: int, plane: int) -> NDArray[Any]:
        voxels: NDArray[Any] = stack[time, channel, plane]
        return voxels

    return read


@dataclass
class Survey:
    """What each plane holds; arrays of shape (T, C, n).

    Attributes
    ----------
    least, most
        Extremes of finite voxels; NaN where there are none.
    at_least, at_most, zeros
        How many voxels have exactly these values.
    finite, count
        Finite voxels, and all.
    """

    least: NDArray[np.float64]
    most: NDArray[np.float64]
    at_least: NDArray[np.int64]
    at_most: NDArray[np.int64]
    zeros: NDArray[np.int64]
    finite: NDArray[np.int64]
    count: NDArray[np.int64]

    def add(self, time: int, channel: int, plane: int, part: NDArray[Any]) -> None:
        """Count a part of a plane."""
        at = (time, channel, plane)
        self.count[at] += part.size
        if part.dtype.kind == "f" and not np.isfinite(part).all():
            part = part[np.isfinite(part)]
        self.finite[at] += part.size
        if not part.size:
            return
        self.zeros[at] += part.size - np.count_nonzero(part)
        low, high = part.min(), part.max()
        for value, extreme, number, beyond in (
            (low, self.least, self.at_least, float(low) < self.least[at]),
            (high, self.most, self.at_most, float(high) > self.most[at]),
        ):
            if np.isnan(extreme[at]) or beyond:
                extreme[at], number[at] = float(value), 0
            if float(value) == extreme[at]:
                number[at] += np.count_nonzero(part == value)

    @property
    def blank(self) -> NDArray[np.bool_]:
        """Planes without any structure: of one value, or without a finite voxel."""
        blank: NDArray[np.bool_] = (self.finite == 0) | (self.least == self.most)
        return blank

    @property
    def first_filled(self) -> int:
        """The first time point with any structure; 0 where there is none."""
        return int((~self.blank).any(axis=(1, 2)).argmax())

    @property
    def filled_run(self) -> tuple[int, slice]:
        """The longest run of planes without a blank one among them, for what compares neighbours.

        Of the first time point with any structure; channels without any do not count.
        """
        time = self.first_filled
        blank = self.blank[time]
        full = np.flatnonzero(~blank[~blank.all(axis=1)].any(axis=0))
        if not full.size:
            return time, slice(0, blank.shape[1])
        runs = np.split(full, np.flatnonzero(np.diff(full) > 1) + 1)
        longest = max(runs, key=len)
        return time, slice(int(longest[0]), int(longest[-1]) + 1)

    def extremes(self, time: int, channels: slice, planes: Sequence[int]) -> NDArray[np.float64]:
        """Return the least and the largest intensity of channels in planes, (C, 2); 0 if unknown.

        Parameters
        ----------
        time
            Number of the time point.
        channels, planes
            Which ones.
        """
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
        """Whether there are voxels that are not finite."""
        return bool((self.finite < self.count).any())


def empty_survey(times: int, channels: int, planes: int) -> Survey:
    """Return the survey of a stack of which nothing has been seen."""
    shape = (times, channels, planes)
    unknown = [np.full(shape, np.nan) for _ in range(2)]
    return Survey(*unknown, *(np.zeros(shape, np.int64) for _ in range(5)))


def survey(planes: NDArray[Any]) -> Survey:
    """Look at planes (T, C, n, Y, X) that are in memory."""
    surveyed = empty_survey(*planes.shape[:3])
    for t, c, z in np.ndindex(*planes.shape[:3]):
        surveyed.add(t, c, z, planes[t, c, z])
    return surveyed


def lost_planes(
    surveyed: Survey, read: ReadPlane | None = None
) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Name the planes that were lost: blank ones between planes that are not.

    A dark gap between objects is none. Either at least half of the voxels of the planes on either
    side differ from what the blank ones hold; or those that do have the same outline on either
    side, as where all but the specimen was masked.

    Parameters
    ----------
    surveyed
        What the planes hold.
    read
        Reads a plane (Y, X) of a time point and channel, to compare outlines; by default they are
        not.

    Returns
    -------
    Numbers of planes, for each time point and channel.
    """
    times, channels, _ = surveyed.least.shape
    return tuple(tuple(_lost(surveyed, t, c, read) for c in range(channels)) for t in range(times))


def _lost(surveyed: Survey, t: int, c: int, read: ReadPlane | None) -> tuple[int, ...]:
    blank = surveyed.blank[t, c]
    filled = np.flatnonzero(~blank).tolist()
    lost: list[int] = []
    for below, above in pairwise(filled):
        run = range(below + 1, above)
        if not run:
            continue
        pairs = [((t, c, n), (t, c, z)) for n in (below, above) for z in run]
        values = {surveyed.least[t, c, z] for z in run}
        if all(_differs(surveyed, *pair) for pair in pairs) or (
            read is not None
            and len(values) == 1
            and _same_outline(read(t, c, below), read(t, c, above), values.pop())
        ):
            lost += run
    return tuple(lost)


def _same_outline(below: NDArray[Any], above: NDArray[Any], value: float) -> bool:
    """Tell whether the voxels that differ from a value are the same ones in two planes."""
    one, other = below != value, above != value
    either = int((one | other).sum())
    return either >= OUTLINED * one.size and int((one & other).sum()) >= ALIKE * either


def suspects(surveyed: Survey) -> tuple[tuple[tuple[int, ...], ...], ...]:
    """Name blank planes at the ends that may have been lost: most of the next plane differs.

    Nothing lies on their other side to restore them from, and where a stack reaches beyond the
    specimen its ends are blank by rights. Those without a finite voxel tell nobody a wrong value.
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
    """Tell whether half of a plane's voxels differ from the value of a blank one."""
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
        No voxel is below or above: a detector's limits. None where none are known.
    outside
        Value of voxels without data; between two of them there is none either. None where no value
        stands for that.
    padding
        Whether `outside` lies so far below all other voxels that it is no intensity at all.
    """

    floor: float | None = None
    ceiling: float | None = None
    outside: float | None = None
    padding: bool = False


def limits(surveyed: Survey, channel: int, dtype: np.dtype[np.generic]) -> Limits:
    """Find the intensities that a channel of a stack of some voxel type keeps to."""
    filled = ~np.isnan(surveyed.least[:, channel])
    if not filled.any():
        return Limits()
    total = int(surveyed.finite[:, channel].sum())
    low, high = surveyed.least[:, channel][filled], surveyed.most[:, channel][filled]
    least, most = float(low.min()), float(high.max())
    at_least = int(surveyed.at_least[:, channel][filled][low == least].sum())
    at_most = int(surveyed.at_most[:, channel][filled][high == most].sum())
    piled = max(PILED, PILED_SHARE * total)
    camera = dtype.kind in "iu" and most in [2.0**bits - 1 for bits in CAMERA_BITS]
    outside = None
    zeros = int(surveyed.zeros[:, channel].sum())
    if least == 0 or (dtype.kind == "f" and zeros >= OUTSIDE_SHARE * total):
        outside = 0.0
    elif at_least >= OUTSIDE_SHARE * total:
        outside = least
    return Limits(
        least if at_least >= piled else None,
        most if camera or at_most >= piled else None,
        outside,
    )


def told_planes(planes: Iterable[int]) -> str:
    """Name planes in a few words: ``12, 40-42``."""
    numbers = sorted(set(planes))
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(str(r[0]) if len(r) == 1 else f"{r[0]}-{r[-1]}" for r in runs)
