"""The interface to a folder or an archive of Zarr data, and paths within it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Protocol

from isoslice.io.limits import MAX_JSON

#: Most subfolders that are listed: a group with more does not hold images.
MAX_CHILDREN = 2**16


class Contents(Protocol):
    """A folder or an archive of Zarr data."""

    def content(self, key: str, limit: int = MAX_JSON) -> bytes | None:
        """Return the content of a file of up to `limit` bytes, or None if it does not exist."""

    def children(self, path: str) -> list[str]:
        """List the subfolders of a folder, sorted."""

    def prepare(self, array: Any, path: str) -> None:
        """Prepare for reading the chunks of an opened array, or raise `ValueError`."""


def inner_path(path: object) -> str:
    """Check a path in Zarr metadata, and return it normalised.

    Raises
    ------
    ValueError
        If it is no path, or leads out of the folder.
    """
    parts = PurePosixPath(path).parts if isinstance(path, str) else ()
    clean = isinstance(path, str) and not set(path) & set("\\:\0") and len(path) < 256
    if not clean or not parts or ".." in parts or parts[0] == "/":
        raise ValueError(f"its metadata name the path {path!r:.100}, which leads out of the folder")
    return "/".join(parts)
