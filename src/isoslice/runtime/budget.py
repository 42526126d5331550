"""Time budgets, on one monotonic clock."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass

#: Minutes of training where neither a time nor a number of steps is given.
DEFAULT_MINUTES = 10.0
#: Minutes of adapting the model that comes with isoslice to a stack.
ADAPTING_MINUTES = 0.5


def now() -> float:
    """Return seconds of a monotonic clock that all processes of a machine share."""
    return time.monotonic()


@dataclass(frozen=True)
class Deadline:
    """A time by which work must be done.

    Attributes
    ----------
    start, seconds
        When the work began, by `now`, and how long it may take; without limit by default.
    """

    start: float
    seconds: float = math.inf

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Start now, for `seconds`, or without limit."""
        return cls(now(), math.inf if seconds is None else max(0.0, seconds))

    @property
    def left(self) -> float:
        """Seconds that are left, not below 0."""
        return max(0.0, self.start + self.seconds - now())

    @property
    def passed(self) -> bool:
        """Whether time is up."""
        return self.left <= 0

    @property
    def share(self) -> float:
        """Share of the time that has passed, from 0 to 1; 0 without limit."""
        if math.isinf(self.seconds):
            return 0.0
        return 1 - self.left / self.seconds if self.seconds else 1.0
