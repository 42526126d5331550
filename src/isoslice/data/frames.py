"""What is restored at once: a time point of a stack, and where its measured planes lie."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.data.survey import Limits, Survey, suspects, told_planes

if TYPE_CHECKING:
    from isoslice.data.normalization import Normalization

#: Planes that were lost, for each time point and channel.
Lost = Sequence[Sequence[Sequence[int]]]
#: Channels that are restored one by one draw noise of their own: detail that two channels invent
#: must not look as if they belonged together.
CHANNEL_SEED = 1_000_003
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Frame:
    """A time point with all of its channels, or with one where they are restored one by one.

    Attributes
    ----------
    time
        Number of the time point.
    channels
        Which ones.
    kept
        Measured planes that are restored from: those lost in no channel.
    grid
        Where these lie in the volume.
    own
        Measured planes of each channel, which become planes of the volume as they are.
    factor
        Output planes per measured plane.
    seed
        Of the noise.
    """

    time: int
    channels: slice
    kept: tuple[int, ...]
    grid: PlaneGrid
    own: tuple[tuple[int, ...], ...]
    factor: int
    seed: int

    def put_back(
        self, volumes: NDArray[Any], stack: NDArray[Any], normalization: Normalization
    ) -> None:
        """Put measured planes back, and take out what nobody measured; see `put_back`.

        Parameters
        ----------
        volumes, stack
            All that was restored so far, changed in place, and what was measured: (T, C, Z, Y, X).
        normalization
            Of the frame's channels.
        """
        self._each(put_back, volumes, stack, normalization)

    def clear_deviations(
        self, std: NDArray[Any], stack: NDArray[Any], normalization: Normalization
    ) -> None:
        """Set the standard deviations of voxels without data; arguments as in `put_back`."""
        self._each(clear_deviations, std, stack, normalization)

    def _each(
        self,
        change: Callable[..., None],
        volumes: NDArray[Any],
        stack: NDArray[Any],
        normalization: Normalization,
    ) -> None:
        channels = range(volumes.shape[1])[self.channels]
        for own, channel, limits in zip(
            self.own, channels, normalization.limits_of(len(channels)), strict=True
        ):
            planes = stack[self.time, channel]
            rows = [z * self.factor for z in own]
            change(volumes[self.time, channel], Rows(planes, own), rows, limits)


class Rows:
    """Some planes of a stack (n, Y, X), one at a time, without a copy of all."""

    def __init__(self, stack: NDArray[Any], numbers: Sequence[int]) -> None:
        self._stack, self._numbers = stack, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return a plane."""
        plane: NDArray[Any] = self._stack[self._numbers[index]]
        return plane


def frames_of(
    shape: tuple[int, int, int], factor: int, lost: Lost, separate: bool, seed: int
) -> list[Frame]:
    """List the frames of a stack.

    Parameters
    ----------
    shape
        Time points, channels and planes.
    factor
        Output planes per measured plane.
    lost
        See `survey.lost_planes`.
    separate
        Whether channels are restored one by one.
    seed
        Of the noise.
    """
    times, channels, planes = shape
    groups = [slice(c, c + 1) for c in range(channels)] if separate else [slice(0, channels)]
    frames = []
    for t in range(times):
        own = [tuple(z for z in range(planes) if z not in lost[t][c]) for c in range(channels)]
        for group in groups:
            kept = tuple(z for z in range(planes) if all(z in each for each in own[group]))
            grid = PlaneGrid(tuple(z * factor for z in kept))
            noise = seed + CHANNEL_SEED * (group.start if separate else 0)
            frames.append(Frame(t, group, kept, grid, tuple(own[group]), factor, noise))
    return frames


def put_back(
    volume: NDArray[Any],
    planes: NDArray[Any] | Rows,
    rows: Sequence[int],
    limits: Limits = NO_LIMITS,
) -> None:
    """Put measured planes back into a restored channel, and take out what nobody measured.

    Measured planes become planes of the volume bit for bit. Between two voxels without data (not
    finite, or of the value that stands for none) there is none either.

    Parameters
    ----------
    volume
        One channel, or some of its planes, (Z, Y, X); changed in place.
    planes
        Its measured planes around these, (n, Y, X), as they were read.
    rows
        Where they lie in `volume`: rising, and perhaps outside.
    limits
        Of the channel.
    """
    depth = len(volume)
    for index, (row, above) in enumerate(pairwise(rows)):
        between = range(max(row + 1, 0), min(above, depth))
        if not between:
            continue
        for value, nothing in _without_data(planes[index], planes[index + 1], limits):
            for z in between:
                volume[z][nothing] = value
    for index, row in enumerate(rows):
        if 0 <= row < depth:
            volume[row] = planes[index]


