"""Paths as people write them."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TypeVar

AnyPath = TypeVar("AnyPath", str, Path)

#: ``~/`` and ``~user/``; Windows takes both strokes.
_AT_HOME = re.compile(r"~[^/\\]*[/\\]" if os.name == "nt" else r"~[^/]*/")


def at_home(path: AnyPath, folder: Path | None = None) -> AnyPath:
    """Expand a leading ``~/`` or ``~user/``, which no shell expands within quotes.

    Parameters
    ----------
    path
        Comes back as it is if it begins otherwise, if there is a file of that very name or a folder
        for it, or if there is no such user.
    folder
        That it is relative to; the current one by default.
    """
    text = str(path)
    if not _AT_HOME.match(text):
        return path
    literal = (folder or Path()) / text
    if literal.exists() or literal.parent.exists():
        return path
    expanded = os.path.expanduser(text)  # noqa: PTH111 - pathlib raises, and drops a last stroke
    return type(path)(expanded)
