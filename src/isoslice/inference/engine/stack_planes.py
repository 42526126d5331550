"""The measured planes of a frame, read from a stack where they are asked for."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Region
from isoslice.data.frames import Frame, fill_along_z
from isoslice.data.grid import planes_around
from isoslice.data.normalization import Normalization, check_finite
from isoslice.data.volume import Volume
from isoslice.inference.fields import CPU
from isoslice.inference.intensities import normalised
from isoslice.inference.interpolated import Base, make_base
from isoslice.io.formats.omezarr.shards import CHUNK_SIDE

#: Voxels of measured planes that are read at once.
_READ = 2**24


@dataclass(frozen=True)
class StackPlanes:
    """Planes of a frame; see `measured.MeasuredPlanes`.

    Attributes
    ----------
    volume
        The stack, its coarse axis called Z.
    frame
        Which time point and channels.
    normalization
        Of the frame's channels.
    """

    volume: Volume
    frame: Frame
    normalization: Normalization

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all of them."""
        channels = len(range(self.volume.size("C"))[self.frame.channels])
        return channels, len(self.frame.kept), self.volume.size("Y"), self.volume.size("X")

    def base(self, place: Region, softening: float | None, device: torch.device) -> Base:
        """Interpolate between the planes around a part."""
        z, y, x = place
        grid = self.frame.grid
        first, last, around = planes_around(grid, z.start, z.stop)
        start = math.floor(grid.known[first])
        planes = self._normalised((slice(first, last + 1), y, x), device)
        return make_base(planes, around, softening, device, slice(z.start - start, z.stop - start))

    def read(self, place: Region) -> NDArray[np.float32]:
        """Read a part."""
        part: NDArray[np.float32] = self._normalised(place, CPU).numpy()
        return part

    def _normalised(self, place: Region, device: torch.device) -> Tensor:
        """Read a part, some planes at a time for memory, and normalise it on a device."""
        z, y, x = (
            slice(*part.indices(length)[:2])
            for part, length in zip(place, self.shape[1:], strict=True)
        )
        scaled, kept = self.normalization, self.frame.kept
        if scaled.fill is not None:  # what stands in for voxels without data may lie on any plane
            every = self._read_kept((slice(0, len(kept)), y, x))
            return normalised(fill_along_z(every)[:, z], scaled, device)
        shape = (self.shape[0], *(part.stop - part.start for part in (z, y, x)))
        planes = torch.empty(shape, device=device)
        step = max(1, _READ // max(1, shape[0] * shape[2] * shape[3]))
        # Whole chunks, where they are cubes.
        step = max(step // CHUNK_SIDE * CHUNK_SIDE, min(step, CHUNK_SIDE))
        for start in range(0, shape[1], step):
            some = slice(z.start + start, min(z.start + start + step, z.stop))
            part = self._read_kept((some, y, x))
            check_finite(part, self.volume.source)  # it may have changed since it was looked at
            planes[:, start : start + step] = normalised(part, scaled, device)
        return planes

    def _read_kept(self, place: Region) -> NDArray[Any]:
        """Read a part of the planes that the frame is restored from, as they are stored."""
        z, y, x = place
        wanted = self.frame.kept[z]
        first, last = wanted[0], wanted[-1]
        part = self.volume.read(
            (self.frame.time, self.frame.channels, slice(first, last + 1), y, x)
        )
        if len(wanted) == last + 1 - first:
            return part
        return part[:, [plane - first for plane in wanted]]
