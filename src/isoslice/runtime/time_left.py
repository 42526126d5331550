"""How long work takes: in words, and the rest of it from how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable

#: Nothing is said of the rest before so many seconds, and so large a share of the work, are over;
#: after more seconds, any share is enough.
LEAST_SECONDS, LEAST_SHARE, ENOUGH_SECONDS = 1.0, 0.02, 30.0


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
        """Return one line: ``restoring: 40%, 20 s left``, or ``restoring: 100%, took 33 s``."""
        known = self.known(task, fraction)
        line = f"{task}: {min(max(fraction, 0.0), 1.0):.0%}"
        return f"{line}, {known}" if known else line

    def known(self, task: str, fraction: float) -> str:
        """Return what is known of the time: ``20 s left``, at the end ``took 33 s``, or nothing."""
        now = self._clock()
        if task != self._task:  # work that goes on does not begin at 0
            self._task, self._started, self._from = task, now, fraction
        seconds, done = now - self._started, fraction - self._from
        if seconds < LEAST_SECONDS:
            return ""
        if fraction >= 1:
            return f"took {spoken(seconds)}"
        if done <= 0 or (done < LEAST_SHARE and seconds < ENOUGH_SECONDS):
            return ""
        return f"{spoken(seconds * (1 - fraction) / done)} left"


def spoken(seconds: float) -> str:
    """Say a time in one unit: ``40 s``, ``12 min``, ``3.5 h``, ``4 days``."""
    seconds = max(0.0, seconds)  # rounded sums may leave a little less than nothing
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 60 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 60 * 60:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"
