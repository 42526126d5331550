"""`main`: run the application; every failure becomes one line and an exit code."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import typer

from isoslice.cli.app import app
from isoslice.cli.interrupts import Interrupted, sigterm_as_interrupt
from isoslice.errors import WHERE_TO_REPORT, IsosliceError, IsosliceWarning, UnhandledError
from isoslice.runtime.debug import debugging

# Exit codes, beside 0: 1 and 2 as usual, 70 as sysexits.h has it, 130 as shells do.
FAILED, USAGE, BUG, INTERRUPTED = 1, 2, 70, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit code.

    Parameters
    ----------
    argv
        Arguments after the program's name; those of this process by default.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        with sigterm_as_interrupt(), _short_warnings():
            command = typer.main.get_command(app)
            # Without arguments: help instead of "Missing command".
            code = command.main(arguments or ["--help"], "isoslice", standalone_mode=False)
            sys.stdout.flush()
            return code if isinstance(code, int) else 0
    except BrokenPipeError:
        # The reader (such as `head`) is gone. Python flushes stdout at exit: let it.
        with suppress(Exception):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else FAILED
    except KeyboardInterrupt:
        return _fail("interrupted", INTERRUPTED)
    except Exception as error:
        if debugging():
            traceback.print_exc()
        return _fail(*explain(error))


def explain(error: Exception) -> tuple[str, int]:
    """Return the line that explains `error` to a user, and the exit code."""
    text = " ".join(str(error).split())
    if isinstance(error, Interrupted):
        logging.getLogger("asyncio").setLevel(logging.CRITICAL + 1)  # see _hush
        atexit.register(_hush)
        return f"interrupted: {text}", INTERRUPTED
    if isinstance(error, UnhandledError):
        return f"error: {text}", BUG
    if isinstance(error, IsosliceError):
        return f"error: {text}", FAILED
    # typer's usage errors; its versions keep the class in different places.
    if hasattr(error, "format_message") and hasattr(error, "exit_code"):
        context = getattr(error, "ctx", None)
        path = context.command_path if context is not None else "isoslice"
        text = " ".join(error.format_message().split()).removesuffix(".")
        if "extra argument" in text:  # most often a name with a space, which the shell cut in two
            text += '; put a name with spaces in quotation marks, such as "my stack.tif"'
        return f"error: {text}; see '{path} --help'", USAGE
    if _is_out_of_memory(error):
        return (
            "error: out of memory; close other programs, try --device cpu if this was a GPU, or "
            "cut the stack into smaller pieces in Y and X",
            FAILED,
        )
    if isinstance(error, OSError) and error.strerror:
        name = f"{error.filename}: " if error.filename else ""
        return f"error: {name}{error.strerror}", FAILED
    return (
        f"error: {type(error).__name__}: {text}; this is a bug: run with ISOSLICE_DEBUG=1 for the "
        f"traceback, and report it {WHERE_TO_REPORT} with the output of 'isoslice env'",
        BUG,
    )


def _fail(line: str, code: int) -> int:
    with suppress(OSError, ValueError):
        sys.stderr.write(f"isoslice: {line}\n")
        sys.stderr.flush()
    return code


def _hush() -> None:
    """Let an interrupted command end without tracebacks.

    Zarr's loop still has tasks then, and Python would tell of each while it ends.
    """
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")


def _is_out_of_memory(error: Exception) -> bool:
    # By name, because torch may not be loaded; its processor allocator raises a RuntimeError.
    text = str(error).lower()
    return (
        isinstance(error, MemoryError)
        or type(error).__name__ == "OutOfMemoryError"
        or (isinstance(error, RuntimeError) and ("out of memory" in text or "allocate mem" in text))
    )


@contextmanager
def _short_warnings() -> Iterator[None]:
    """Show our warnings as one line each, once, and other libraries' only to those who debug.

    A command may open a file more than once, which warns each time.
    """
    told: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *rest: Any, **named: Any) -> None:
        text = " ".join(str(message).split())
        if text in told:
            return
        told.add(text)
        name = "" if issubclass(category, IsosliceWarning) else f"{category.__name__}: "
        sys.stderr.write(f"isoslice: warning: {name}{text}\n")

    with warnings.catch_warnings():
        warnings.simplefilter("default" if debugging() else "ignore")
        warnings.simplefilter("always", IsosliceWarning)
        warnings.showwarning = show
        yield
