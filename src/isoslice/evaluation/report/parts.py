"""What reports of several commands share: which part of a volume is read, how things are called."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.units import SYMBOLS
from isoslice.data.volume import Volume, VoxelSize
from isoslice.evaluation.report.crop import Crop, Reader


def reader(volume: Volume, time: int = 0, channel: int = 0) -> Reader:
    """Read parts (Z, Y, X) of one channel at one time point, and nothing else."""

    def read(z: slice, y: slice, x: slice) -> NDArray[Any]:
        return volume.read((time, channel, z, y, x))

    return read


def shown(read: Reader) -> Reader:
    """Read as `read` does, without voxels that are not finite; see `finite`."""
    return lambda z, y, x: finite(read(z, y, x))


def read_box(volume: Volume, box: Crop, time: int = 0, channel: int = 0) -> NDArray[Any]:
    """Read one part (Z, Y, X) of a channel at a time point."""
    return np.ascontiguousarray(reader(volume, time, channel)(*box.slices))


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """Return voxels (Z, Y, X) that can be shown: those that are not finite as the least that is."""
    if values.dtype.kind != "f":
        return values
    good = np.isfinite(values)
    if good.all():
        return values
    return np.where(good, values, values[good].min() if good.any() else values.dtype.type(0))


def whole_shape(volume: Volume) -> tuple[int, int, int]:
    """Lengths along Z, Y and X."""
    return volume.size("Z"), volume.size("Y"), volume.size("X")


def spacing(volume: Volume) -> tuple[VoxelSize, str]:
    """Voxel size and symbol of its unit; voxels where the size is unknown."""
    size = volume.voxel_size
    if size is None:
        return VoxelSize(1.0, 1.0, 1.0), "voxels"
    return size, SYMBOLS.get(volume.unit or "", volume.unit or "units")


def name_of(volume: Volume) -> str:
    """Return the file's name without its folder."""
    return Path(volume.source).name or volume.source


def which_part(volume: Volume, time: int, channel: int) -> str:
    """Say which channel and time point are shown; empty where there is but one of each."""
    parts = []
    if volume.size("C") > 1:
        named = f" ({volume.channel_names[channel]})" if volume.channel_names else ""
        parts.append(f"channel {channel + 1} of {volume.size('C')}{named}")
    if volume.size("T") > 1:
        parts.append(f"time point {time + 1} of {volume.size('T')}")
    return ", ".join(parts)


def turned_text(along: str) -> str:
    """Say that the coarse axis is called Z on the page, whatever the file calls it."""
    return f"the file's {along} is coarse, and called Z here; its Z is called {along}"


def times(factor: float) -> str:
    """Say a factor: ``4×``."""
    return f"{factor:g}×"


def by(*numbers: float) -> str:
    """Say lengths along several axes: ``8 × 8 × 8``."""
    return " × ".join(f"{n:.4g}" if isinstance(n, float) else str(n) for n in numbers)
