"""An OME-Zarr 0.5 image that is written block by block, its pyramid as it goes.

A block is one file (a Zarr shard) a level, so blocks can be written at once by programs that know
nothing of each other. Levels too coarse for that are made of the level before at the end.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.io.atomic import flush
from isoslice.io.formats.omezarr.metadata import UNFINISHED, Description, metadata
from isoslice.io.formats.omezarr.pyramid import Level, block_mean, levels, pyramid
from isoslice.io.notes import KEY, Note

#: Side of the chunks that shards are made of, and of the smallest ones.
CHUNK, SMALLEST_CHUNK = 64, 16
#: Side of the parts that coarse levels are made in.
_PART = 256


@dataclass(frozen=True)
class ShardedImage:
    """A folder with the arrays of an image, for writing.

    Attributes
    ----------
    path
        The folder.
    axes
        One letter per dimension.
    levels
        Of the pyramid, finest first.
    core
        Shape of a block, per dimension.
    own
        How many levels a block has files of its own in.
    """

    path: Path
    axes: str
    levels: tuple[Level, ...]
    core: tuple[int, ...]
    own: int

    def write(self, start: Sequence[int], data: NDArray[Any]) -> dict[str, int]:
        """Write one block.

        Parameters
        ----------
        start
            Where it begins: a multiple of `core`, per dimension.
        data
            Its voxels.

        Returns
        -------
        Bytes of each file it has now, safely on the disk, by their names in the folder. Parts that
        are zero everywhere have none.
        """
        import zarr

        files = {}
        parts = pyramid(data, self.levels[: self.own])
        for number, (level, part) in enumerate(zip(self.levels, parts, strict=False)):
            if not part.size:
                continue
            first = [a // f for a, f in zip(start, level.factors, strict=True)]
            place = tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))
            array = zarr.open_array(store=self.path / str(number), mode="r+")
            index = [a // c for a, c in zip(start, self.core, strict=True)]
            file = self.path / str(number) / "c" / Path(*map(str, index))
            file.unlink(missing_ok=True)  # Zarr would read it first, and it may be cut off
            array[place] = part
            if file.exists():
                flush(file)
                flush(file.parent)
                files[file.relative_to(self.path).as_posix()] = file.stat().st_size
        return files

    def finish(self, image: Description, note: Note) -> None:
        """Make the levels that are left, and say what the image is; until then it is none."""
        import zarr

        group = zarr.open_group(store=self.path, mode="r+")
        for number in range(self.own, len(self.levels)):
            before: Any = group[str(number - 1)]
            array: Any = group[str(number)]
            for place in _parts(array.shape):
                double = tuple(
                    slice(2 * s.start, 2 * s.stop) if i in self.levels[number].halved else s
                    for i, s in enumerate(place)
                )
                array[place] = block_mean(before[double], self.levels[number].halved)
        for stray in self.path.rglob("*.partial"):  # of writers that were killed
            with suppress(OSError):
                stray.unlink()
        group.attrs.update({"ome": metadata(image, self.levels), KEY: note})
        flush(self.path / "zarr.json")
        flush(self.path)


def create_image(
    path: Path,
    axes: str,
    shape: Sequence[int],
    dtype: np.dtype[Any],
    spacing: Mapping[str, float],
    core: Sequence[int],
) -> ShardedImage:
    """Make the folder of an image with empty arrays.

    Parameters
    ----------
    path
        Where; nothing exists there yet.
    axes, shape, dtype
        Of the image, axes in the order TCZYX.
    spacing
        By axis, where known.
    core
        Shape of the blocks that will be written.
    """
    import zarr

    image = lay_out(path, axes, shape, spacing, core)
    group = zarr.create_group(store=path, zarr_format=3, attributes={KEY: UNFINISHED})
    for number, level in enumerate(image.levels):
        shards, chunks = _shards(image, level, number < image.own)
        group.create_array(
            str(number),
            shape=level.shape,
            dtype=dtype,
            chunks=chunks,
            shards=shards,
            dimension_names=list(axes.lower()),
        )
    return image


def lay_out(
    path: Path, axes: str, shape: Sequence[int], spacing: Mapping[str, float], core: Sequence[int]
) -> ShardedImage:
    """Describe the image that `create_image` makes."""
    pyramid_levels = tuple(levels(shape, axes, spacing))
    own = 0
    while own < len(pyramid_levels) and _own_chunks(shape, core, pyramid_levels[own]) is not None:
        own += 1
    return ShardedImage(path, axes, pyramid_levels, tuple(core), max(own, 1))


def _own_chunks(shape: Sequence[int], core: Sequence[int], level: Level) -> list[int] | None:
    """Sides of the chunks of a level's shards, each made of one block; None if that can't be."""
    sides = []
    for whole, length, factor, n in zip(shape, core, level.factors, level.shape, strict=True):
        if length >= whole:  # one block is all there is
            sides.append(max(1, min(CHUNK, n)))
        elif length % factor:
            return None
        else:
            side = math.gcd(length // factor, CHUNK)
            if side < SMALLEST_CHUNK and length > 1:
                return None
            sides.append(side)
    return sides


def _shards(
    image: ShardedImage, level: Level, own: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of a level's shards and of their chunks."""
    whole = image.levels[0].shape
    if own:
        chunks = _own_chunks(whole, image.core, level) or [1] * len(whole)
        shards = [
            -(-(n if length >= total else length // factor) // chunk) * chunk
            for n, length, total, factor, chunk in zip(
                level.shape, image.core, whole, level.factors, chunks, strict=True
            )
        ]
        return tuple(max(1, s) for s in shards), tuple(chunks)
    chunks = [
        max(1, min(n, CHUNK if a in "ZYX" else 1))
        for a, n in zip(image.axes, level.shape, strict=True)
    ]
    shards = [
        chunk * max(1, min(_PART // chunk, -(-n // chunk))) if axis in "ZYX" else 1
        for axis, n, chunk in zip(image.axes, level.shape, chunks, strict=True)
    ]
    return tuple(shards), tuple(chunks)


def _parts(shape: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Cut an array into parts of `_PART` a side, as its shards are."""
    ranges = (
        [slice(a, min(a + _PART, n)) for a in range(0, n, _PART)] if n > 1 else [slice(0, n)]
        for n in shape
    )
    yield from itertools.product(*ranges)
