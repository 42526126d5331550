"""Results of a benchmark on disk; those already there are not computed again."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import OutputError
from isoslice.io.atomic import atomic_output, output_error

RESOLVED = "benchmark.json"


@dataclass(frozen=True)
class Store:
    """A folder of named arrays and records; each file appears whole or not at all."""

    folder: Path

    def path(self, name: str, suffix: str) -> Path:
        """Return the path of `name`, and create its folder."""
        path = self.folder / f"{name}{suffix}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise output_error(path.parent, error) from error
        return path

    def has(self, name: str) -> bool:
        """Tell whether the array or record is there."""
        return any((self.folder / f"{name}{suffix}").exists() for suffix in (".npy", ".json"))

    def array(self, name: str, compute: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        """Return the array called `name`; compute it if it isn't there."""
        path = self.path(name, ".npy")
        if not path.exists():
            values = compute()
            with atomic_output(path) as draft, draft.open("wb") as file:
                np.save(file, values)
        try:
            array: NDArray[Any] = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise _damaged(path) from error
        return array

    def record(self, name: str, compute: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return the record called `name`; compute it if it isn't there."""
        path = self.path(name, ".json")
        if not path.exists():
            values = compute()
            with atomic_output(path) as draft:
                draft.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        try:
            record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _damaged(path) from error
        return record


def open_store(folder: Path, resolved: dict[str, Any]) -> Store:
    """Open the folder of a benchmark, new or to be continued.

    Parameters
    ----------
    folder
        Made if it isn't there.
    resolved
        Settings and fingerprints of the data, which must be those of the runs before.

    Raises
    ------
    OutputError
        If the folder holds something else, or results of other settings or data.
    """
    store = Store(folder)
    resolved = json.loads(json.dumps(resolved))
    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder}: got a file, expected a folder for the results")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / RESOLVED).is_file():
        raise OutputError(
            f"{folder}: got a folder that holds no benchmark, expected a new or an unfinished one; "
            "choose another"
        )
    earlier = store.record(RESOLVED.removesuffix(".json"), lambda: resolved)
    changed = sorted(k for k in earlier | resolved if earlier.get(k) != resolved.get(k))
    if changed:
        raise OutputError(
            f"{folder}: got a benchmark with other settings or data ({', '.join(changed)}), "
            "expected the same to continue it; choose another folder, or remove this one"
        )
    return store


def _damaged(path: Path) -> OutputError:
    return OutputError(f"{path}: got a damaged file; remove it and run the benchmark again")
