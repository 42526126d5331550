"""One array of volumes that are data sets by time point and channel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.io.formats.hdf5.integrity import Stored


class Grid:
    """Volumes (Z, Y, X) by time point and channel as one array (T, C, Z, Y, X); see `LazyArray`.

    Parameters
    ----------
    volumes
        Channels of each time point, all of one shape and type.

    Raises
    ------
    ValueError
        If shapes or types differ.
    """

    def __init__(self, volumes: Sequence[Sequence[Stored]]) -> None:
        first = volumes[0][0]
        for one in (volume for channels in volumes for volume in channels):
            if one.shape != first.shape or one.dtype != first.dtype:
                raise ValueError(
                    f"one of its volumes has shape {one.shape} ({one.dtype}), expected "
                    f"{first.shape} ({first.dtype}) as the first"
                )
        self._volumes = volumes
        self.shape: tuple[int, ...] = (len(volumes), len(volumes[0]), *first.shape)
        self.dtype = first.dtype
        self.chunks = (1, 1, *(first.chunks or (1, *first.shape[1:])))

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        """Read a part, given by an integer or a slice of step 1 for each dimension."""
        times, channels, inner = index[0], index[1], index[2:]
        volumes = [
            [self._volumes[t][c][inner] for c in _range(channels, self.shape[1])]
            for t in _range(times, self.shape[0])
        ]
        if not (volumes and volumes[0]):
            rest = np.broadcast_to(self.dtype.type(0), self.shape[2:])[inner].shape
            data = np.empty((len(volumes), len(_range(channels, self.shape[1])), *rest), self.dtype)
        else:
            data = np.stack([np.stack(each) for each in volumes])
        kept = tuple(slice(None) if isinstance(part, slice) else 0 for part in (times, channels))
        return np.asarray(data[kept])


def _range(part: int | slice, length: int) -> Sequence[int]:
    return range(length)[part] if isinstance(part, slice) else [part]
