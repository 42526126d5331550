"""A folder of Zarr data from which nothing outside it can be read."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from isoslice.io.limits import MAX_JSON, read_small
from isoslice.io.omezarr_check import METADATA, check_chunks
from isoslice.io.zarr_contents import MAX_CHILDREN


class ConfinedStore(LocalStore):
    """Reads regular files within a folder, and metadata only up to a limit.

    Links that lead out of the folder, devices and pipes are refused by a ValueError.
    """

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    def content(self, key: str, limit: int = MAX_JSON) -> bytes | None:
        """Return a file of up to so many bytes, or None where there is none."""
        self._check(key)
        path = self.root / key
        return read_small(path, limit) if path.is_file() else None

    def children(self, place: str) -> list[str]:
        """List the folders within one, sorted."""
        with os.scandir(self.root / place) as entries:
            return sorted(e.name for e in islice(entries, MAX_CHILDREN) if e.is_dir())

    def prepare(self, array: Any, place: str) -> None:
        """Check that the chunks of an opened array are complete, or raise `ValueError`."""
        check_chunks(array, self.root / place)

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
