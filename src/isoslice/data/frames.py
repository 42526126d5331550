"""Frames: the time points (and channels) that are restored at once, and their measured planes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.data.survey import (
    MISSING,
    Damage,
    Limits,
    Survey,
    format_planes,
    suspect_end_planes,
)

if TYPE_CHECKING:
    pass

#: Numbers of the lost planes, for each time point and channel.
Lost = Sequence[Sequence[Sequence[int]]]
#: Added to the seed per channel where channels are restored one by one: with the same noise,
#: invented detail would look as if it belonged together.
CHANNEL_SEED_STEP = 1_000_003
NO_LIMITS = Limits()


@dataclass(frozen=True)
class Frame:
    """A time point with all channels, or with one where channels are restored one by one.

    Attributes
    ----------
    time
        Index of the time point.
    channels
        Its channels in the stack.
    kept
        Measured planes to restore from: those lost in no channel.
    grid
        Their positions in the volume.
    measured
        Measured planes of each channel; as points they are copied to the volume unchanged.
    positions
        Of all planes of the stack, lost ones too, in output planes.
    seed
        Of the noise.
    """

    time: int
    channels: slice
    kept: tuple[int, ...]
    grid: PlaneGrid
    measured: tuple[tuple[int, ...], ...]
    positions: tuple[float, ...]
    seed: int

    def rows(self, measured: Sequence[int]) -> PlaneGrid:
        """Return where measured planes lie, by their numbers in the stack."""
        return PlaneGrid(tuple(self.positions[z] for z in measured))


class Rows:
    """Some planes of a stack (n, Y, X), read one at a time without copying all."""

    def __init__(self, stack: NDArray[Any], numbers: Sequence[int]) -> None:
        self._stack, self._numbers = stack, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, index: int) -> NDArray[Any]:
        """Return a plane."""
        plane: NDArray[Any] = self._stack[self._numbers[index]]
        return plane


def frames_of(
    times: int,
    channels: int,
    positions: tuple[float, ...],
    lost: Lost,
    separate: bool,
    seed: int,
) -> list[Frame]:
    """List the frames of a stack.

    Parameters
    ----------
    times, channels
        How many there are.
    positions
        Of the planes, in output planes.
    lost
        See `survey.lost_planes`.
    separate
        Whether channels are restored one by one.
    seed
        Of the noise.
    """
    planes = len(positions)
    groups = [slice(c, c + 1) for c in range(channels)] if separate else [slice(0, channels)]
    frames = []
    for t in range(times):
        measured = [tuple(z for z in range(planes) if z not in lost[t][c]) for c in range(channels)]
        for group in groups:
            kept = tuple(z for z in range(planes) if all(z in each for each in measured[group]))
            grid = PlaneGrid(tuple(positions[z] for z in kept))
            noise = seed + CHANNEL_SEED_STEP * (group.start if separate else 0)
            frames.append(Frame(t, group, kept, grid, tuple(measured[group]), positions, noise))
    return frames


def put_back(
    volume: NDArray[Any],
    planes: NDArray[Any] | Rows,
    rows: Sequence[int],
    limits: Limits = NO_LIMITS,
) -> None:
    """Copy measured planes to a restored channel, and clear voxels without data, in place.

    Measured planes are copied bit for bit. Voxels between two measured ones without data (not
    finite, or equal to `limits.outside`) get no data either.

    Parameters
    ----------
    volume
        One channel, or some of its planes, (Z, Y, X); changed in place.
    planes
        The measured planes in and around it, (n, Y, X), as read.
    rows
        Their indices in `volume`, rising; some may lie outside.
    limits
        Of the channel.
    """
    _clear_between(volume, planes, rows, limits)
    for index, row in enumerate(rows):
        if 0 <= row < len(volume):
            volume[row] = planes[index]


def clear_without_data(
    volume: NDArray[Any],
    planes: NDArray[Any] | Rows,
    rows: Sequence[int],
    limits: Limits = NO_LIMITS,
) -> None:
    """Clear voxels without data as `put_back` does, but keep restored values on measured planes.

    Where planes are blurred, no voxel of the volume was measured by itself.
    """
    _clear_between(volume, planes, rows, limits)
    for index, row in enumerate(rows):
        if 0 <= row < len(volume):
            for value, empty in _without_data(planes[index], planes[index], limits):
                volume[row][empty] = value


def _clear_between(
    volume: NDArray[Any], planes: NDArray[Any] | Rows, rows: Sequence[int], limits: Limits
) -> None:
    for index, (row, above) in enumerate(pairwise(rows)):
        between = range(max(row + 1, 0), min(above, len(volume)))
        if not between:
            continue
        for value, empty in _without_data(planes[index], planes[index + 1], limits):
            for z in between:
                volume[z][empty] = value


def clear_deviations(
    std: NDArray[np.float32],
    planes: NDArray[Any] | Rows,
    rows: Sequence[int],
    limits: Limits = NO_LIMITS,
) -> None:
    """Set the standard deviations (Z, Y, X) of voxels without data; arguments as in `put_back`."""
    for index, (row, above) in enumerate(pairwise(rows)):
        for value, empty in _without_data(planes[index], planes[index + 1], limits):
            for z in range(max(row + 1, 0), min(above, len(std))):
                std[z][empty] = 0.0 if np.isfinite(value) else np.nan


def _without_data(
    plane: NDArray[Any], following: NDArray[Any], limits: Limits
) -> Iterable[tuple[float, NDArray[np.bool_]]]:
    """Yield values and masks (Y, X) of voxels without data in two successive planes."""
    if limits.outside is not None:
        empty = (plane == limits.outside) & (following == limits.outside)
        if empty.any():
            yield limits.outside, empty
    if plane.dtype.kind == "f":
        empty = ~np.isfinite(plane) & ~np.isfinite(following)
        if empty.any():
            yield np.nan, empty


def fill_along_z(planes: NDArray[Any]) -> NDArray[Any]:
    """Fill non-finite voxels of planes (..., n, Y, X) from the nearest plane along Z.

    Where no plane has a finite voxel, all stay as they are. Integers are returned as they are.
    """
    if planes.dtype.kind != "f":
        return planes
    finite = np.isfinite(planes)
    if finite.all():
        return planes
    count = planes.shape[-3]
    index = np.arange(count).reshape(-1, 1, 1)
    below = np.maximum.accumulate(np.where(finite, index, -1), axis=-3)
    flipped = np.flip(np.where(finite, index, 2 * count), -3)
    above = np.flip(np.minimum.accumulate(flipped, axis=-3), -3)
    has_below, has_above = below >= 0, above < count
    nearer = has_below & (~has_above | (index - below <= above - index))
    source = np.where(nearer, below, np.where(has_above, above, index))
    return np.take_along_axis(planes, source, axis=-3)


def lost_messages(surveyed: Survey, lost: Lost) -> list[str]:
    """List messages on planes that were lost, or may have been, and what is done about it."""
    messages = []
    times, channels = len(lost), len(lost[0])
    ends = suspect_end_planes(surveyed)
    for t, c in np.ndindex(times, channels):
        where = f", time point {t}" if times > 1 else ""
        where += f", channel {c}" if channels > 1 else ""
        messages += _damage_messages(surveyed.damage, t, c, where)
        for planes, rest in (
            ([z for z in lost[t][c] if (t, c, z) not in surveyed.damage.certain],
             "between planes that are not blank: taken as lost, and restored from "
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
                    f"plane{'' if one else 's'} {format_planes(alike)} (counted from 0{where}) "
                    f"{held}, {rest}"
                )
    return messages


def _damage_messages(damage: Damage, t: int, c: int, where: str) -> list[str]:
    """List messages on damaged planes of a channel, those of one kind together."""
    messages = []
    for told, rest in (
        (damage.certain, "taken as damaged, and restored from the planes around; if they are "
         "sound, keep them with --missing none (missing='none')"),
        (damage.doubtful, "kept; if they are damaged, leave them out with --missing {} "
         "(missing='{}')"),
    ):  # fmt: skip
        kinds: dict[str, list[int]] = {}
        for (time, channel, z), reason in told.items():
            if (time, channel) == (t, c) and reason != MISSING:  # whoever said so knows
                kinds.setdefault(reason, []).append(z)
        for reason, planes in kinds.items():
            numbers = format_planes(planes)
            be = (
                "planes {} (counted from 0{}) are"
                if len(planes) > 1
                else "plane {} (counted from 0{}) is"
            )
            advice = (
                rest if len(planes) > 1 else rest.replace("they are", "it is").replace("them", "it")
            )
            said = numbers.replace(" ", "")
            messages.append(f"{be.format(numbers, where)} {reason}: {advice.format(said, said)}")
    return messages


def _by_value(values: NDArray[Any], planes: Sequence[int]) -> list[tuple[float, list[int]]]:
    """Group blank planes by their value."""
    groups: dict[str, tuple[float, list[int]]] = {}
    for z in planes:
        groups.setdefault(str(values[z]), (float(values[z]), []))[1].append(z)
    return list(groups.values())


def without_gaps(
    stack: NDArray[Any],
    lost: Lost,
    fill: Sequence[float] | None = None,
    positions: Sequence[float] | None = None,
) -> NDArray[Any]:
    """Copy a stack (T, C, n, Y, X) with all gaps filled, for code that needs every plane.

    Lost planes are interpolated linearly, where they lie (`positions`, evenly spaced by default);
    non-finite voxels take the value of the nearest plane, or
    of `fill` (one per channel) where no plane has one.
    """
    complete = stack.copy()
    places = range(stack.shape[2]) if positions is None else positions
    for t, c in np.ndindex(stack.shape[:2]):
        channel = complete[t, c]
        measured = [z for z in range(len(channel)) if z not in lost[t][c]]
        if len(measured) < len(channel):
            for below, above in pairwise(measured):
                for z in range(below + 1, above):
                    share = (places[z] - places[below]) / (places[above] - places[below])
                    ends = channel[[below, above]].astype(np.float64)
                    middle = (1 - share) * ends[0] + share * ends[1]
                    channel[z] = middle if channel.dtype.kind == "f" else np.rint(middle)
        channel[...] = fill_along_z(channel)
        if fill is not None:
            np.copyto(channel, fill[c], where=~np.isfinite(channel))
    return complete
