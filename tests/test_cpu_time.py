"""Tests that compute for long and are not marked `slow` fail."""

import time

import pytest

from cpu_time import Stopwatch

pytest_plugins = ["pytester"]

BUSY = """
import time

import pytest

def compute():
    began = time.process_time()
    while time.process_time() - began < 0.2:
        pass

def test_unmarked():
    compute()

@pytest.mark.slow
def test_marked():
    compute()

def test_waiting():
    time.sleep(0.2)

def test_failing():
    compute()
    assert 1 == 2
"""


def test_long_tests_must_be_marked(pytester: pytest.Pytester) -> None:
    pytester.makeini("[pytest]\nmarkers =\n  slow: long")
    pytester.makeconftest(
        "def pytest_addoption(parser):\n    parser.addoption('--cpu-limit', type=float)\n"
    )
    pytester.makepyfile(BUSY)
    ran = pytester.inline_run("-p", "cpu_time", "--cpu-limit", "0.1")
    passed, _, failed = ran.listoutcomes()
    assert [report.nodeid.partition("::")[2] for report in passed] == [
        "test_marked",
        "test_waiting",
    ]
    messages = {report.nodeid.partition("::")[2]: report.longreprtext for report in failed}
    assert list(messages) == ["test_unmarked", "test_failing"]
    assert "s of CPU time, expected at most 0.1; make the test smaller" in messages["test_unmarked"]
    assert "assert 1 == 2" in messages["test_failing"]


def test_threads_do_not_count_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    stopwatch = Stopwatch()
    monkeypatch.setattr(time, "process_time", lambda: 1e9)
    assert 0 < stopwatch.seconds() < 10
