"""A limit on how long a test may compute without being marked `slow`, so that `make fast` is."""

from __future__ import annotations

import time
from collections.abc import Generator

import pytest

LIMIT_S = 10.0


class Stopwatch:
    """Seconds of computing since it was made, of this process and not of those it starts.

    CPU time, since machines may be busy with other things; but no more than has passed, since
    threads that compute together, or wait for each other, count several times in it.
    """

    def __init__(self) -> None:
        self._began = time.process_time(), time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds until now."""
        return min(time.process_time() - self._began[0], time.perf_counter() - self._began[1])


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Fail a test that passed, but computed for too long without being marked."""
    stopwatch = Stopwatch()
    yield
    seconds, limit = stopwatch.seconds(), item.config.getoption("--cpu-limit")
    if seconds > limit and item.get_closest_marker("slow") is None:
        pytest.fail(
            f"got {seconds:.1f} s of CPU time, expected at most {limit:g}; make the test smaller, "
            "or mark it @pytest.mark.slow",
            pytrace=False,
        )
