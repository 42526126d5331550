"""Lowest and highest voxel of a volume of any size; of a large one, of a part."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isoslice.data.subsampling import evenly_spaced
from isoslice.data.volume import Volume
from isoslice.io.lazy_array import LazyArray

#: Most bytes that are read of a lazily opened volume, and at a time.
MAX_BYTES, BYTES_AT_ONCE = 2**28, 2**25


def intensity_range(volume: Volume) -> dict[str, Any]:
    """Find the lowest and the highest finite voxel.

    Parameters
    ----------
    volume
        Where it is opened lazily and large, evenly spaced planes are read, and at most the
        middle rows of each.

    Returns
    -------
    ``min`` and ``max``, None where no voxel is finite; of a part also ``planes``, how many were
    read.
    """
    times, channels, depth, height, width = (volume.size(axis) for axis in "TCZYX")
    total = times * channels * depth
    row = max(1, width * volume.data.dtype.itemsize)
    most, rows = total, height
    if isinstance(volume.data, LazyArray) and volume.data.nbytes > MAX_BYTES:
        # Chunks are decoded whole, so planes and channels decoded along count too.
        together = dict(zip(volume.axes, volume.data.chunks, strict=True))
        cost = min(depth, together.get("Z", 1)) * min(channels, together.get("C", 1))
        rows = max(1, min(height, MAX_BYTES // (row * cost)))
        most = max(1, min(total, MAX_BYTES // (row * rows * cost)))
    first, step = (height - rows) // 2, max(1, BYTES_AT_ONCE // row)
    low, high = math.inf, -math.inf
    for number in evenly_spaced(total, most):
        time, channel, plane = (int(n) for n in np.unravel_index(number, (times, channels, depth)))
        for start in range(first, first + rows, step):
            strip = slice(start, min(start + step, first + rows))
            part = volume.read((time, channel, plane, strip, slice(None)))
            if part.dtype.kind == "f":
                part = part[np.isfinite(part)]
            if part.size:
                low, high = min(low, float(part.min())), max(high, float(part.max()))
    known = low <= high
    extremes: dict[str, Any] = {"min": low if known else None, "max": high if known else None}
    if most < total or rows < height:
        extremes["planes"] = f"{most} of {total}" + ("" if rows == height else ", in part")
    return extremes
