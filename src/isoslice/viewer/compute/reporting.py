"""Progress, notes and warnings of a request, told to the window; and its cancellation."""

from __future__ import annotations

import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from isoslice.errors import DoubtWarning, IsosliceWarning
from isoslice.runtime.progress import Progress
from isoslice.viewer.messages import Note, Progressed, Reply, Warned

#: Seconds between two reports of the same task.
EVERY = 0.1


class Cancelled(BaseException):
    """The window cancelled a request; no `except Exception` takes it for a failure."""


class Cancellation:
    """Numbers of requests that the window has cancelled: all up to one."""

    def __init__(self) -> None:
        self._up_to = 0
        self._lock = threading.Lock()

    def cancel(self, number: int) -> None:
        """Cancel all requests up to a number."""
        with self._lock:
            self._up_to = max(self._up_to, number)

    def check(self, number: int) -> None:
        """Raise `Cancelled` if a request was cancelled."""
        if number <= self._up_to:
            raise Cancelled


class Reporting(Progress):
    """Tells the window, and ends a cancelled request at its next report.

    Parameters
    ----------
    number
        Of the request.
    send
        Takes replies.
    cancellation
        Which requests are cancelled.
    clock
        Seconds that only grow; tests replace it.
    """

    def __init__(
        self,
        number: int,
        send: Callable[[Reply], None],
        cancellation: Cancellation,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._number, self._send, self._cancellation = number, send, cancellation
        self._clock = clock
        self._told: tuple[str, float] = ("", float("-inf"))

    def note(self, text: str) -> None:
        """Send a note."""
        self._cancellation.check(self._number)
        self._send(Note(self._number, text))

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Send how far a task is, ten times a second at most.

        Raises
        ------
        Cancelled
            If the request was cancelled.
        """
        self._cancellation.check(self._number)
        now = self._clock()
        if task == self._told[0] and fraction < 1 and now - self._told[1] < EVERY:
            return
        self._told = task, now
        self._send(Progressed(self._number, task, min(max(fraction, 0.0), 1.0)))


@contextmanager
def warnings_told(number: int, send: Callable[[Reply], None]) -> Iterator[None]:
    """Send isoslice's warnings to the window as they come, each once; others go to the terminal."""
    told = set[str]()
    with warnings.catch_warnings():
        shown = warnings.showwarning
        warnings.simplefilter("always", IsosliceWarning)

        def show(
            message: Warning | str,
            category: type[Warning],
            filename: str,
            lineno: int,
            file: object = None,
            line: str | None = None,
        ) -> None:
            if not issubclass(category, IsosliceWarning):
                shown(message, category, filename, lineno, None, line)
            elif str(message) not in told:
                told.add(str(message))
                send(Warned(number, str(message), issubclass(category, DoubtWarning)))

        warnings.showwarning = show
        yield
