"""NumPy arrays, with a small JSON file beside them for all that .npy cannot say."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from isoslice.errors import DataError
from isoslice.io.failure import reading
from isoslice.io.lazy import LazyArray
from isoslice.io.notes import as_note, make_note
from isoslice.io.raw import Raw
from isoslice.volume import Volume


def sidecar(path: Path) -> Path:
    """Return the JSON file that belongs to `path`: ``NAME.npy.json``."""
    return path.with_name(path.name + ".json")


def read_npy(path: Path) -> Raw:
    """Read an array (never a pickle) and the JSON file beside it, where there is one.

    Raises
    ------
    DataError
        If the file is damaged or holds Python objects, or the JSON file describes another array.
    """
    with reading(path, "a plain .npy array", "save it again with numpy.save"):
        stored = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(stored, np.ndarray):
            raise ValueError("it is an archive of arrays")
        data = LazyArray(stored)
    beside = sidecar(path)
    if not beside.exists():
        return Raw(data, "Q" * data.ndim)
    try:
        content = json.loads(beside.read_text(encoding="utf-8"))
        note = as_note(content)
    except (OSError, ValueError, RecursionError):
        content, note = {}, None
    if note is None or content.get("shape") != list(data.shape):
        raise DataError(
            f"{beside}: got a description that does not fit {path.name} (shape "
            f"{' x '.join(map(str, data.shape))}), expected the one written with it; delete it "
            "and give --axes and --voxel-size"
        )
    return Raw(data, note["axes"], note["spacing"], note["unit"], None, note)


def write_npy(path: Path, beside: Path, volume: Volume) -> None:
    """Write the array to `path` and its description to `beside`."""
    with path.open("wb") as stream:
        np.save(stream, volume.data, allow_pickle=False)
    content = {"shape": list(volume.data.shape), **make_note(volume)}
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
