"""How long work will take, from how far it is: for a progress bar."""

from __future__ import annotations

import time
from collections.abc import Callable

from isoslice.runtime.progress import spoken

#: Nothing is said before so many seconds, and so large a share of the work, are over.
LEAST_SECONDS, LEAST_SHARE = 1.0, 0.02


class TimeLeft:
    """Tells how far a task is and how long the rest takes, each task by itself.

    Parameters
    ----------
    clock
        Seconds that only grow; tests replace it.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._task, self._started, self._from = "", 0.0, 0.0

    def told(self, task: str, fraction: float) -> str:
        """Return one line: ``restoring: 40%, 20 s left``."""
        now = self._clock()
        if task != self._task:  # work that goes on does not begin at 0
            self._task, self._started, self._from = task, now, fraction
        line = f"{task}: {fraction:.0%}"
        seconds, done = now - self._started, fraction - self._from
        if seconds < LEAST_SECONDS or done < LEAST_SHARE:
            return line
        return f"{line}, {spoken(seconds * (1 - fraction) / done)} left"
