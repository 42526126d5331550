"""Images to pretrain on: a manifest of files, and the planes of each as one-channel stacks."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.missing import FOUND
from isoslice.data.normalization import Normalization, measure_stack
from isoslice.data.subsampling import evenly_spaced
from isoslice.data.survey import lost_planes, planes_of
from isoslice.errors import DataError
from isoslice.io import read_volume
from pretrain.excluded import modality_of, reason_of

MANIFEST = "MANIFEST.csv"
#: Columns that a manifest must have.
COLUMNS = ("file", "modality", "source", "path", "licence", "pixel_size", "dtype", "shape", "axes")
#: Most planes of a stack: neighbours in a z-stack or a movie show nearly the same.
MOST_PLANES = 24
#: Planes with a shorter side hold too little context to learn from.
LEAST_SIDE = 48
#: The axis that readers turn into channels, and which is one image in colours.
COLOURS = "S"


@dataclass(frozen=True)
class Entry:
    """One file of the corpus, as the manifest describes it.

    Attributes
    ----------
    folder
        Of the corpus.
    file
        Path within it, with slashes.
    modality, source, licence
        What it shows, where it came from (repository@commit or package==version), its terms.
    origin
        Path within the source.
    pixel_size
        As text with its unit; empty where unknown.
    axes
        One letter for each stored dimension; ``S`` are colours.
    note
        Anything else.
    """

    folder: Path
    file: str
    modality: str
    source: str
    licence: str
    origin: str
    pixel_size: str
    axes: str
    note: str = ""

    @property
    def path(self) -> Path:
        """Where the file lies."""
        return self.folder / self.file


@dataclass(frozen=True)
class Stack:
    """Planes of one channel of a file.

    Attributes
    ----------
    entry
        Their file.
    channel
        Its number in the file.
    planes
        Shape (N, H, W), in the file's voxel type.
    normalization
        Of one channel, measured on all planes of the file, those that were left out too.
    """

    entry: Entry
    channel: int
    planes: NDArray[Any]
    normalization: Normalization

    def normalised(self) -> NDArray[np.float32]:
        """Return the planes with most intensities between 0 and 1, (N, H, W)."""
        planes: NDArray[np.float32] = self.normalization.apply(self.planes[None])[0]
        return planes


def read_manifest(folder: Path) -> list[Entry]:
    """List the files of a corpus, in the order of their names.

    Raises
    ------
    DataError
        If there is no manifest, it lacks a column, or it names a file twice.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise DataError(
            f"{path}: no such file, expected the list of a corpus's files; see --corpus"
        )
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        lacking = sorted(set(COLUMNS) - set(reader.fieldnames or ()))
        if lacking:
            raise DataError(f"{path}: got no columns {', '.join(lacking)}, expected them; add them")
        entries = [_entry(folder, row) for row in reader]
    names = [entry.file for entry in entries]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(f"{path}: got {twice[0]} twice, expected each file once; delete one line")
    return sorted(entries, key=lambda entry: entry.file)


def _entry(folder: Path, row: dict[str, str]) -> Entry:
    return Entry(
        folder,
        row["file"],
        modality_of(row["file"], row["modality"]),
        row["source"],
        row["licence"],
        row["path"],
        row["pixel_size"],
        row["axes"],
        row.get("note") or "",
    )


def read_stacks(entry: Entry) -> list[Stack]:
    """Read a file's channels, each a stack by itself.

    Of an image in colours, whose channels look alike, only the one of most contrast is taken.
    Planes that are blank, lost or damaged are left out, and of many, evenly spaced ones are taken.

    Returns
    -------
    None for files that are excluded, too small, or without structure.

    Raises
    ------
    DataError
        If the file cannot be read.
    """
    if reason_of(entry.file):
        return []
    # Files that name their own axes are read as users' files are; others need to be told.
    axes = None if COLOURS in entry.axes else entry.axes
    view = read_volume(entry.path, axes=axes).tczyx()
    if min(view.shape[-2:]) < LEAST_SIDE:
        return []
    stacks = list(_channels(entry, view))
    if COLOURS in entry.axes:
        stacks.sort(key=lambda stack: -float(stack.planes.std()))
        return stacks[:1]
    return stacks


def _channels(entry: Entry, view: NDArray[Any]) -> Iterator[Stack]:
    for channel in range(view.shape[1]):
        voxels = view[:, channel : channel + 1]
        try:
            normalization, surveyed = measure_stack(voxels, entry.file, missing=FOUND)
        except DataError:  # constant, or nothing finite
            continue
        useless = surveyed.useless[:, 0].copy()
        for time, (numbers,) in enumerate(lost_planes(surveyed, planes_of(voxels))):
            useless[time, list(numbers)] = True
        planes = voxels[:, 0].reshape(-1, *view.shape[-2:])[~useless.ravel()]
        if len(planes):
            yield Stack(
                entry, channel, planes[evenly_spaced(len(planes), MOST_PLANES)], normalization
            )
