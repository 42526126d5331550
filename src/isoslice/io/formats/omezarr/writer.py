"""Writing OME-Zarr 0.5: a volume with a pyramid."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np

from isoslice.data.volume import AXES, Volume
from isoslice.io.formats.omezarr.metadata import describe
from isoslice.io.formats.omezarr.shards import create_image
from isoslice.io.notes import make_note

#: Side of the blocks that are written at once, each to one file, in voxels; of float64, half.
_BLOCK_SIDE = 256


def write_omezarr(path: Path, volume: Volume) -> None:
    """Write `volume` as an OME-Zarr 0.5 image (Zarr format 3), axes in the order TCZYX."""
    axes = "".join(axis for axis in AXES if axis in volume.axes)
    data = volume.data.transpose([volume.axes.index(axis) for axis in axes])
    side = _BLOCK_SIDE if data.dtype.itemsize <= 4 else _BLOCK_SIDE // 2
    block = [min(n, side) if a in "ZYX" else 1 for a, n in zip(axes, data.shape, strict=True)]
    image = create_image(path, axes, data.shape, data.dtype, volume.spacing, block)
    steps = zip(data.shape, block, strict=True)
    for start in itertools.product(*(range(0, n, step) for n, step in steps)):
        region = tuple(slice(a, a + step) for a, step in zip(start, block, strict=True))
        image.write(start, np.asarray(data[region]))
    image.finish(describe(volume, axes), make_note(volume, axes))
