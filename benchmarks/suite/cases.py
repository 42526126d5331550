"""What is trained on and what is tested: three specimens whose truth is isotropic."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halves import halves
from isoslice.data.grid import crop_to_grid, even_grid, thin
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.benchmark.data import BenchmarkData, block_corners
from isoslice.evaluation.metrics import data_range_of
from isoslice.io import read_volume

Voxels = NDArray[Any]
#: Every scale's planes are among those of the finest, so that all share one truth.
LARGEST = 8

#: Files of each case: to learn from, and to test on; one file is cut in two halves.
CASES: dict[str, tuple[tuple[str, ...], str]] = {
    "fib25": (("fib25_a.tif",), "fib25_b.tif"),
    "lucchi": (("lucchi_train.tif",), "lucchi_train.tif"),
    "mouse_ct": (tuple(f"mouse_ct_{i}.nii.gz" for i in range(3)), "mouse_ct_3.nii.gz"),
}


@dataclass(frozen=True)
class CaseData:
    """One case, read.

    Attributes
    ----------
    train
        Volumes whose XY planes are learned from.
    truth
        What is restored, (Z, Y, X); its depth is a multiple of 8 and one more.
    corners
        First voxels (Z, Y, X) of the blocks, on planes that all scales measure.
    block
        Their size.
    """

    name: str
    train: tuple[Volume, ...]
    truth: Volume
    corners: tuple[tuple[int, ...], ...]
    block: tuple[int, int, int]

    @property
    def data_range(self) -> float:
        """Range that PSNR and SSIM refer to, everywhere."""
        return data_range_of(self.truth.data)

    def coarse(self, factor: int) -> Voxels:
        """Return the stack to be restored."""
        return thin(self.truth.data, factor)

    def missing(self, factor: int, depth: int | None = None) -> NDArray[np.bool_]:
        """Mark the planes that were not measured, of the whole volume or of `depth` planes."""
        depth = depth or len(self.truth.data)
        return ~even_grid((depth - 1) // factor + 1, factor).mask

    def blocks(self, volume: Voxels) -> Voxels:
        """Cut the blocks out of a volume shaped like the truth: (B, Z, Y, X)."""
        sizes = self.block
        return np.stack(
            [
                volume[tuple(slice(at, at + n) for at, n in zip(corner, sizes, strict=True))]
                for corner in self.corners
            ]
        )

    def benchmark(self) -> BenchmarkData:
        """Return planes and true blocks as the library's benchmark takes them."""
        real = [np.asarray(volume.data)[:, None] for volume in self.train]
        truth = self.blocks(self.truth.data)[:, None].astype(np.float32)
        return BenchmarkData(list(self.train), real, truth)


def load_case(
    name: str, folder: Path, block: tuple[int, int, int], count: int, seed: int
) -> CaseData:
    """Read a case.

    Parameters
    ----------
    name
        One of `CASES`.
    folder
        Holds its files.
    block, count
        Size and number of the blocks, spread as a Latin hypercube.
    seed
        Of the draw that spreads them.

    Raises
    ------
    DataError
        If a file cannot be used, or the test volume is smaller than a block.
    """
    train_files, test_file = CASES[name]
    train: tuple[Volume, ...]
    if train_files == (test_file,):
        first, second = halves(read(folder / test_file))
        train, test = (_plain(first),), _plain(second)
    else:
        train = tuple(read(folder / file) for file in train_files)
        test = read(folder / test_file)
    truth = replace(test, data=np.ascontiguousarray(crop_to_grid(test.data, LARGEST)))
    size = _size(truth, block)
    corners = [
        (z // LARGEST * LARGEST, y, x)
        for z, y, x in block_corners(truth.data.shape, size, count, seed)
    ]
    return CaseData(name, train, truth, tuple(corners), size)


def read(path: Path) -> Volume:
    """Read a volume with its axes in the order ZYX; spacing is 1 where the file has none."""
    volume = read_volume(path)
    known = volume.voxel_size is not None
    spacing = volume.spacing if known else dict.fromkeys("ZYX", 1.0)
    return replace(_plain(volume), spacing=spacing, unit=volume.unit if known else None)


def _plain(volume: Volume) -> Volume:
    """Leave out the axis of the only channel."""
    return replace(volume, data=np.ascontiguousarray(volume.tczyx()[0, 0]), axes="ZYX")


def _size(truth: Volume, block: tuple[int, int, int]) -> tuple[int, int, int]:
    if (block[0] - 1) % LARGEST or any(
        n < side for n, side in zip(truth.data.shape, block, strict=True)
    ):
        raise DataError(
            f"{truth.source}: got {truth.data.shape} voxels and blocks of {block}, expected a "
            f"volume no smaller, and a block's depth of a multiple of {LARGEST} and one more; use "
            "a larger volume or smaller blocks"
        )
    return block


def share_of_blocks(case: CaseData) -> float:
    """Tell which share of the test volume the blocks are."""
    return len(case.corners) * math.prod(case.block) / case.truth.data.size
