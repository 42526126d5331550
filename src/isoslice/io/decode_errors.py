"""Whatever a library raises while a file is read becomes one line for the user.

It blames the file where the file is to blame, isoslice where isoslice is, and says so where neither
is certain.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from isoslice.errors import WHERE_TO_REPORT, DataError, IsosliceError, UnhandledError
from isoslice.io.versions import libraries_of, versions

#: Mistakes in a program. Libraries make them where a damaged file surprises them, too.
FAULTS = (
    AttributeError,
    TypeError,
    ImportError,
    NameError,
    AssertionError,
    NotImplementedError,
    RecursionError,
)


@contextmanager
def reading(
    path: Path,
    kind: str,
    advice: str = "copy or export it again",
    surprises: tuple[type[Exception], ...] = (),
) -> Iterator[None]:
    """Turn any error of the block into one about `path`.

    Parameters
    ----------
    path
        What is being read.
    kind
        What it should be, with its article: ``"a TIFF"``.
    advice
        What to do next.
    surprises
        Mistakes (of `FAULTS`) by which the library that reads says that a file is damaged.

    Raises
    ------
    DataError
        For every exception but those below, MemoryError and the system's own errors (no
        permission), which `read_volume` explains.
    UnhandledError
        If isoslice's own code made a mistake, or a library could not be imported.
    """
    try:
        yield
    except (IsosliceError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        check_blame(path, error)
        if isinstance(error, FAULTS) and not isinstance(error, surprises):
            raise DataError(
                f"{path}: got something that cannot be read as {kind} ({named(error)}; "
                f"{versions(libraries_of(error))}): it is damaged, or isoslice met something that "
                f"it does not handle; {advice}, and if other programs can open it, report it "
                f"{WHERE_TO_REPORT} with this line"
            ) from error
        raise DataError(
            f"{path}: got something that cannot be read as {kind} ({reason(error)}), expected a "
            f"complete one; {advice}"
        ) from error


def check_blame(path: Path, error: BaseException) -> None:
    """Raise `UnhandledError` if the file is not to blame for an error.

    That is so of a library that cannot be imported, and of mistakes in isoslice's own code.
    """
    if isinstance(error, ImportError) or (isinstance(error, FAULTS) and is_ours(error)):
        raise UnhandledError(unhandled_message(path, error)) from error


def unhandled_message(path: Path, error: BaseException) -> str:
    """Say that the file is not to blame, with all that a report needs."""
    told = f"{named(error)}; {versions(libraries_of(error))}"
    report = (
        f"report it {WHERE_TO_REPORT} with the output of 'isoslice env' and, if you can, the file"
    )
    if isinstance(error, ImportError) and not _is_own(error.name):
        library = (error.name or "").partition(".")[0]
        again = f" {library}" if library else ""
        return (
            f"{path}: cannot be read, since a library that isoslice needs is not as expected "
            f"({told}), which is no fault of the file; install{again or ' it'} again, for example "
            f"with 'python -m pip install --force-reinstall{again or ' LIBRARY'}', or {report}"
        )
    return (
        f"{path}: isoslice met something that it does not handle ({told}), which is no fault of "
        f"the file as far as it can tell; {report}"
    )


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised in isoslice's own code, and not in a library's.

    What code in C raises counts for its caller.
    """
    last = innermost(error.__traceback__)
    return last is not None and _is_own(last.tb_frame.f_globals.get("__name__"))


def innermost(traceback: TracebackType | None) -> TracebackType | None:
    """Return where an error was raised."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


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


def named(error: BaseException) -> str:
    """Return the type and the message of `error` on one line."""
    text, kind = reason(error), type(error).__name__
    return kind if text == kind else f"{kind}: {text}"


def reason(error: BaseException) -> str:
    """Return the message of `error` on one line, not too long; its type where it has none.

    Messages quote files: nothing that steers a terminal is kept.
    """
    text = " ".join(str(error).split())[:200]
    return "".join(c if c.isprintable() else "?" for c in text) or type(error).__name__


def _is_own(module: str | None) -> bool:
    return module is not None and f"{module}.".startswith("isoslice.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn any error of the block into a `DataError` about `path`, want of memory included."""
    try:
        with reading(path, "an image"):
            yield
    except MemoryError as error:
        raise DataError(
            f"{path}: got an image that does not fit in memory, or a damaged file; crop the image"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{path}: cannot be opened ({reason}), expected a readable image; check the path and "
            "its permissions"
        ) from error
