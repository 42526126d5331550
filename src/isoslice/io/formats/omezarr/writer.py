"""Writing OME-Zarr 0.5: a volume in memory, with a pyramid."""

from __future__ import annotations

import itertools
from pathlib import Path

from isoslice.data.volume import Volume
from isoslice.io.formats.omezarr.metadata import describe
from isoslice.io.formats.omezarr.shards import create_image
from isoslice.io.notes import make_note

#: The order that the specification demands.
ORDER = "TCZYX"
#: Longest side of a part that is written at once, and becomes one file.
_PART = 512


def write_omezarr(path: Path, volume: Volume) -> None:
    """Write `volume` as an OME-Zarr 0.5 image (Zarr format 3), axes in the order TCZYX."""
    axes = "".join(axis for axis in ORDER if axis in volume.axes)
    data = volume.data.transpose([volume.axes.index(axis) for axis in axes])
    core = [min(n, _PART) if a in "ZYX" else 1 for a, n in zip(axes, data.shape, strict=True)]
    image = create_image(path, axes, data.shape, data.dtype, volume.spacing, core)
    steps = zip(data.shape, core, strict=True)
    for start in itertools.product(*(range(0, n, step) for n, step in steps)):
        place = tuple(slice(a, a + step) for a, step in zip(start, core, strict=True))
        image.write(start, data[place])
    image.finish(describe(volume, axes), make_note(volume, axes))
