"""Whatever a library raises on a damaged file becomes one line for the user."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from isoslice.errors import DataError


@contextmanager
def reading(path: Path, kind: str, advice: str = "copy or export it again") -> Iterator[None]:
    """Turn any error of the block into a `DataError` about `path`.

    Parameters
    ----------
    path
        What is being read.
    kind
        What it should be, with its article: ``"a TIFF"``.
    advice
        What to do next.

    Raises
    ------
    DataError
        For every exception but MemoryError and the system's own errors (no permission), which
        `read_volume` explains.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise DataError(
            f"{path}: got something that cannot be read as {kind} ({reason(error)}), expected a "
            f"complete one; {advice}"
        ) from error


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Keep a library's log off the terminal; what matters is checked here."""
    logger = logging.getLogger(name)
    before = logger.disabled
    logger.disabled = True
    try:
        yield
    finally:
        logger.disabled = before


def reason(error: BaseException) -> str:
    """Return the message of `error` on one line, not too long; its type where it has none.

    Messages quote files: nothing that steers a terminal is kept.
    """
    text = " ".join(str(error).split())[:200]
    return "".join(c if c.isprintable() else "?" for c in text) or type(error).__name__
