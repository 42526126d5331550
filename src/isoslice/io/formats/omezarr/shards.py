"""Writing an OME-Zarr 0.5 image and its pyramid block by block.

A block is one file (a Zarr shard) per level, so independent processes can write blocks at the same
time. Levels too coarse for that are computed from the previous level at the end.
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

#: Side of the chunks within shards, and the smallest one, in voxels.
CHUNK_SIDE, MIN_CHUNK_SIDE = 64, 16
#: Side of the shards of coarse levels, which are computed one by one, in voxels.
_COARSE_SHARD_SIDE = 256


@dataclass(frozen=True)
class ShardedImage:
    """A folder with the arrays of an image that is being written.

    Attributes
    ----------
    path
        The folder.
    axes
        One letter per dimension.
    levels
        Levels of the pyramid, finest first.
    block
        Shape of a block, per dimension.
    sharded_levels
        Number of levels in which a block is exactly one shard.
    """

    path: Path
    axes: str
    levels: tuple[Level, ...]
    block: tuple[int, ...]
    sharded_levels: int

    def write(self, start: Sequence[int], data: NDArray[Any]) -> dict[str, int]:
        """Write one block.

        Parameters
        ----------
        start
            Index of its first voxel: a multiple of `block`, per dimension.
        data
            Its voxels.

        Returns
        -------
        Sizes in bytes of its files, flushed to the disk, by path in the folder. Parts that are zero
        everywhere have no file.
        """
        import zarr

        files = {}
        parts = pyramid(data, self.levels[: self.sharded_levels])
        for number, (level, part) in enumerate(zip(self.levels, parts, strict=False)):
            if not part.size:
                continue
            first = [a // f for a, f in zip(start, level.factors, strict=True)]
            region = tuple(slice(a, a + n) for a, n in zip(first, part.shape, strict=True))
            array = zarr.open_array(store=self.path / str(number), mode="r+")
            index = [a // c for a, c in zip(start, self.block, strict=True)]
            file = self.path / str(number) / "c" / Path(*map(str, index))
            file.unlink(missing_ok=True)  # else Zarr would read it, and it may be truncated
            array[region] = part
            if file.exists():
                flush(file)
                flush(file.parent)
                files[file.relative_to(self.path).as_posix()] = file.stat().st_size
        return files

    def finish(self, image: Description, note: Note) -> None:
        """Compute the remaining levels, and write the metadata that make it a valid image."""
        import zarr

        group = zarr.open_group(store=self.path, mode="r+")
        for number in range(self.sharded_levels, len(self.levels)):
            finer: Any = group[str(number - 1)]
            array: Any = group[str(number)]
            for region in _regions(array.shape, self.axes, _COARSE_SHARD_SIDE):
                array[region] = _halved(finer, region, self.levels[number].halved, self.axes)
        for stray in self.path.rglob("*.partial"):  # of killed writers
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
    block: Sequence[int],
) -> ShardedImage:
    """Create the folder of an image with empty arrays.

    Parameters
    ----------
    path
        Path of the folder, which must not exist.
    axes, shape, dtype
        Of the image, axes in the order TCZYX.
    spacing
        Spacing by axis, where known.
    block
        Shape of the blocks that will be written.
    """
    import zarr

    image = lay_out(path, axes, shape, spacing, block)
    group = zarr.create_group(store=path, zarr_format=3, attributes={KEY: UNFINISHED})
    for number, level in enumerate(image.levels):
        shards, chunks = _shards(image, level, number < image.sharded_levels)
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
    path: Path, axes: str, shape: Sequence[int], spacing: Mapping[str, float], block: Sequence[int]
) -> ShardedImage:
    """Describe the image that `create_image` makes."""
    pyramid_levels = tuple(levels(shape, axes, spacing))
    count = 0
    while count < len(pyramid_levels) and _block_chunks(shape, block, pyramid_levels[count]):
        count += 1
    return ShardedImage(path, axes, pyramid_levels, tuple(block), max(count, 1))


def _block_chunks(shape: Sequence[int], block: Sequence[int], level: Level) -> list[int] | None:
    """Return the sides of the chunks of a level whose shards are blocks; None if impossible."""
    sides = []
    for whole, length, factor, n in zip(shape, block, level.factors, level.shape, strict=True):
        if length >= whole:  # a single block
            sides.append(max(1, min(CHUNK_SIDE, n)))
        elif length % factor:
            return None
        else:
            side = math.gcd(length // factor, CHUNK_SIDE)
            if side < MIN_CHUNK_SIDE and length > 1:
                return None
            sides.append(side)
    return sides


def _shards(
    image: ShardedImage, level: Level, is_block: bool
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the shapes of a level's shards and their chunks."""
    whole = image.levels[0].shape
    if is_block:
        chunks = _block_chunks(whole, image.block, level) or [1] * len(whole)
        shards = [
            -(-(n if length >= total else length // factor) // chunk) * chunk
            for n, length, total, factor, chunk in zip(
                level.shape, image.block, whole, level.factors, chunks, strict=True
            )
        ]
        return tuple(max(1, s) for s in shards), tuple(chunks)
    chunks = [
        max(1, min(n, CHUNK_SIDE if a in "ZYX" else 1))
        for a, n in zip(image.axes, level.shape, strict=True)
    ]
    shards = [
        chunk * max(1, min(_COARSE_SHARD_SIDE // chunk, -(-n // chunk))) if axis in "ZYX" else 1
        for axis, n, chunk in zip(image.axes, level.shape, chunks, strict=True)
    ]
    return tuple(shards), tuple(chunks)


def _halved(finer: Any, region: Sequence[slice], halved: Sequence[int], axes: str) -> NDArray[Any]:
    """Compute a region of a level from the finer one, chunk by chunk: saves memory."""
    factors = [2 if dimension in halved else 1 for dimension in range(len(axes))]
    means = np.empty([part.stop - part.start for part in region], finer.dtype)
    for part in _regions(means.shape, axes, CHUNK_SIDE):
        double = tuple(
            slice(factor * (r.start + p.start), factor * (r.start + p.stop))
            for factor, r, p in zip(factors, region, part, strict=True)
        )
        means[part] = block_mean(finer[double], halved)
    return means


def _regions(shape: Sequence[int], axes: str, side: int) -> Iterator[tuple[slice, ...]]:
    """Yield regions of up to a side along Z, Y and X, of one channel and time point."""
    sides = [side if axis in "ZYX" else 1 for axis in axes]
    ranges = (
        [slice(a, min(a + step, n)) for a in range(0, n, step)]
        for n, step in zip(shape, sides, strict=True)
    )
    yield from itertools.product(*ranges)
