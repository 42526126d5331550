"""A layer's voxels in a file that the computing process reads, plane by plane."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.volume import DTYPES, Volume, voxel_type_message
from isoslice.errors import DataError
from isoslice.viewer.placement import LayerFacts


def snapshot(data: Any, facts: LayerFacts, folder: Path) -> Path:
    """Write the voxels of a layer, in its own axes and type, to a new file in a folder.

    An array becomes ``.npy``; what is read or computed where it is indexed becomes OME-Zarr, part
    by part. Not for the window's own thread.

    Raises
    ------
    DataError
        If isoslice cannot restore voxels of this type.
    OutputError
        If the folder's disk is full.
    """
    if facts.dtype.name not in DTYPES:
        raise DataError(voxel_type_message(facts.name, facts.dtype.name))
    # A folder for each, so that the file has the layer's name: reports and records show it.
    folder = Path(tempfile.mkdtemp(prefix="stack-", dir=folder))
    name = re.sub(r"[^\w.-]+", "_", facts.name).strip("._") or "stack"
    if not facts.lazy:
        path = folder / f"{name}.npy"
        kept = np.lib.format.open_memmap(path, "w+", facts.dtype, facts.shape)
        for place in np.ndindex(facts.shape[:-2]):
            kept[place] = data[place]
        kept.flush()
        return path
    from isoslice.io.lazy_array import LazyArray
    from isoslice.io.writing import write_volume

    path = folder / f"{name}.ome.zarr"
    voxels: Any = LazyArray(data)
    spacing = dict(facts.spacing)
    write_volume(path, Volume(voxels, facts.axes, spacing, facts.unit, source=facts.name))
    return path
