"""Truth, training images and models of a benchmark."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.benchmark.settings import BenchmarkSettings, ModelEntry
from isoslice.evaluation.benchmark.store import Store
from isoslice.inference.model import Model
from isoslice.models.files.bundle import is_model_folder
from isoslice.runtime.progress import Progress


@dataclass(frozen=True)
class BenchmarkData:
    """Data that methods are trained on and compared with.

    Attributes
    ----------
    train
        Images and stacks to learn from.
    real
        Their planes, each entry (N, C, H, W).
    truth
        Blocks of the true volume, (B, C, Z, Y, X), float32; their depth is one more than a
        multiple of every factor.
    """

    train: Sequence[Volume]
    real: Sequence[NDArray[Any]]
    truth: NDArray[np.float32]

    def fingerprint(self) -> dict[str, str]:
        """Hash the data, to recognise that of an earlier run."""
        return {
            "train": _digest([volume.data for volume in self.train]),
            "test": _digest([self.truth]),
        }


def load_data(settings: BenchmarkSettings) -> BenchmarkData:
    """Read the volumes that `settings` names.

    Raises
    ------
    DataError
        If they cannot be used: channels differ, or the test volume is too small for a factor.
    """
    from isoslice.io import read_images, read_volume

    if settings.srh:
        from isoslice.io.srh import read_srh, read_srh_images

        train, test = read_srh_images(settings.train, settings.axes), read_srh(settings.test)
    else:
        train = read_images(settings.train, settings.axes)
        test = read_volume(settings.test, settings.axes)
    voxels = test.tczyx()
    if len(voxels) > 1:
        raise DataError(f"{test.source}: got {len(voxels)} time points, expected one to score")
    if test.size("C") != train[0].size("C"):
        raise DataError(
            f"{test.source}: got {test.size('C')} channel(s), expected {train[0].size('C')} as in "
            f"{train[0].source}"
        )
    truth = voxels
    if settings.region is not None:
        for axis, length, size in zip("ZYX", voxels.shape[2:], settings.region, strict=True):
            if length < size:
                raise DataError(
                    f"{test.source}: got {length} voxels along {axis}, expected at least the "
                    f"region's {size}; make the region smaller"
                )
        truth = _blocks(voxels[0], settings.region, settings.blocks, settings.seed)
    step = math.lcm(*settings.factors)
    depth = (truth.shape[2] - 1) // step * step + 1
    if depth < 2 * max(settings.factors) + 1:
        raise DataError(
            f"{test.source}: got {truth.shape[2]} planes, expected at least "
            f"{max(2 * max(settings.factors), step) + 1} for the factors {settings.factors}; use "
            "a deeper volume or smaller factors"
        )
    real = [volume.tczyx().swapaxes(1, 2) for volume in train]
    real = [planes.reshape(-1, *planes.shape[2:]) for planes in real]
    return BenchmarkData(train, real, truth[:, :, :depth].astype(np.float32))


def _blocks(
    voxels: NDArray[Any], size: tuple[int, int, int], count: int, seed: int
) -> NDArray[Any]:
    """Crop `count` blocks out of (C, Z, Y, X): the middle one, or a Latin hypercube of positions.

    Along every axis the positions are evenly spaced, one block at each; how they combine with
    those along the other axes is random.
    """
    blocks = [
        voxels[:, z : z + size[0], y : y + size[1], x : x + size[2]]
        for z, y, x in block_corners(voxels.shape[1:], size, count, seed)
    ]
    return np.stack(blocks)


def block_corners(
    shape: Sequence[int], size: Sequence[int], count: int, seed: int
) -> list[tuple[int, ...]]:
    """Return the first voxel of each of `count` blocks of a volume; see `_blocks`."""
    rng = np.random.default_rng(seed)
    firsts = []
    for length, side in zip(shape, size, strict=True):
        centres = (np.arange(count) + 0.5) / count
        firsts.append(rng.permutation(((length - side) * centres).astype(int)).tolist())
    return list(zip(*firsts, strict=True))


def get_model(
    entry: ModelEntry,
    data: BenchmarkData,
    settings: BenchmarkSettings,
    store: Store,
    device: str,
    progress: Progress,
) -> Model:
    """Load a model, or train it; an interrupted training is resumed."""
    if entry.path is not None:
        return Model.load(entry.path)
    folder = store.path(f"models/{entry.name}", "")
    if not is_model_folder(folder):
        from isoslice.training.train import train

        progress.note(f"training {entry.name} for {settings.minutes:g} minutes")
        workdir = folder.with_name(folder.name + ".training")
        model = train(
            list(data.train),
            minutes=settings.minutes,
            preset=entry.preset,
            width=entry.width,
            intensities=(0.0, 1.0) if settings.srh else None,
            seed=settings.seed,
            device=device,
            workdir=workdir,
            resume=workdir.exists(),
            progress=progress,
        )
        model.save(folder)
        _remove(workdir)
    return Model.load(folder)


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def _digest(arrays: Sequence[NDArray[Any]]) -> str:
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]
