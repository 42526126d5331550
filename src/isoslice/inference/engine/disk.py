"""A frame's fields on the disk: written slab by slab, read across slabs.

A pass over XZ slices leaves slabs of y, the next one wants slabs of x. So a slab's file is cut into
segments, one for each slab of the other direction: what a slab needs is one segment of every file.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Region, SlicePlane, nth_block
from isoslice.errors import OutputError
from isoslice.inference.fields import CPU, Files, Layout, gather_blocks
from isoslice.inference.passes import slices
from isoslice.io.atomic import atomic_write


@dataclass(frozen=True)
class DiskStore:
    """Fields in files of a folder; see `fields.FieldStore`.

    Attributes
    ----------
    layout
        Of the fields.
    folder
        Where they are.
    directions
        Of the slices in which each field is written.
    device
        Where tensors that are read lie.
    """

    layout: Layout
    folder: Path
    directions: Mapping[str, SlicePlane]
    device: torch.device = CPU

    def start(self, name: str | None, plane: SlicePlane, index: int, *, keep: bool) -> Tensor:
        """Read a slab, in which slices lie one after the other; `keep` makes no difference."""
        place = self.layout.slab(plane, index)
        values = self._zeros(plane, place) if name is None else self._read(name, place, plane)
        return values.to(self.device)

    def write(self, name: str, plane: SlicePlane, index: int, values: Tensor) -> Files:
        """Write a slab, whole or not at all, and flush it to the disk."""
        path = self._file(name, index)
        self._make_folder_of(path)
        own = slices(values, plane)
        with atomic_write(path, fsync=True) as stream:
            for segment in self.layout.slab_ranges(_other(plane)):
                part = own[..., segment].contiguous().cpu().numpy()
                stream.write(part.data.cast("B"))
        return {path: path.stat().st_size}

    def read(self, name: str, place: Region) -> Tensor:
        """Read a part, in single precision.

        Raises
        ------
        OutputError
            If a file is missing or damaged.
        """
        return self._read(name, place, "XZ").to(self.device, torch.float32)

    def write_block(self, name: str, index: int, values: NDArray[np.float32]) -> Files:
        """Write a block, whole or not at all, and flush it to the disk."""
        path = self._file(name, index)
        self._make_folder_of(path)
        with atomic_write(path, fsync=True) as stream:
            stream.write(np.ascontiguousarray(values).data.cast("B"))
        return {path: path.stat().st_size}

    def read_blocks(self, name: str, place: Region) -> NDArray[np.float32]:
        """Read a part of all blocks that it meets."""

        def block_of(index: int) -> NDArray[np.float32]:
            box = nth_block(index, self.layout.shape, self.layout.block)
            shape = (self.layout.channels, *box.shape)
            return _mapped(self._file(name, index), np.dtype(np.float32), 0, shape)

        return gather_blocks(self.layout, place, block_of)

    def write_numbers(self, name: str, numbers: Any, index: int | None = None) -> Files:
        """Write numbers as JSON, whole or not at all, and flush them to the disk."""
        path = self._numbers_file(name, index)
        self._make_folder_of(path)
        with atomic_write(path, fsync=True) as stream:
            stream.write(json.dumps(numbers).encode() + b"\n")
        return {path: path.stat().st_size}

    def numbers(self, name: str, index: int | None = None) -> Any:
        """Read numbers."""
        path = self._numbers_file(name, index)
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path, error) from error

    def keep_only(self, names: Iterable[str]) -> None:
        """Remove all other volumes."""
        kept = set(names)
        for folder in self.folder.glob("*/"):
            if folder.name not in kept:
                shutil.rmtree(folder, ignore_errors=True)

    def _make_folder_of(self, path: Path) -> None:
        """Make the folder of a file, but not the one of the whole run, which may have ended."""
        self.folder.mkdir(exist_ok=True)
        path.parent.mkdir(exist_ok=True)

    def _file(self, name: str, index: int) -> Path:
        return self.folder / name / f"{index:06d}"

    def _numbers_file(self, name: str, index: int | None) -> Path:
        if index is None:
            return self.folder / f"{name}.json"
        return self.folder / name / f"{index:06d}.json"

    def _zeros(self, plane: SlicePlane, place: Region) -> Tensor:
        """Make a field (C, z, y, x) in which slices lie one after the other."""
        z, y, x = (part.stop - part.start for part in place)
        count, width = (y, x) if plane == "XZ" else (x, y)
        own = torch.zeros(count, self.layout.channels, z, width, dtype=self.layout.dtype)
        return own.movedim(0, 2 if plane == "XZ" else 3)

    def _read(self, name: str, place: Region, plane: SlicePlane) -> Tensor:
        """Read any part; slices of the direction `plane` lie one after the other."""
        layout, written = self.layout, self.directions[name]
        out = self._zeros(plane, place)
        target = out.numpy()  # a view
        dtype = np.dtype(str(layout.dtype).removeprefix("torch."))
        along, across = (place[1], place[2]) if written == "XZ" else (place[2], place[1])
        for index, slab in _meeting(layout.slab_ranges(written), along):
            count = slab.stop - slab.start
            for _, segment in _meeting(layout.slab_ranges(_other(written)), across):
                before = count * layout.channels * layout.shape[0] * segment.start
                shape = (count, layout.channels, layout.shape[0], segment.stop - segment.start)
                stored = _mapped(self._file(name, index), dtype, before, shape)
                here, inner = _common(slab, along), _common(segment, across)
                part = stored[here[0], :, place[0], inner[0]]
                if written == "XZ":
                    target[:, :, here[1], inner[1]] = part.transpose(1, 2, 0, 3)
                else:
                    target[:, :, inner[1], here[1]] = part.transpose(1, 2, 3, 0)
        return out


def _mapped(
    path: Path, dtype: np.dtype[Any], offset: int, shape: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """Map a part of a file, from an element on."""
    try:
        return np.memmap(path, dtype, "r", offset * dtype.itemsize, shape)
    except (OSError, ValueError) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> OutputError:
    return OutputError(
        f"{path}: got something else than what this run left there ({error}), expected it whole; "
        "begin anew with --overwrite"
    )


def _other(plane: SlicePlane) -> SlicePlane:
    return "YZ" if plane == "XZ" else "XZ"


def _meeting(slabs: Sequence[slice], wanted: slice) -> Iterator[tuple[int, slice]]:
    for index, slab in enumerate(slabs):
        if slab.start < wanted.stop and wanted.start < slab.stop:
            yield index, slab


def _common(own: slice, wanted: slice) -> tuple[slice, slice]:
    """Return what two ranges share, counted from the start of each."""
    start, stop = max(own.start, wanted.start), min(own.stop, wanted.stop)
    return (
        slice(start - own.start, stop - own.start),
        slice(start - wanted.start, stop - wanted.start),
    )
