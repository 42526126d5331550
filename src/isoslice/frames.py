"""What is restored at once: a time point of a stack, and where its measured planes lie."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isoslice.geometry import PlaneGrid
from isoslice.survey import Limits, Survey, told_planes

#: Planes that were lost, for each time point and channel.
Lost = Sequence[Sequence[Sequence[int]]]
#: Channels that are restored one by one draw noise of their own: detail that two channels invent
#: must not look as if they belonged together.
CHANNEL_SEED = 1_000_003


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
    volume: NDArray[np.generic],
    planes: NDArray[np.generic],
    rows: Sequence[int],
    limits: Limits = Limits(),
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
    for (row, above), (plane, following) in zip(pairwise(rows), pairwise(planes), strict=True):
        between = range(max(row + 1, 0), min(above, depth))
        for value, nothing in _without_data(plane, following, limits):
            for z in between:
                volume[z][nothing] = value
    for row, plane in zip(rows, planes, strict=True):
        if 0 <= row < depth:
            volume[row] = plane


def clear_deviations(
    std: NDArray[np.float32],
    planes: NDArray[np.generic],
    rows: Sequence[int],
    limits: Limits = Limits(),
) -> None:
    """Set the standard deviations (Z, Y, X) of voxels without data; arguments as in `put_back`."""
    for (row, above), (plane, following) in zip(pairwise(rows), pairwise(planes), strict=True):
        for value, nothing in _without_data(plane, following, limits):
            for z in range(max(row + 1, 0), min(above, len(std))):
                std[z][nothing] = 0.0 if np.isfinite(value) else np.nan


def _without_data(
    plane: NDArray[np.generic], following: NDArray[np.generic], limits: Limits
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


def fill_along_z(planes: NDArray[np.generic]) -> NDArray[np.generic]:
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


def lost_messages(found: Survey, lost: Lost) -> list[str]:
    """Say which planes were lost, and what is done about it; empty if none was."""
    messages = []
    times, channels = len(lost), len(lost[0])
    for t, of_channels in enumerate(lost):
        for c, planes in enumerate(of_channels):
            if not planes:
                continue
            where = f", time point {t}" if times > 1 else ""
            where += f", channel {c}" if channels > 1 else ""
            value = found.least[t, c, planes[0]]
            held = "holds nothing" if np.isnan(value) else f"is {value:g} everywhere"
            several = "planes" if len(planes) > 1 else "plane"
            messages.append(
                f"{several} {told_planes(planes)} (counted from 0{where}) {held}, between planes "
                "that are not blank: taken as lost, and restored from the planes around"
            )
    return messages

