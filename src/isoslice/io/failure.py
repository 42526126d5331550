"""Whatever a library raises on a damaged file becomes one line for the user."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from isoslice.errors import DataError

#: How Python tells of arguments that a function does not take.
_ARGUMENT = re.compile(r"\b(keyword|positional) arguments?\b")


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
        For every exception but MemoryError, the system's own errors (no permission), which
        `read_volume` explains, and those that are no fault of the file: see `is_ours`.
    """
    try:
        yield
    except (DataError, MemoryError):
        raise
    except Exception as error:
        if (isinstance(error, OSError) and error.errno is not None) or is_ours(error):
            raise
        raise DataError(
            f"{path}: got something that cannot be read as {kind} ({reason(error)}), expected a "
            f"complete one; {advice}"
        ) from error


def is_ours(error: BaseException) -> bool:
    """Whether we asked a library for something that it does not have, as of another version.

    That is an attribute that an object, class or module lacks, or an argument that a function does
    not take, where our own code asks. On values of Python's own types (None, a list) the same
    comes from what a file holds.
    """
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = trace.tb_frame.f_globals.get("__name__", "") if trace is not None else ""
    if where.partition(".")[0] != "isoslice":
        return False
    if isinstance(error, AttributeError):
        asked = error.obj
        return isinstance(asked, ModuleType | type) or type(asked).__module__ != "builtins"
    return isinstance(error, TypeError) and bool(_ARGUMENT.search(str(error)))


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
