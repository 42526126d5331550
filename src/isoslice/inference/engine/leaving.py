"""Blocks on their way into volumes: brought to intensities on the device, then written by the host.

The two halves are apart, so that the host writes one block while the device computes the next.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Box
from isoslice.data.frames import (
    Frame,
    Rows,
    clear_deviations,
    clear_without_data,
    put_back,
)
from isoslice.data.grid import planes_around
from isoslice.data.normalization import Normalization
from isoslice.data.volume import Volume
from isoslice.inference.engine.sinks import Sink
from isoslice.inference.fields import Files
from isoslice.inference.intensities import can_make, deviations, inverted
from isoslice.runtime.transfer import to_host


@dataclass(frozen=True)
class Leaving:
    """Where blocks of a frame go.

    Attributes
    ----------
    sink
        The volume that they become a part of.
    holds
        Intensities with measured planes as they are; intensities without, where planes are no
        points; or standard deviations.
    volume
        The stack, its coarse axis called Z.
    frame
        Which time point and channels.
    normalization
        Of the frame's channels.
    """

    sink: Sink
    holds: Literal["planes", "intensities", "deviations"]
    volume: Volume
    frame: Frame
    normalization: Normalization

    def start(self, box: Box, values: Tensor) -> Callable[[], Files]:
        """Bring a block (C, z, y, x) to intensities where it lies, and begin to copy it.

        Returns
        -------
        What the host does then, in any thread: put measured planes back, write the block, and
        return its files.
        """
        scaled, dtype = self.normalization, self.sink.dtype
        if self.holds == "deviations":
            arriving = to_host(deviations(values, scaled))
        elif can_make(dtype):
            copied = to_host(inverted(values, scaled, dtype))
            arriving = lambda: copied().view(dtype)  # noqa: E731
        else:
            plain = to_host(values)
            arriving = lambda: scaled.invert(plain(), dtype)  # noqa: E731
        return partial(self._written, box, arriving)

    def _written(self, box: Box, arriving: Callable[[], NDArray[Any]]) -> Files:
        block = arriving()
        self._changed(box, block)
        files: dict[Path, int] = {}
        for channel, voxels in zip(self._channels, block, strict=True):
            files |= self.sink.write(self.frame.time, channel, box, voxels)
        return files

    @property
    def _channels(self) -> range:
        return range(self.volume.size("C"))[self.frame.channels]

    def _changed(self, box: Box, block: NDArray[Any]) -> None:
        """Put measured planes in and around a block back, or clear what has no data, in place."""
        change = {
            "planes": put_back,
            "intensities": clear_without_data,
            "deviations": clear_deviations,
        }[self.holds]
        frame, (top, _, _), (_, y, x) = self.frame, box.start, box.slices()
        limits_of = self.normalization.limits_of(len(self._channels))
        for voxels, measured, channel, limits in zip(
            block, frame.measured, self._channels, limits_of, strict=True
        ):
            places = frame.rows(measured)
            first, last, _ = planes_around(places, top, top + box.shape[0])
            around = measured[first : last + 1]
            planes = slice(around[0], around[-1] + 1)
            part = self.volume.read((frame.time, channel, planes, y, x))
            rows = [z - top for z in places.nearest[first : last + 1]]
            change(voxels, Rows(part, [z - planes.start for z in around]), rows, limits)
