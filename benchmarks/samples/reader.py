"""A reader of the fuzz: what writes its samples, what reads them, and what a volume must be."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.volume import DTYPES
from isoslice.errors import DataError, IsosliceWarning
from isoslice.io import read_volume
from mutations import Sample

_RNG = np.random.default_rng(0)
#: The voxels of most samples.
STACK = np.sort(_RNG.integers(0, 2**16, (4, 12, 16), dtype=np.uint16), axis=2)
SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.5}


@dataclass(frozen=True)
class Reader:
    """One reader of the fuzz.

    Attributes
    ----------
    name
        Of the row in the results.
    suffix
        Of the file or folder it reads.
    write
        Yields valid samples; gets a folder to write in.
    read
        Reads one; returns what `check` looks at.
    """

    name: str
    suffix: str
    write: Callable[[Path], Iterator[Path]]
    read: Callable[[Path], Any]

    def samples(self) -> list[Sample]:
        """Make the valid samples."""
        with tempfile.TemporaryDirectory() as folder:
            return [load(path) for path in self.write(Path(folder))]


def load(path: Path) -> Sample:
    """Return a file and what belongs to it, or a folder, as bytes by path."""
    if path.is_file():
        beside = [p for p in (path.with_suffix(s) for s in (".img", ".raw")) if p.is_file()]
        return {p.name: p.read_bytes() for p in (path, *beside)}
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def store(sample: Sample, folder: Path, suffix: str) -> Path:
    """Write a sample as one file or folder with this suffix, in the place of an earlier one."""
    if suffix == ".companion.ome":  # several files beside each other; the first one is opened
        several = folder / "several"
        shutil.rmtree(several, ignore_errors=True)
        several.mkdir()
        for name, content in sample.items():
            (several / name).write_bytes(content)
        return several / next(iter(sample), "gone.ome.tif")
    path = folder / f"input{suffix}"
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if suffix in (".zarr", ".model", ".planes", ".bdv", ".series"):
        path.mkdir()
        for name, content in sample.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return path
    beside = path.with_name(path.name + ".json")
    beside.unlink(missing_ok=True)
    path.with_suffix(".img").unlink(missing_ok=True)
    for name, content in sample.items():
        other = {".json": beside, ".img": path.with_suffix(".img"), ".raw": folder / name}
        other.get(Path(name).suffix, path).write_bytes(content)
    return path


def check_volume(path: Path) -> None:
    """Read a volume, axes named where the file does not, and check that it is one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsosliceWarning)  # one of several images
        try:
            found = read_volume(path)
        except DataError as error:
            if "--axes" not in str(error):
                raise
            found = read_volume(path, "ZYX")
    if not (isinstance(found.data, np.ndarray) and found.data.dtype.name in DTYPES):
        raise TypeError(f"got {type(found.data)} of {found.data.dtype}")
    if found.data.size == 0 or len(found.axes) != found.data.ndim:
        raise TypeError(f"got shape {found.data.shape} and axes {found.axes}")
    found.data.max()  # every page is there
