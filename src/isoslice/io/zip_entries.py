"""Read entries of a ZIP archive, with limits on what they unpack to.

Python's zipfile reads the list of entries, of limited length; entries are read here, which is
thread-safe and bounds their unpacked size. Nothing is unpacked onto the disk.
"""

from __future__ import annotations

import io
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from isoslice.io.limits import DEFLATE_RATIO

#: Bytes of the list, for about 400,000 entries.
MAX_DIRECTORY = 2**25
_LOCAL_HEADER_BYTES = 30
#: Folder that macOS adds to archives.
_IGNORED = "__MACOSX"


class Entry(NamedTuple):
    """Position and packing of an entry in an archive."""

    offset: int
    packed: int
    size: int
    deflated: bool
    checksum: int


def list_entries(path: Path) -> dict[str, Entry]:
    """Return the checked entries of an archive by name.

    Raises
    ------
    ValueError, zipfile.BadZipFile
        If the archive is damaged; if a name leads out of it, or an entry is a link, encrypted, or
        larger than what its bytes can hold.
    """
    stored = path.stat().st_size
    entries = {}
    with _Limited(io.FileIO(path)) as file, zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            name = _clean(info.filename)
            if info.is_dir() or name.startswith(f"{_IGNORED}/"):
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(f"{name:.100} is a link; pack what it leads to")
            if info.flag_bits & 1 or info.compress_type not in (
                zipfile.ZIP_STORED,
                zipfile.ZIP_DEFLATED,
            ):
                raise ValueError(f"{name:.100} is encrypted or not packed by deflate; pack it anew")
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


def read_whole(path: Path, name: str, entry: Entry, limit: int) -> bytes:
    """Return the content of an entry of up to `limit` bytes, checked by its checksum.

    Raises
    ------
    ValueError
        If it is larger, cut off or damaged.
    """
    if entry.size > limit:
        raise ValueError(f"{name} has {entry.size} bytes, expected up to {limit}")
    return read_part(path, name, entry, 0, entry.size)


def read_part(path: Path, name: str, entry: Entry, start: int, stop: int) -> bytes:
    """Return bytes `start` to `stop` of an entry; a whole one is checked by its checksum.

    Raises
    ------
    ValueError
        If it is cut off or damaged.
    """
    with path.open("rb") as file:
        file.seek(entry.offset)
        head = file.read(_LOCAL_HEADER_BYTES)
        if len(head) < _LOCAL_HEADER_BYTES or head[:4] != b"PK\x03\x04":
            raise ValueError(f"{name} is not where the archive's list of entries says")
        file.seek(sum(struct.unpack_from("<HH", head, 26)), io.SEEK_CUR)
        if entry.deflated:
            content = _inflate(file.read(entry.packed), entry.size)
        else:
            file.seek(start, io.SEEK_CUR)
            content = file.read(stop - start)
    whole = entry.deflated or (start, stop) == (0, entry.size)
    if len(content) != (entry.size if whole else stop - start):
        raise ValueError(f"{name} is cut off")
    if whole and zlib.crc32(content) != entry.checksum:
        raise ValueError(f"{name} is damaged: its checksum is another")
    return content[start:stop] if entry.deflated else content


class _Limited(io.BufferedReader):
    """A file whose list of entries zipfile can read only up to `MAX_DIRECTORY`."""

    def read(self, size: int | None = -1, /) -> bytes:
        if size is not None and size > MAX_DIRECTORY:
            raise ValueError(
                f"its list of entries has {size} bytes, expected up to {MAX_DIRECTORY}; pack "
                "fewer, larger files (of an image, larger chunks) into it, or unpack it"
            )
        return super().read(size)


def _clean(name: str) -> str:
    """Return the name of an entry, after checking that it does not lead out of the archive."""
    name = name.removeprefix("./")
    parts = PurePosixPath(name).parts
    if ".." in parts or name.startswith("/") or set(name) & set("\\\0") or len(name) > 4096:
        raise ValueError(f"it holds the path {name!r:.100}, which leads out of it")
    return name


def _inflate(packed: bytes, size: int) -> bytes:
    """Decompress to at most one byte more than `size`."""
    try:
        return zlib.decompressobj(-15).decompress(packed, size + 1)
    except zlib.error as error:
        raise ValueError(f"an entry cannot be unpacked ({error})") from error
