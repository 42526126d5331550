"""Two runs never do the same at once: the system's own locks, which end with the process."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from isoslice.errors import OutputError

#: Seconds between two looks at a lock that another process holds.
PAUSE = 0.5


@contextmanager
def locked(path: Path, output: Path, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock on the file `path` while the block runs.

    Parameters
    ----------
    path
        The file; made if it is missing, and left where it is.
    output
        What it protects, for the message.
    shared
        Others may hold it too, as long as they share it.

    Raises
    ------
    OutputError
        If another run holds it.
    """
    handle = _open(path)
    try:
        if not _taken(handle, shared):
            raise OutputError(
                f"{output}: another run is writing it, expected none; wait until that has ended, "
                "or choose another name"
            )
        yield
    finally:
        os.close(handle)


@contextmanager
def claimed(
    path: Path, *, wait: bool, waiting: Callable[[], None] = lambda: None
) -> Iterator[bool | None]:
    """Hold a lock on the file `path` while the block runs, if no one else does.

    Parameters
    ----------
    path
        The file; made if it is missing, and left where it is.
    wait
        Whether to wait for whoever holds it.
    waiting
        Called once where that is so.

    Yields
    ------
    True if it was free, None if it was waited for, False if it is not held.
    """
    handle = _open(path)
    try:
        held: bool | None = _taken(handle, shared=False)
        if wait and held is False:
            waiting()
        while wait and held is False:
            time.sleep(PAUSE)
            held = None if _taken(handle, shared=False) else False
        yield held
    finally:
        os.close(handle)


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT, 0o644)


def _taken(handle: int, shared: bool) -> bool:
    try:
        if sys.platform == "win32":
            import msvcrt

            # Windows has no shared locks of this kind; parts then lock files of their own alone.
            if not shared:
                msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
            fcntl.flock(handle, kind | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