def clear_deviations(
    std: NDArray[np.float32],
    planes: NDArray[Any] | Rows,
    rows: Sequence[int],
    limits: Limits = NO_LIMITS,
) -> None:
    """Set the standard deviations (Z, Y, X) of voxels without data; arguments as in `put_back`."""
    for index, (row, above) in enumerate(pairwise(rows)):
        for value, nothing in _without_data(planes[index], planes[index + 1], limits):
            for z in range(max(row + 1, 0), min(above, len(std))):
                std[z][nothing] = 0.0 if np.isfinite(value) else np.nan


def _without_data(
    plane: NDArray[Any], following: NDArray[Any], limits: Limits
) -> Iterable[tuple[float, NDArray[np.bool_]]]:
    """Give the value and the place of voxels without data between two planes."""
    if limits.outside is not None:
        nothing = (plane == limits.outside) & (following == limits.outside)
        if nothing.any():
            yield limits.outside, nothing
    if plane.dtype.kind == "f":
        nothing = ~np.isfinite(plane) & ~np.isfinite(following)
        if nothing.any():
            yield np.nan, nothing


def fill_along_z(planes: NDArray[Any]) -> NDArray[Any]:
    """Fill voxels that are not finite from the nearest measured plane, (..., n, Y, X).

    Where no plane has a finite voxel at a place, all stay as they are. Integers come back as given.
    """
    if planes.dtype.kind != "f":
        return planes
    finite = np.isfinite(planes)
    if finite.all():
        return planes
    count = planes.shape[-3]
    index = np.arange(count).reshape(-1, 1, 1)
    below = np.maximum.accumulate(np.where(finite, index, -1), axis=-3)
    turned = np.flip(np.where(finite, index, 2 * count), -3)
    above = np.flip(np.minimum.accumulate(turned, axis=-3), -3)
    has_below, has_above = below >= 0, above < count
    nearer = has_below & (~has_above | (index - below <= above - index))
    source = np.where(nearer, below, np.where(has_above, above, index))
    return np.take_along_axis(planes, source, axis=-3)


def lost_messages(surveyed: Survey, lost: Lost) -> list[str]:
    """Say which planes were lost, or may have been, and what is done; empty if none was."""
    messages = []
    times, channels = len(lost), len(lost[0])
    ends = suspects(surveyed)
    for t, c in np.ndindex(times, channels):
        where = f", time point {t}" if times > 1 else ""
        where += f", channel {c}" if channels > 1 else ""
        for planes, rest in (
            (lost[t][c], "between planes that are not blank: taken as lost, and restored from "
             "the planes around"),
            (ends[t][c], "beside a plane that is not blank: kept, so that the planes restored "
             "there fade; if it was lost, leave it out of the stack"),
        ):  # fmt: skip
            for value, alike in _by_value(surveyed.least[t, c], planes):
                one = len(alike) == 1
                are = "is" if one else "are"
                held = f"{are} {value:g} everywhere"
                if np.isnan(value):
                    held = "holds nothing" if one else "hold nothing"
                messages.append(
                    f"plane{'' if one else 's'} {told_planes(alike)} (counted from 0{where}) "
                    f"{held}, {rest}"
                )
    return messages


def _by_value(values: NDArray[Any], planes: Sequence[int]) -> list[tuple[float, list[int]]]:
    """Sort blank planes by what they hold."""
    groups: dict[str, tuple[float, list[int]]] = {}
    for z in planes:
        groups.setdefault(str(values[z]), (float(values[z]), []))[1].append(z)
    return list(groups.values())


def mended(stack: NDArray[Any], lost: Lost, fill: Sequence[float] | None = None) -> NDArray[Any]:
    """Return a stack (T, C, n, Y, X) without gaps, for what looks at all of its planes.

    Lost planes are interpolated linearly from those around; voxels that are not finite take the
    value of the nearest plane, or that of `fill`, one a channel, where no plane has one.
    """
    complete = stack.copy()
    for t, c in np.ndindex(stack.shape[:2]):
        channel = complete[t, c]
        own = [z for z in range(len(channel)) if z not in lost[t][c]]
        if len(own) < len(channel):
            for below, above in pairwise(own):
                for z in range(below + 1, above):
                    share = (z - below) / (above - below)
                    ends = channel[[below, above]].astype(np.float64)
                    middle = (1 - share) * ends[0] + share * ends[1]
                    channel[z] = middle if channel.dtype.kind == "f" else np.rint(middle)
        channel[...] = fill_along_z(channel)
        if fill is not None:
            np.copyto(channel, fill[c], where=~np.isfinite(channel))
    return complete
