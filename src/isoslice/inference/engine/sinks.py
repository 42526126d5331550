"""Where restored blocks go: an array, or an OME-Zarr image on the disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from isoslice.data.box import Box
from isoslice.data.coarse import renamed
from isoslice.inference.fields import Files
from isoslice.io.formats.omezarr.shards import ShardedImage


class Sink(Protocol):
    """A volume that is written block by block."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its voxels."""

    def write(self, time: int, channel: int, box: Box, voxels: NDArray[Any]) -> Files:
        """Write a block (Z, Y, X) of a time point and channel; its coarse axis is called Z."""


@dataclass(frozen=True)
class ArraySink:
    """A volume in memory, (T, C, Z, Y, X)."""

    array: NDArray[Any]

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of its voxels."""
        return self.array.dtype

    def write(self, time: int, channel: int, box: Box, voxels: NDArray[Any]) -> Files:
        """Copy a block."""
        self.array[(time, channel, *box.slices())] = voxels
        return {}


@dataclass(frozen=True)
class ZarrSink:
    """An OME-Zarr image whose blocks are files; see `Sink`.

    Attributes
    ----------
    image
        Its arrays.
    along
        What the coarse axis is really called.
    dtype
        Type of its voxels.
    """

    image: ShardedImage
    along: str
    dtype: np.dtype[Any]

    def write(self, time: int, channel: int, box: Box, voxels: NDArray[Any]) -> Files:
        """Write a block, and flush its files to the disk."""
        names, axes = renamed("ZYX", self.along), self.image.axes
        starts: Mapping[str, int] = {
            **dict(zip(names, box.start, strict=True)),
            "T": time,
            "C": channel,
        }
        lengths = dict(zip(names, voxels.shape, strict=True))
        part = voxels.transpose([names.index(axis) for axis in "ZYX"])
        part = np.ascontiguousarray(part).reshape([lengths.get(axis, 1) for axis in axes])
        files = self.image.write([starts[axis] for axis in axes], part)
        return {Path(self.image.path, name): size for name, size in files.items()}
