"""Five volumes whose truth is isotropic, and one scan that was reconstructed twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from halves import halves
from isoslice.errors import DataError
from isoslice.io import read_volume
from suite.cases import read

Voxels = NDArray[Any]
#: Files to learn from, and the one to test on; one file alone is cut in two halves along X.
VOLUMES: dict[str, tuple[tuple[str, ...], str]] = {
    "fib25": (("fib25_a.tif",), "fib25_b.tif"),
    "lucchi": (("lucchi_train.tif",), "lucchi_train.tif"),
    "mouse_ct": (tuple(f"mouse_ct_{i}.nii.gz" for i in range(3)), "mouse_ct_3.nii.gz"),
    "brain_t1_b": (("brain_t1_b.tif",), "brain_t1_b.tif"),
    "mouse_brain_2p": (("mouse_brain_2p.tif",), "mouse_brain_2p.tif"),
}
PAIR = "head_ct"
PAIR_FILES = ("head_ct_5mm.tif", "head_ct_1mm.tif")
#: Thin plane that is the first thick one's centre, thin planes a thick one, and mm (Z, Y, X).
FIRST, STEP, PAIR_SIZE = 2, 5, (5.0, 0.45, 0.45)
#: Most voxels (Z, Y, X) of what is restored, from the middle of the test volume; depths are a
#: multiple of `LARGEST` and one more, so that all factors share one truth.
CROP, LARGEST = (129, 160, 160), 8


@dataclass(frozen=True)
class Specimen:
    """What is learned from, and what is restored.

    Attributes
    ----------
    name
        Of the volume.
    learned
        Stacks (Z, Y, X) whose XY planes are learned from.
    truth
        What restorations are compared with, (Z, Y, X).
    size
        Spacing of the planes that are learned from, (Z, Y, X).
    thick
        Planes that were measured, of a pair; others are made from the truth.
    """

    name: str
    learned: tuple[Voxels, ...]
    truth: Voxels
    size: tuple[float, float, float] = (1.0, 1.0, 1.0)
    thick: Voxels | None = None


def find(name: str, folders: Sequence[Path]) -> Path:
    """Find a file in folders or below them.

    Raises
    ------
    DataError
        If it is nowhere.
    """
    for folder in folders:
        for path in (folder / name, *sorted(folder.rglob(name))):
            if path.is_file():
                return path
    places = ", ".join(map(str, folders))
    raise DataError(f"{name}: got no such file in {places}, expected it there; see --data")


def middle(voxels: Voxels, most: tuple[int, int, int] = CROP) -> Voxels:
    """Cut at most so many voxels from the middle; the depth becomes a multiple of 8, and one."""
    depth = (min(len(voxels), most[0]) - 1) // LARGEST * LARGEST + 1
    sizes = depth, *(min(n, side) for n, side in zip(voxels.shape[1:], most[1:], strict=True))
    starts = [(n - size) // 2 for n, size in zip(voxels.shape, sizes, strict=True)]
    cut = tuple(slice(at, at + size) for at, size in zip(starts, sizes, strict=True))
    return np.ascontiguousarray(voxels[cut])


def load(name: str, folders: Sequence[Path]) -> Specimen:
    """Read one of `VOLUMES`."""
    files, test = VOLUMES[name]
    if files == (test,):
        parts = [half.tczyx()[0, 0] for half in halves(read(find(test, folders)))]
        return Specimen(name, (np.ascontiguousarray(parts[0]),), middle(parts[1]))
    learned = tuple(np.asarray(read(find(file, folders)).data) for file in files)
    return Specimen(name, learned, middle(read(find(test, folders)).data))


def load_pair(folders: Sequence[Path]) -> Specimen:
    """Read the pair: thick planes, and the thin ones that they cover."""
    thick, thin = (read_volume(find(file, folders), axes="ZYX").data for file in PAIR_FILES)
    count = min(len(thick), (len(thin) - FIRST - 1) // STEP + 1)
    truth = thin[FIRST:][: (count - 1) * STEP + 1]
    return Specimen(PAIR, (np.asarray(thick),), np.asarray(truth), PAIR_SIZE, thick[:count])
