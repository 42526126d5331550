"""A folder of Zarr data from which nothing outside it can be read."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from zarr.storage import LocalStore

from isoslice.io.limits import MAX_JSON
from isoslice.io.omezarr_check import METADATA


class ConfinedStore(LocalStore):
    """Reads regular files within a folder, and metadata only up to a limit.

    Links that lead out of the folder, devices and pipes are refused by a ValueError.
    """

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    def _check(self, key: str) -> None:
        path = self.root / key
        try:
            real = Path(os.path.realpath(path))
            found = real.stat()
        except (OSError, ValueError):
            return  # whatever is missing is Zarr's to report
        if stat.S_ISDIR(found.st_mode):
            return
        if not real.is_relative_to(self._real_root):
            raise ValueError(f"{key} leads out of the folder; copy what it links to into it")
        if not stat.S_ISREG(found.st_mode):
            raise ValueError(f"{key} is no regular file")
        if path.name in METADATA and found.st_size > MAX_JSON:
            raise ValueError(f"{key} has {found.st_size} bytes, expected up to {MAX_JSON}")

    async def get(self, key: str, *args: Any, **options: Any) -> Any:
        """Return the content of a file, or None."""
        self._check(key)
        return await super().get(key, *args, **options)

    def get_sync(self, key: str, **options: Any) -> Any:
        """Return the content of a file, or None."""
        self._check(key)
        return super().get_sync(key, **options)

    async def get_partial_values(self, prototype: Any, key_ranges: Any) -> Any:
        """Return parts of files."""
        ranges = list(key_ranges)
        for key, _ in ranges:
            self._check(key)
        return await super().get_partial_values(prototype, ranges)


def inner_path(path: object) -> str:
    """Return a path within a Zarr folder as metadata gives it.

    Raises
    ------
    ValueError
        If it is none, or leads out of the folder.
    """
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    clean = isinstance(path, str) and not set(path) & set("\\:\0") and len(path) < 256
    if not clean or not parts or ".." in parts or parts[0] == "/":
        raise ValueError(f"its dataset has the path {path!r:.100}, which leads out of the folder")
    return "/".join(parts)
