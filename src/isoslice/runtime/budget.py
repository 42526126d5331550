"""Budgets of time: what is left of one, on one clock."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

#: Minutes of training where neither a time nor a number of steps is given.
DEFAULT_MINUTES = 10.0


def now() -> float:
    """Return seconds that only grow, the same in all processes of a machine."""
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """A time by which a work is to be done.

    Attributes
    ----------
    start, seconds
        When it began, by `now`, and what it may take; endless by default.
    """

    start: float
    seconds: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Begin now, with so many seconds, or without end."""
        return cls(now(), math.inf if seconds is None else max(0.0, seconds))

    @property
    def left(self) -> float:
        """Seconds until then, not below 0."""
        return max(0.0, self.start + self.seconds - now())

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return self.left <= 0

    @property
    def share(self) -> float:
        """Share of the time that has gone by, from 0 to 1; 0 where there is no end."""
        if math.isinf(self.seconds):
            return 0.0
        return 1 - self.left / self.seconds if self.seconds else 1.0
