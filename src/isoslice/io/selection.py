"""Selection of channels and time points, before any voxel is read."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.io.lazy_array import AxisSubset, LazyArray


def select(volume: Volume, channel: str | None = None, time: str | None = None) -> Volume:
    """Select channels and time points of a volume; the axis of a single one is dropped.

    Parameters
    ----------
    volume
        In memory or on disk.
    channel
        Numbers from 0 or names, separated by commas.
    time
        A number from 0, or a range ``A:B`` (B exclusive).

    Raises
    ------
    DataError
        If there is no such channel or time point.
    """
    if channel is not None:
        numbers = _channels(volume, channel)
        volume = _take(volume, "C", numbers)
        names = volume.channel_names
        volume = replace(
            volume,
            channel_names=None if names is None else tuple(names[c] for c in numbers),
            metadata=volume.metadata.of_channels(numbers),
        )
    if time is not None:
        frames = _times(volume, time)
        volume = _take(volume, "T", frames)
        volume = replace(volume, metadata=volume.metadata.later(frames[0]))
    return volume


def _take(volume: Volume, axis: str, numbers: list[int]) -> Volume:
    """Keep the indices `numbers` along one axis, which is dropped if only one is left."""
    if axis not in volume.axes:
        return volume
    dimension = volume.axes.index(axis)
    if isinstance(volume.data, LazyArray):
        data: Any = LazyArray(AxisSubset(volume.data, dimension, numbers))
    else:
        data = volume.data.take(numbers, axis=dimension)
    axes = volume.axes
    if len(numbers) == 1:
        data, axes = data.squeeze(dimension), axes[:dimension] + axes[dimension + 1 :]
    return replace(volume, data=data, axes=axes)


def _channels(volume: Volume, text: str) -> list[int]:
    count, names = volume.size("C"), volume.channel_names or ()
    numbers = []
    for part in [text] if text in names else text.split(","):
        name = part.strip()
        if name in names:
            numbers.append(names.index(name))
        elif name.isdecimal() and int(name) < count:
            numbers.append(int(name))
        else:
            known = f": {', '.join(names)}" if names else ""
            raise DataError(
                f"{volume.source}: got channel {name!r}, expected a number from 0 to {count - 1} "
                f"or a name{known}; for example --channel 0"
            )
    if len(set(numbers)) != len(numbers):
        raise DataError(
            f"{volume.source}: got channels {text!r}, expected each "
            f"once; for example --channel {','.join(map(str, dict.fromkeys(numbers)))}"
        )
    return numbers


def _times(volume: Volume, text: str) -> list[int]:
    count = volume.size("T")
    first, colon, last = (part.strip() for part in text.partition(":"))
    if first.isdecimal() and not colon:
        numbers = [int(first)]
    elif colon and all(part == "" or part.isdecimal() for part in (first, last)):
        numbers = list(range(int(first or 0), int(last or count)))
    else:
        numbers = []
    if not numbers or numbers[-1] >= count:
        raise DataError(
            f"{volume.source}: got time {text!r}, expected a number from 0 to {count - 1}, or a "
            f"range such as 0:{count}; for example --time 0"
        )
    return numbers
