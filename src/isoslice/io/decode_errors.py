"""Errors of libraries that read a file, turned into one line for the user.

The message says whether the file or isoslice is at fault, or that neither is certain.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from isoslice.errors import WHERE_TO_REPORT, DataError, IsosliceError, UnhandledError
from isoslice.io.versions import libraries_of, versions

#: Exceptions of programming errors, which libraries raise for damaged files too.
PROGRAMMING_ERRORS = (
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
        The file.
    kind
        Its expected format, with article: ``"a TIFF"``.
    advice
        What to do next.
    surprises
        Exceptions of `PROGRAMMING_ERRORS` that the library raises for damaged files.

    Raises
    ------
    DataError
        For all exceptions except those below, MemoryError and the system's errors (no permission),
        which `explained` handles.
    UnhandledError
        If isoslice's code is at fault, or a library could not be imported.
    """
    try:
        yield
    except (IsosliceError, MemoryError):
        raise
    except Exception as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        check_blame(path, error)
        if isinstance(error, PROGRAMMING_ERRORS) and not isinstance(error, surprises):
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
    """Raise `UnhandledError` for errors that are no fault of the file.

    These are libraries that cannot be imported, and programming errors in isoslice's code.
    """
    if isinstance(error, ImportError) or (isinstance(error, PROGRAMMING_ERRORS) and is_ours(error)):
        raise UnhandledError(unhandled_message(path, error)) from error


def unhandled_message(path: Path, error: BaseException) -> str:
    """Return the message of an error that is no fault of the file, with details to report."""
    cause = f"{named(error)}; {versions(libraries_of(error))}"
    report = (
        f"report it {WHERE_TO_REPORT} with the output of 'isoslice env' and, if you can, the file"
    )
    if isinstance(error, ImportError) and not _is_own(error.name):
        library = (error.name or "").partition(".")[0]
        again = f" {library}" if library else ""
        return (
            f"{path}: cannot be read, since a library that isoslice needs is not as expected "
            f"({cause}), which is no fault of the file; install{again or ' it'} again, for example "
            f"with 'python -m pip install --force-reinstall{again or ' LIBRARY'}', or {report}"
        )
    return (
        f"{path}: isoslice met something that it does not handle ({cause}), which is no fault of "
        f"the file as far as it can tell; {report}"
    )


def is_ours(error: BaseException) -> bool:
    """Whether an error was raised in isoslice's code, not in a library's.

    Errors of C extensions count as errors of their callers.
    """
    last = origin_of_error(error.__traceback__)
    return last is not None and _is_own(last.tb_frame.f_globals.get("__name__"))


def origin_of_error(traceback: TracebackType | None) -> TracebackType | None:
    """Return the innermost traceback, where the error was raised."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return traceback


@contextmanager
def quiet(name: str) -> Iterator[None]:
    """Silence a library's logger during the block."""
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
    """Return the message of `error` on one line of up to 200 characters, or its type.

    Messages quote files: control characters are replaced, as they could change a terminal.
    """
    text = " ".join(str(error).split())[:200]
    return "".join(c if c.isprintable() else "?" for c in text) or type(error).__name__


def _is_own(module: str | None) -> bool:
    return module is not None and f"{module}.".startswith("isoslice.")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn any error of the block, including lack of memory, into a `DataError` about `path`."""
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
