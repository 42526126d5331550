"""Planes of one channel, part by part, as often as they are asked for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from numpy.typing import NDArray

from isoslice.runtime.progress import Progress

#: Time point, number of the first plane, voxels (n, Y, X).
Part = tuple[int, int, NDArray[Any]]
PlaneParts = Callable[[], Iterable[Part]]


def parts_to_measure(
    starts: Sequence[tuple[int, ...]],
    part: Callable[..., Part],
    channel: int,
    channels: int,
    progress: Progress,
) -> PlaneParts:
    """Return the parts of a channel; each time that they are read, `progress` hears how far it is.

    Parameters
    ----------
    starts, part
        Where each part starts, and what reads it from there.
    channel, channels
        Which of how many, for the user.
    progress
        Hears nothing of a single part.
    """
    passes, name = count(1), "measuring intensities"
    if channels > 1:
        name += f", channel {channel + 1}"
    tell = progress if len(starts) > 1 else Progress()

    def read() -> Iterator[Part]:
        number = next(passes)
        task = name if number == 1 else f"{name}, reading {number}"
        if number == 1:
            tell.update(task, 0.0)  # later readings may end with the first part
        for done, start in enumerate(starts, 1):
            yield part(*start)
            tell.update(task, done / len(starts))

    return read
