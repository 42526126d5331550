"""A Zarr store of a ZIP archive, with limits on what entries unpack to; see `zip_entries`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Iterable
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from isoslice.io.formats.omezarr.codecs import MAX_INNER_CHUNKS
from isoslice.io.formats.omezarr.contents import MAX_CHILDREN
from isoslice.io.formats.omezarr.integrity import METADATA_FILES
from isoslice.io.limits import MAX_JSON
from isoslice.io.zip_entries import Entry, list_entries, read_part, read_whole

#: Depth to which folders are listed.
_MAX_DEPTH = 8


class ZippedStore(Store):
    """A read-only store of an archive, whose root may be one folder in it.

    Attributes
    ----------
    largest
        Most bytes that an entry may unpack to; `prepare` raises it for chunks.
    """

    supports_writes = False
    supports_deletes = False
    supports_partial_writes = False
    supports_listing = True

    def __init__(self, path: Path) -> None:
        super().__init__(read_only=True)
        self.path = path
        self.largest = MAX_JSON
        self._entries = _rooted(list_entries(path))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ZippedStore) and self.path == other.path

    __hash__ = None  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"zip://{self.path}"

    def content(self, key: str, limit: int = MAX_JSON) -> bytes | None:
        """Return the content of an entry of up to `limit` bytes, or None if it does not exist."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        return read_whole(self.path, key, entry, limit)

    def children(self, path: str) -> list[str]:
        """List the subfolders of a folder, sorted."""
        return sorted(self._folders.get(path, ()))[:MAX_CHILDREN]

    def prepare(self, array: Any, path: str) -> None:
        """Allow entries to unpack to the size of the chunks (or shards) of an opened array."""
        whole = math.prod(array.shards or array.chunks) * int(np.dtype(array.dtype).itemsize)
        index = 16 * MAX_INNER_CHUNKS if array.shards else 0
        # Incompressible chunks are stored with some overhead.
        self.largest = whole + whole // 8 + 2**16 + index

    @cached_property
    def _folders(self) -> dict[str, set[str]]:
        children: dict[str, set[str]] = {}
        for name in self._entries:
            parts = name.split("/")[:-1]
            for depth, part in enumerate(parts[:_MAX_DEPTH]):
                children.setdefault("/".join(parts[:depth]), set()).add(part)
        return children

    def _part(self, key: str, byte_range: Any) -> bytes | None:
        entry = self._entries.get(key)
        if entry is None:
            return None
        limit = MAX_JSON if key.rpartition("/")[2] in METADATA_FILES else self.largest
        if entry.size > limit and (entry.deflated or limit == MAX_JSON):
            raise ValueError(f"{key} unpacks to {entry.size} bytes, expected up to {limit}")
        start, stop = 0, entry.size
        if isinstance(byte_range, RangeByteRequest):
            start, stop = byte_range.start, byte_range.end
        elif isinstance(byte_range, OffsetByteRequest):
            start = byte_range.offset
        elif isinstance(byte_range, SuffixByteRequest):
            start = entry.size - byte_range.suffix
        start = min(max(0, start), entry.size)
        return read_part(self.path, key, entry, start, min(max(start, stop), entry.size))

    async def get(self, key: str, prototype: Any, byte_range: Any = None) -> Any:
        """Return the content of an entry, or None."""
        content = await asyncio.to_thread(self._part, key, byte_range)
        return None if content is None else prototype.buffer.from_bytes(content)

    async def get_partial_values(self, prototype: Any, key_ranges: Iterable[Any]) -> Any:
        """Return parts of entries."""
        return [await self.get(key, prototype, part) for key, part in key_ranges]

    async def exists(self, key: str) -> bool:
        """Whether there is such an entry."""
        return key in self._entries

    async def list(self) -> AsyncIterator[str]:
        """List all entries."""
        for key in self._entries:
            yield key

    async def list_prefix(self, prefix: str) -> AsyncIterator[str]:
        """List entries whose names begin with `prefix`."""
        for key in self._entries:
            if key.startswith(prefix):
                yield key

    async def list_dir(self, prefix: str) -> AsyncIterator[str]:
        """List entries and folders in a folder."""
        folder = f"{prefix.strip('/')}/".lstrip("/")
        inner = (key[len(folder) :] for key in self._entries if key.startswith(folder))
        for name in dict.fromkeys(key.partition("/")[0] for key in inner):
            yield name

    async def set(self, key: str, value: Any) -> None:
        """Raise NotImplementedError: it is read-only."""
        raise NotImplementedError

    async def delete(self, key: str) -> None:
        """Raise NotImplementedError: it is read-only."""
        raise NotImplementedError

    async def set_partial_values(self, key_start_values: Any) -> None:
        """Raise NotImplementedError: it is read-only."""
        raise NotImplementedError


def _rooted(entries: dict[str, Entry]) -> dict[str, Entry]:
    """Return entries by path below the Zarr root: the top, or the one folder with metadata."""
    if any(mark in entries for mark in METADATA_FILES):
        return entries
    roots = {name.split("/")[0] for name in entries if name.count("/") == 1}
    roots = {root for root in roots if any(f"{root}/{mark}" in entries for mark in METADATA_FILES)}
    if len(roots) != 1:
        raise ValueError(
            f"{len(roots)} folders in it have Zarr metadata, expected them at its top or in one "
            "folder"
        )
    start = f"{roots.pop()}/"
    return {name[len(start) :]: e for name, e in entries.items() if name.startswith(start)}
