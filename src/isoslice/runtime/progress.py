"""Progress of long work: one interface, silent by default.

The library never prints. The command line passes `terminal_progress()`.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from isoslice.runtime.time_left import TimeLeft

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress as RichProgress
    from rich.progress import TaskID


class Progress:
    """Receives notes and progress; this base class ignores them."""

    def note(self, text: str) -> None:
        """Show one line that the user should read (a choice that was made, a finding)."""

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Show `task` as `fraction` done (0 to 1; 1 ends it), with a short `detail`."""

    def close(self) -> None:
        """Restore the terminal."""


class PlainProgress(Progress):
    """Plain lines for logs and pipes: a task's start, its end, and a few lines between.

    Parameters
    ----------
    stream
        Where lines go; standard error by default.
    every
        Minimum number of seconds between two lines of the same task.
    clock
        Monotonic clock, in seconds; tests replace it.
    """

    def __init__(
        self,
        stream: TextIO | None = None,
        every: float = 20.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self._every = every
        self._clock = clock
        self._printed: dict[str, float] = {}
        self._times: dict[str, TimeLeft] = {}

    def note(self, text: str) -> None:
        """Print `text`."""
        self._line(text)

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Print a line if the task starts, ends, or was silent for a while."""
        now = self._clock()
        ended = fraction >= 1
        line = self._times.setdefault(task, TimeLeft(self._clock)).told(task, fraction)
        if not ended and now - self._printed.get(task, float("-inf")) < self._every:
            return
        self._printed[task] = now
        if ended:
            del self._printed[task], self._times[task]
        self._line(line + (f" ({detail})" if detail else ""))

    def _line(self, text: str) -> None:
        self._stream.write(text + "\n")
        self._stream.flush()


class TerminalProgress(Progress):
    """One live bar per task, by rich, with notes scrolling above them.

    Parameters
    ----------
    console
        Where to draw; standard error by default.
    """

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console

        self._console = console if console is not None else Console(stderr=True)
        self._bars: RichProgress | None = None
        self._tasks: dict[str, TaskID] = {}
        self._times: dict[str, TimeLeft] = {}

    def note(self, text: str) -> None:
        """Print `text` above the bars."""
        # Square brackets in paths and shapes are not markup.
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Move the bar of `task`, which appears with its first update and stays when full."""
        bars = self._bars = self._bars or self._start()
        if task not in self._tasks:
            self._times[task] = TimeLeft()
            self._tasks[task] = bars.add_task(task, total=1.0, time="", detail=detail)
        known = self._times[task].known(task, fraction)
        # rich counts a task as finished at its total, so the last update must reach it exactly.
        done = min(max(fraction, 0.0), 1.0)
        bars.update(self._tasks[task], completed=done, time=known, detail=detail)
        if fraction >= 1:
            del self._tasks[task], self._times[task]

    def close(self) -> None:
        """Stop drawing and give the cursor back."""
        if self._bars is not None:
            self._bars.stop()
        self._bars = None
        self._tasks.clear()
        self._times.clear()

    def _start(self) -> RichProgress:
        from rich import progress

        bars = progress.Progress(
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.TaskProgressColumn(),
            progress.TextColumn("{task.fields[time]}", markup=False),
            progress.TextColumn("{task.fields[detail]}", markup=False),
            console=self._console,
            redirect_stdout=False,
        )
        bars.start()
        return bars


def terminal_progress(quiet: bool = False) -> Progress:
    """Return live bars if standard error is a terminal, else plain lines.

    Parameters
    ----------
    quiet
        Show nothing.
    """
    if quiet:
        return Progress()
    return TerminalProgress() if sys.stderr.isatty() else PlainProgress()


@contextmanager
def told_if_slow(progress: Progress, text: str, after: float = 1.5) -> Iterator[None]:
    """Note `text` if what is done within takes more than some seconds.

    For work that cannot say how far it is.
    """
    timer = threading.Timer(after, progress.note, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
