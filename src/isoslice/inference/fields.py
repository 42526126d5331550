"""Where a frame's fields are between stages: in memory, or on the disk (`engine.disk`)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import (
    Region,
    SlicePlane,
    Triple,
    block_count,
    blocks_meeting,
    nth_block,
)

CPU = torch.device("cpu")

#: Files that were written, safely on the disk, and their bytes; none in memory.
Files = Mapping[Path, int]


@dataclass(frozen=True)
class Layout:
    """Shape of a frame's fields, and how they are cut.

    Attributes
    ----------
    channels, shape
        Of the volume: C, and (Z, Y, X).
    dtype
        Of fields that passes leave.
    slabs
        Slices of a slab of XZ slices, and of one of YZ slices.
    block
        Shape of a block, (Z, Y, X).
    """

    channels: int
    shape: Triple
    dtype: torch.dtype
    slabs: tuple[int, int]
    block: Triple

    def slab_ranges(self, plane: SlicePlane) -> list[slice]:
        """List the slabs of a direction: along Y of XZ slices, along X of YZ slices."""
        number = 0 if plane == "XZ" else 1
        length, step = self.shape[1 + number], self.slabs[number]
        return [slice(a, min(a + step, length)) for a in range(0, length, step)]

    def slab(self, plane: SlicePlane, index: int) -> Region:
        """Return where a slab lies."""
        lateral = self.slab_ranges(plane)[index]
        z, y, x = (slice(0, n) for n in self.shape)
        return (z, lateral, x) if plane == "XZ" else (z, y, lateral)

    @property
    def blocks(self) -> int:
        """How many blocks there are."""
        return block_count(self.shape, self.block)


class FieldStore(Protocol):
    """Fields of one frame. What a stage leaves is read only once all of its tasks are done."""

    @property
    def layout(self) -> Layout:
        """Shape of the fields, and how they are cut."""

    @property
    def device(self) -> torch.device:
        """Where tensors that are read lie, wherever the store keeps them."""

    def start(self, name: str | None, plane: SlicePlane, index: int, *, keep: bool) -> Tensor:
        """Return a slab (C, z, y, x) of a field, or zeros, to be changed in place.

        Parameters
        ----------
        name
            The field; None for zeros.
        plane, index
            Which slab.
        keep
            Whether the field is needed later.
        """

    def write(self, name: str, plane: SlicePlane, index: int, values: Tensor) -> Files:
        """Store a slab."""

    def read(self, name: str, place: Region) -> Tensor:
        """Read any part of a field that passes left, (C, z, y, x); a copy, in single precision."""

    def write_block(self, name: str, index: int, values: NDArray[np.float32]) -> Files:
        """Store a block (C, z, y, x)."""

    def read_blocks(self, name: str, place: Region) -> NDArray[np.float32]:
        """Read any part of a field that was stored in blocks; a copy."""

    def write_numbers(self, name: str, numbers: Any, index: int | None = None) -> Files:
        """Store numbers, nested in lists and dictionaries; of a block, if it is given."""

    def numbers(self, name: str, index: int | None = None) -> Any:
        """Read them."""

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all other volumes."""


@dataclass
class MemoryStore:
    """Fields in memory, or in a GPU's; see `FieldStore`.

    Attributes
    ----------
    layout, device
        See `FieldStore`.
    home
        Where they are kept: `device`, or the CPU if they do not fit there.
    """

    layout: Layout
    device: torch.device = CPU
    home: torch.device = CPU
    _volumes: dict[str, Tensor] = field(default_factory=dict)
    _blocks: dict[str, dict[int, NDArray[np.float32]]] = field(default_factory=dict)
    _numbers: dict[tuple[str, int | None], Any] = field(default_factory=dict)

    def start(self, name: str | None, plane: SlicePlane, index: int, *, keep: bool) -> Tensor:
        """Return the field itself, where it is one slab and not needed any more."""
        place = self.layout.slab(plane, index)
        if name is None:
            return self._zeros(tuple(part.stop - part.start for part in place), self.device)
        if not keep and len(self.layout.slab_ranges(plane)) == 1:
            return self._volumes.pop(name).to(self.device)
        return self._volumes[name][(slice(None), *place)].to(self.device, copy=True)

    def write(self, name: str, plane: SlicePlane, index: int, values: Tensor) -> Files:
        """Store a slab."""
        if len(self.layout.slab_ranges(plane)) == 1:
            self._volumes[name] = values.to(self.home)
        else:
            if name not in self._volumes:
                self._volumes[name] = self._zeros(self.layout.shape, self.home)
            self._volumes[name][(slice(None), *self.layout.slab(plane, index))] = values
        return {}

    def read(self, name: str, place: Region) -> Tensor:
        """Copy a part, in single precision."""
        part = self._volumes[name][(slice(None), *place)]
        return part.to(self.device, torch.float32, copy=True)

    def write_block(self, name: str, index: int, values: NDArray[np.float32]) -> Files:
        """Store a block."""
        self._blocks.setdefault(name, {})[index] = values
        return {}

    def read_blocks(self, name: str, place: Region) -> NDArray[np.float32]:
        """Copy a part of all blocks that it meets."""
        return gather_blocks(self.layout, place, self._blocks[name].__getitem__)

    def write_numbers(self, name: str, numbers: Any, index: int | None = None) -> Files:
        """Store numbers."""
        self._numbers[name, index] = numbers
        return {}

    def numbers(self, name: str, index: int | None = None) -> Any:
        """Return numbers."""
        return self._numbers[name, index]

    def keep_only(self, names: Iterable[str]) -> None:
        """Forget all other volumes."""
        kept = set(names)
        self._volumes = {name: v for name, v in self._volumes.items() if name in kept}
        self._blocks = {name: b for name, b in self._blocks.items() if name in kept}

    def _zeros(self, shape: Sequence[int], device: torch.device) -> Tensor:
        layout = self.layout
        return torch.zeros(layout.channels, *shape, dtype=layout.dtype, device=device)


def gather_blocks(
    layout: Layout, place: Region, block_of: Callable[[int], NDArray[np.float32]]
) -> NDArray[np.float32]:
    """Put a part together from the blocks that it meets: `block_of(index)` is (C, z, y, x)."""
    lengths = tuple(part.stop - part.start for part in place)
    values = np.empty((layout.channels, *lengths), np.float32)
    for index in blocks_meeting(place, layout.shape, layout.block):
        box = nth_block(index, layout.shape, layout.block)
        inside, target = [], []
        for part, start, stop in zip(place, box.start, box.stop, strict=True):
            first, last = max(part.start, start), min(part.stop, stop)
            inside.append(slice(first - start, last - start))
            target.append(slice(first - part.start, last - part.start))
        values[(slice(None), *target)] = block_of(index)[(slice(None), *inside)]
    return values
