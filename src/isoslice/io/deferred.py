"""Voxels of a file that is opened only when one is asked for: some formats are read as a whole."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.io.reading import open_volume


@dataclass(frozen=True)
class DeferredVoxels:
    """Voxels of a file, in another order of the axes; see `lazy_array.LazyArray`.

    Attributes
    ----------
    path
        The file.
    axes, shape, dtype
        Of the voxels, as they are indexed.
    """

    path: Path
    axes: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @cached_property
    def _data(self) -> Any:
        volume = open_volume(self.path)
        kept = [axis for axis in self.axes if axis in volume.axes]
        others = [axis for axis in volume.axes if axis not in kept]  # of length 1
        order = [volume.axes.index(axis) for axis in (*kept, *others)]
        return volume.data.transpose(order).reshape(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the blocks that are decoded at once."""
        chunks = getattr(self._data, "chunks", None)
        return self.shape if chunks is None else tuple(chunks)

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part."""
        return np.asarray(self._data[index])
