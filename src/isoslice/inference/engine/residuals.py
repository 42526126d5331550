"""A volume's residual between two passes, on disk: written slab by slab, read across slabs.

A pass over XZ slices leaves slabs of y, the next one wants slabs of x. So a slab's file is cut into
segments, one for each slab of the other direction: what a slab needs is one segment of every file.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isoslice.data.box import Region, SlicePlane, Triple
from isoslice.errors import OutputError
from isoslice.inference.passes import slices
from isoslice.io.atomic import atomic_write


@dataclass(frozen=True)
class Scratch:
    """Files of one time point's passes.

    Attributes
    ----------
    folder
        Where they are.
    channels, shape
        Of the volume: C, and (Z, Y, X).
    thickness
        Slices of a slab of XZ slices, and of one of YZ slices.
    dtype
        Of the residual.
    """

    folder: Path
    channels: int
    shape: Triple
    thickness: tuple[int, int]
    dtype: torch.dtype

    def slabs(self, plane: SlicePlane) -> list[slice]:
        """List the slabs of a direction: along Y of XZ slices, along X of YZ slices."""
        number = 0 if plane == "XZ" else 1
        length, step = self.shape[1 + number], self.thickness[number]
        return [slice(a, min(a + step, length)) for a in range(0, length, step)]

    def place(self, plane: SlicePlane, index: int) -> Region:
        """Say where a slab lies."""
        slab = self.slabs(plane)[index]
        z, y, x = (slice(0, n) for n in self.shape)
        return (z, slab, x) if plane == "XZ" else (z, y, slab)

    def zeros(self, plane: SlicePlane, place: Region) -> Tensor:
        """Make a residual (C, z, y, x) in which slices lie one after the other."""
        z, y, x = (part.stop - part.start for part in place)
        count, width = (y, x) if plane == "XZ" else (x, y)
        own = torch.zeros(count, self.channels, z, width, dtype=self.dtype)
        return own.movedim(0, 2 if plane == "XZ" else 3)

    def file(self, number: int, index: int) -> Path:
        """Return the file that a pass's slab is in."""
        return self.folder / f"pass-{number}" / f"{index:06d}"

    def write(
        self, number: int, plane: SlicePlane, index: int, residual: Tensor
    ) -> dict[Path, int]:
        """Write a pass's slab, whole or not at all.

        Returns
        -------
        Its file, safely on the disk, and that file's bytes.
        """
        path = self.file(number, index)
        path.parent.mkdir(parents=True, exist_ok=True)
        own = slices(residual, plane)
        with atomic_write(path, fsync=True) as stream:
            for segment in self.slabs(_other(plane)):
                part = own[..., segment].contiguous().cpu().numpy()
                stream.write(part.data.cast("B"))
        return {path: path.stat().st_size}

    def read(
        self, number: int, written: SlicePlane, place: Region, plane: SlicePlane = "XZ"
    ) -> Tensor:
        """Read any part of what a pass left.

        Parameters
        ----------
        number, written
            Which pass, and the direction of its slices.
        place
            Which part.
        plane
            Direction of the slices that are wanted to lie one after the other.

        Raises
        ------
        OutputError
            If a file is missing or damaged.
        """
        out = self.zeros(plane, place)
        target = out.numpy()  # a view
        along, across = (place[1], place[2]) if written == "XZ" else (place[2], place[1])
        for index, slab in _meeting(self.slabs(written), along):
            path = self.file(number, index)
            count = slab.stop - slab.start
            for _, segment in _meeting(self.slabs(_other(written)), across):
                before = count * self.channels * self.shape[0] * segment.start
                stored = self._map(path, before, (count, segment.stop - segment.start))
                here, inner = _common(slab, along), _common(segment, across)
                part = stored[here[0], :, place[0], inner[0]]
                if written == "XZ":
                    target[:, :, here[1], inner[1]] = part.transpose(1, 2, 0, 3)
                else:
                    target[:, :, inner[1], here[1]] = part.transpose(1, 2, 3, 0)
        return out

    def _map(self, path: Path, offset: int, size: tuple[int, int]) -> np.ndarray[Any, Any]:
        """Map one segment, (slices, C, Z, width)."""
        dtype = np.dtype(str(self.dtype).removeprefix("torch."))
        shape = (size[0], self.channels, self.shape[0], size[1])
        try:
            return np.memmap(path, dtype, "r", offset * dtype.itemsize, shape)
        except (OSError, ValueError) as error:
            raise OutputError(
                f"{path}: got something else than what this run left there ({error}), expected it "
                "whole; begin anew with --overwrite"
            ) from error


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
