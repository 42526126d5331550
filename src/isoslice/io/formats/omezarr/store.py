"""A Zarr store of a folder that reads nothing outside of it."""

from __future__ import annotations

import os
import stat
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import Any

from zarr.storage import LocalStore

from isoslice.io.formats.omezarr.contents import MAX_CHILDREN
from isoslice.io.formats.omezarr.integrity import METADATA_FILES, check_chunks
from isoslice.io.limits import MAX_JSON, read_small


class ConfinedStore(LocalStore):
    """A store of regular files within a folder, with metadata files of limited size.

    Links that lead out of the folder, devices and pipes raise ValueError.
    """

    @cached_property
    def _real_root(self) -> str:
        return os.path.realpath(self.root)

    def content(self, key: str, limit: int = MAX_JSON) -> bytes | None:
        """Return the content of a file of up to `limit` bytes, or None if it does not exist."""
        size = self._check(key, limit)
        return None if size is None else read_small(self.root / key, limit)

    def children(self, path: str) -> list[str]:
        """List the subfolders of a folder, sorted."""
        with os.scandir(self.root / path) as entries:
            return sorted(e.name for e in islice(entries, MAX_CHILDREN) if e.is_dir())

    def prepare(self, array: Any, path: str) -> None:
        """Check that the chunks of an opened array are complete, or raise `ValueError`."""
        check_chunks(array, self.root / path)

    @cached_property
    def _inside(self) -> set[str]:
        """Cache of folders that are known to lie within the root."""
        return set()

    def _check(self, key: str, limit: int = MAX_JSON) -> int | None:
        """Return the size of a file, or None if there is none; refuse unsafe files."""
        path = os.path.join(self.root, key)  # noqa: PTH118
        folder, name = os.path.split(path)
        try:
            status = os.lstat(path)
            if stat.S_ISLNK(status.st_mode):
                folder, status = os.path.dirname(os.path.realpath(path)), os.stat(path)  # noqa: PTH116, PTH120
        except (OSError, ValueError):
            return None  # Zarr reports missing files
        if stat.S_ISDIR(status.st_mode):
            return None
        if folder not in self._inside:
            if not Path(os.path.realpath(folder)).is_relative_to(self._real_root):
                raise ValueError(f"{key} leads out of the folder; copy what it links to into it")
            self._inside.add(folder)
        if not stat.S_ISREG(status.st_mode):
            raise ValueError(f"{key} is no regular file")
        if name in METADATA_FILES and status.st_size > limit:
            raise ValueError(f"{key} has {status.st_size} bytes, expected up to {limit}")
        return status.st_size

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
