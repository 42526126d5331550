"""Functions that the reports of several commands share: reading parts of volumes, labels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.anatomy import axis_codes
from isoslice.data.units import SYMBOLS
from isoslice.data.volume import Volume, VoxelSize
from isoslice.evaluation.report.crop import Crop, Reader


def reader(volume: Volume, time: int = 0, channel: int = 0) -> Reader:
    """Return a function that reads parts (Z, Y, X) of one channel at one time point."""

    def read(z: slice, y: slice, x: slice) -> NDArray[Any]:
        return volume.read((time, channel, z, y, x))

    return read


def finite_reader(read: Reader) -> Reader:
    """Return a function that reads as `read` does, with finite voxels; see `finite`."""
    return lambda z, y, x: finite(read(z, y, x))


def read_box(volume: Volume, box: Crop, time: int = 0, channel: int = 0) -> NDArray[Any]:
    """Read one part (Z, Y, X) of a channel at a time point."""
    return np.ascontiguousarray(reader(volume, time, channel)(*box.slices))


def finite(values: NDArray[Any]) -> NDArray[Any]:
    """Replace voxels that are NaN or infinite by the lowest finite one."""
    if values.dtype.kind != "f":
        return values
    known = np.isfinite(values)
    if known.all():
        return values
    return np.where(known, values, values[known].min() if known.any() else values.dtype.type(0))


def whole_shape(volume: Volume) -> tuple[int, int, int]:
    """Return the lengths along Z, Y and X."""
    return volume.size("Z"), volume.size("Y"), volume.size("X")


def spacing(volume: Volume) -> tuple[VoxelSize, str]:
    """Return voxel size and symbol of its unit; voxels where the size is unknown."""
    size = volume.voxel_size
    if size is None:
        return VoxelSize(1.0, 1.0, 1.0), "voxels"
    return size, SYMBOLS.get(volume.unit or "", volume.unit or "units")


def towards(volume: Volume) -> tuple[str, ...]:
    """Return where Z, Y and X run to in a patient; empty where that is unknown."""
    place = volume.metadata.orientation
    codes = None if place is None or place.affine is None else axis_codes(place.affine)
    return tuple(codes[::-1]) if codes else ()


def name_of(volume: Volume) -> str:
    """Return the file's name without its folder."""
    return Path(volume.source).name or volume.source


def which_part(volume: Volume, time: int, channel: int) -> str:
    """Name the channel and time point shown; empty where there is only one of each."""
    parts = []
    if volume.size("C") > 1:
        named = f" ({volume.channel_names[channel]})" if volume.channel_names else ""
        parts.append(f"channel {channel + 1} of {volume.size('C')}{named}")
    if volume.size("T") > 1:
        parts.append(f"time point {time + 1} of {volume.size('T')}")
    return ", ".join(parts)


def turned_text(along: str) -> str:
    """Explain that the coarse axis is called Z on the page, whatever the file calls it."""
    return f"the file's {along} is coarse, and called Z here; its Z is called {along}"


def times(factor: float) -> str:
    """Format a factor: ``4×``."""
    return f"{factor:g}×"


def lengths(*numbers: float) -> str:
    """Format lengths along several axes: ``8 × 8 × 8``."""
    return " × ".join(f"{n:.4g}" if isinstance(n, float) else str(n) for n in numbers)
