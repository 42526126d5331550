"""A Zarr store of a ZIP archive, with limits on what entries unpack to.

Python's zipfile reads the directory, of limited length; entries are read here, which is thread-safe
and bounds their unpacked size.
"""

from __future__ import annotations

import asyncio
import io
import math
import struct
import zipfile
import zlib
from collections.abc import AsyncIterator, Iterable
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
from zarr.abc.store import OffsetByteRequest, RangeByteRequest, Store, SuffixByteRequest

from isoslice.io.formats.omezarr.codecs import MAX_INNER_CHUNKS
from isoslice.io.formats.omezarr.contents import MAX_CHILDREN
from isoslice.io.formats.omezarr.integrity import METADATA_FILES
from isoslice.io.limits import DEFLATE_RATIO, MAX_JSON

#: Bytes of the directory, for about 400,000 entries.
MAX_DIRECTORY = 2**25
_LOCAL_HEADER_BYTES = 30
#: Folder that macOS adds to archives.
_IGNORED = "__MACOSX"
#: Depth to which folders are listed.
_MAX_DEPTH = 8


class Entry(NamedTuple):
    """Position and packing of an entry in an archive."""

    offset: int
    packed: int
    size: int
    deflated: bool
    checksum: int


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
        self._entries = _rooted(_entries(path))

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
        if entry.size > limit:
            raise ValueError(f"{key} has {entry.size} bytes, expected up to {limit}")
        return self._read(key, entry, 0, entry.size)

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

    def _read(self, key: str, entry: Entry, start: int, stop: int) -> bytes:
        """Return a part of an entry; a whole one is checked by its checksum."""
        with self.path.open("rb") as file:
            file.seek(entry.offset)
            head = file.read(_LOCAL_HEADER_BYTES)
            if len(head) < _LOCAL_HEADER_BYTES or head[:4] != b"PK\x03\x04":
                raise ValueError(f"{key} is not where the archive's list of entries says")
            file.seek(sum(struct.unpack_from("<HH", head, 26)), io.SEEK_CUR)
            if entry.deflated:
                content = _inflate(file.read(entry.packed), entry.size)
            else:
                file.seek(start, io.SEEK_CUR)
                content = file.read(stop - start)
        whole = entry.deflated or (start, stop) == (0, entry.size)
        if len(content) != (entry.size if whole else stop - start):
            raise ValueError(f"{key} is cut off")
        if whole and zlib.crc32(content) != entry.checksum:
            raise ValueError(f"{key} is damaged: its checksum is another")
        return content[start:stop] if entry.deflated else content

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
        return self._read(key, entry, start, min(max(start, stop), entry.size))

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


class _Limited(io.BufferedReader):
    """A file whose directory zipfile can read only up to `MAX_DIRECTORY`."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise ValueError(
                f"its list of entries has {size} bytes, expected up to {MAX_DIRECTORY}; write it "
                "with larger chunks, or unpack it"
            )
        return super().read(size)


def _entries(path: Path) -> dict[str, Entry]:
    """Return the checked entries of an archive by name."""
    stored = path.stat().st_size
    entries = {}
    with _Limited(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _clean(info.filename)
            if info.is_dir() or name.startswith(f"{_IGNORED}/"):
                continue
            if info.flag_bits & 1 or info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                raise ValueError(f"{name:.100} is encrypted or not packed by deflate; unpack it")
            deflated = info.compress_type == zipfile.ZIP_DEFLATED
            entry = Entry(
                info.header_offset, info.compress_size, info.file_size, deflated, info.CRC
            )
            inside = 0 <= entry.offset <= stored - entry.packed
            ratio = DEFLATE_RATIO if deflated else 1
            if not inside or entry.size > ratio * entry.packed:
                raise ValueError(
                    f"{name:.100} declares {entry.size} bytes, packed into {entry.packed}: it is "
                    "damaged or made to fill the memory"
                )
            entries[name] = entry
    return entries


def _clean(name: str) -> str:
    """Return the name of an entry, after checking that it does not lead out of the archive."""
    name = name.removeprefix("./")
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/") or set(name) & set("\\\0") or len(name) > 4096:
        raise ValueError(f"it holds the path {name!r:.100}, which leads out of it")
    return name


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


def _inflate(packed: bytes, size: int) -> bytes:
    """Decompress to at most one byte more than `size`."""
    try:
        return zlib.decompressobj(-15).decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(f"an entry cannot be unpacked ({error})") from error
