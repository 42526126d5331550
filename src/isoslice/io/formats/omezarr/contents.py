"""What is looked through for images: a folder or an archive of Zarr data, and paths within it."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any, Protocol

from isoslice.io.limits import MAX_JSON

#: Folders within one that are looked at: a group of more is none of images.
MAX_CHILDREN = 2**16


class Contents(Protocol):
    """A folder or an archive of Zarr data."""

    def content(self, key: str, limit: int = MAX_JSON) -> bytes | None:
        """Return a file of up to so many bytes, or None where there is none."""

    def children(self, place: str) -> list[str]:
        """List the folders within one, sorted."""

    def prepare(self, array: Any, place: str) -> None:
        """Get ready to read the chunks of an opened array, or raise `ValueError`."""


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
        raise ValueError(f"its metadata name the path {path!r:.100}, which leads out of the folder")
    return "/".join(parts)
