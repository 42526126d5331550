"""Arrays on disk that are read where they are indexed, with dimensions in any order."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


class LazyArray:
    """An array on disk whose dimensions may be transposed, dropped and added, as in NumPy.

    Only indexed voxels are read, in native byte order. Dimensions that are dropped or added have
    length 1.

    Parameters
    ----------
    stored
        An object with shape and dtype that is indexed by integers and slices, such as a Zarr array
        or a memory-mapped file.
    order
        Index in `stored` of each dimension; None for an added one of length 1.
    """

    def __init__(self, stored: Any, order: Sequence[int | None] | None = None) -> None:
        self._stored = stored
        self._order = tuple(range(len(stored.shape)) if order is None else order)
        lengths = [1 if d is None else int(stored.shape[d]) for d in self._order]
        self.shape: tuple[int, ...] = tuple(lengths)
        self.dtype = np.dtype(stored.dtype).newbyteorder("=")

    @property
    def ndim(self) -> int:
        """Number of dimensions."""
        return len(self.shape)

    @property
    def chunks(self) -> tuple[int, ...]:
        """Shape of the blocks that are decoded at once; whole planes of memory-mapped files."""
        stored = getattr(self._stored, "chunks", None)
        if stored is None:
            stored = (*(1,) * (len(self._stored.shape) - 2), *self._stored.shape[-2:])
        return tuple(1 if d is None else int(stored[d]) for d in self._order)

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        size: int = self.size * self.dtype.itemsize
        return size

    def __len__(self) -> int:
        return self.shape[0]

    def transpose(self, *axes: Any) -> LazyArray:
        """Return the array with its dimensions in another order."""
        order = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        order = range(self.ndim)[::-1] if order in ((), None) else order
        order = [operator.index(axis) for axis in order]
        if sorted(axis % self.ndim for axis in order) != list(range(self.ndim)):
            raise ValueError(f"got axes {order}, expected each of {self.ndim} once")
        return LazyArray(self._stored, [self._order[axis] for axis in order])

    def squeeze(self, axis: int | tuple[int, ...] | None = None) -> LazyArray:
        """Return the array without dimensions of length 1: all of these, or `axis`."""
        if axis is None:
            axis = tuple(i for i, n in enumerate(self.shape) if n == 1)
        dropped = {a % self.ndim for a in ((axis,) if isinstance(axis, int) else axis)}
        if any(self.shape[i] != 1 for i in dropped):
            raise ValueError(f"got dimensions {sorted(dropped)} of shape {self.shape}, expected 1")
        return LazyArray(self._stored, [d for i, d in enumerate(self._order) if i not in dropped])

    def reshape(self, *shape: Any) -> LazyArray:
        """Return the array with dimensions of length 1 added or dropped, in the same order."""
        wanted = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
        longer = [d for d, n in zip(self._order, self.shape, strict=True) if n != 1]
        if [n for n in wanted if n != 1] != [n for n in self.shape if n != 1]:
            raise ValueError(f"got shape {wanted}, expected {self.shape} but for lengths of 1")
        rest = iter(longer)
        return LazyArray(self._stored, [None if n == 1 else next(rest) for n in wanted])

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part, given by integers and slices of step 1."""
        full_index = self._complete(index if isinstance(index, tuple) else (index,))
        taken: list[Any] = [0] * len(self._stored.shape)
        kept = []  # dimensions of the result, as in `order`, and their slices
        for part, length, dimension in zip(full_index, self.shape, self._order, strict=True):
            if isinstance(part, slice):
                start, stop, step = part.indices(length)
                if step != 1:
                    raise IndexError(f"got a step of {step}, expected 1")
                part = slice(start, max(start, stop))
                kept.append((dimension, part))
            else:
                number = operator.index(part)
                if not -length <= number < length:
                    raise IndexError(f"got index {number} of {length}")
                part = number % length
            if dimension is not None:
                taken[dimension] = part
        voxels = np.asarray(self._stored[tuple(taken)])
        stayed = [d for d, part in enumerate(taken) if isinstance(part, slice)]
        voxels = voxels.transpose([stayed.index(d) for d, _ in kept if d is not None])
        added = tuple(i for i, (d, _) in enumerate(kept) if d is None)
        voxels = np.expand_dims(voxels, added)
        added_index = tuple(part if d is None else slice(None) for d, part in kept)
        return np.asarray(voxels[added_index]).astype(self.dtype, copy=False)

    def _complete(self, index: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return an index with one entry per dimension."""
        if Ellipsis in index:
            position = index.index(Ellipsis)
            filled = (slice(None),) * (self.ndim - len(index) + 1)
            index = (*index[:position], *filled, *index[position + 1 :])
        if len(index) > self.ndim:
            raise IndexError(f"got {len(index)} indices for {self.ndim} dimensions")
        return (*index, *(slice(None),) * (self.ndim - len(index)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole array."""
        return self[...].astype(dtype or self.dtype, copy=False)


class AxisSubset:
    """Some indices along one dimension of an array on disk, in any order; see `LazyArray`.

    Parameters
    ----------
    stored
        The array.
    dimension
        Dimension along which indices are selected.
    indices
        The selected indices.
    """

    def __init__(self, stored: Any, dimension: int, indices: Sequence[int]) -> None:
        self._stored, self._dimension, self._indices = stored, dimension, tuple(indices)
        self.shape: tuple[int, ...] = tuple(
            len(indices) if d == dimension else int(n) for d, n in enumerate(stored.shape)
        )
        self.dtype = stored.dtype
        chunks = getattr(stored, "chunks", None)
        self.chunks = (
            None
            if chunks is None
            else tuple(1 if d == dimension else int(n) for d, n in enumerate(chunks))
        )

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        """Read a part, given by an integer or a slice of step 1 for each dimension."""
        at = self._dimension
        chosen = self._indices[index[at]]
        if isinstance(chosen, int):
            return np.asarray(self._stored[(*index[:at], chosen, *index[at + 1 :])])
        if chosen and chosen == tuple(range(chosen[0], chosen[-1] + 1)):  # consecutive: one read
            part = slice(chosen[0], chosen[-1] + 1)
            return np.asarray(self._stored[(*index[:at], part, *index[at + 1 :])])
        kept = sum(isinstance(part, slice) for part in index[:at])
        parts = [np.asarray(self._stored[(*index[:at], p, *index[at + 1 :])]) for p in chosen]
        return (
            np.stack(parts, axis=kept)
            if parts
            else np.asarray(self._stored[(*index[:at], slice(0, 0), *index[at + 1 :])])
        )
