"""Darkest and brightest voxel of a volume of any size, by a part of it where it is large."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from isoslice.data.subsampling import evenly_spaced
from isoslice.data.volume import Volume
from isoslice.io.lazy_array import LazyArray

#: Bytes that are looked at in a volume that is read where it is indexed, and at a time.
LOOKED_AT, AT_ONCE = 2**28, 2**25


def intensity_range(volume: Volume) -> dict[str, Any]:
    """Return the least and the greatest finite voxel.

    Parameters
    ----------
    volume
        Where it is opened lazily and large, evenly spaced planes are read, and at most the
        middle rows of each.

    Returns
    -------
    ``min`` and ``max``, None where no voxel is finite; of a part, ``planes``, how many were
    looked at.
    """
    times, channels, depth, height, width = (volume.size(axis) for axis in "TCZYX")
    total = times * channels * depth
    row = max(1, width * volume.data.dtype.itemsize)
    most, rows = total, height
    if isinstance(volume.data, LazyArray) and volume.data.nbytes > LOOKED_AT:
        # What is decoded at once costs as much as what is looked at.
        together = dict(zip(volume.axes, volume.data.chunks, strict=True))
        cost = min(depth, together.get("Z", 1)) * min(channels, together.get("C", 1))
        rows = max(1, min(height, LOOKED_AT // (row * cost)))
        most = max(1, min(total, LOOKED_AT // (row * rows * cost)))
    first, step = (height - rows) // 2, max(1, AT_ONCE // row)
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
    found: dict[str, Any] = {"min": None, "max": None}
    if low <= high:
        found = {"min": low, "max": high}
    if most < total or rows < height:
        found["planes"] = f"{most} of {total}" + ("" if rows == height else ", in part")
    return found
