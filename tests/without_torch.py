"""Tests where PyTorch is not installed: what needs it is skipped, whatever else fails is red.

CI runs what needs no PyTorch on the newest Python and the newest libraries, in minutes. Registered
by conftest.py where there is no PyTorch; a developer's own environment always has it.
"""

from __future__ import annotations

from collections.abc import Generator

import pytest

#: Test files that must have a test that passed when all are run, so that a stray import of PyTorch
#: cannot skip them all. About nine in ten of those that pass today.
FEWEST_FILES = 30


def needs_torch(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, is PyTorch not being there."""
    while error is not None:
        if isinstance(error, ModuleNotFoundError) and error.name == "torch":
            return True
        error = error.__cause__ or error.__context__
    return False


class WithoutTorch:
    """Skips tests and files that come upon PyTorch, and counts the files that passed."""

    def __init__(self) -> None:
        self.passed: set[str] = set()

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Skip a file that imports PyTorch."""
        report = yield
        call = getattr(report, "call", None)
        if report.failed and call is not None and needs_torch(call.excinfo.value):
            report.outcome = "skipped"
            report.longrepr = (str(collector.path), 0, "Skipped: needs PyTorch")
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item, call: pytest.CallInfo[None]
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Skip a test that imports PyTorch while it runs."""
        report = yield
        if report.failed and call.excinfo is not None and needs_torch(call.excinfo.value):
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, "Skipped: needs PyTorch")
        if report.passed and report.when == "call":
            self.passed.add(item.path.name)
        return report

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Turn red if all tests were asked for, and hardly any ran."""
        everything = session.config.args == session.config.getini("testpaths")
        if everything and len(self.passed) < FEWEST_FILES:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED
            session.shouldfail = "hardly anything ran"

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say how many files passed without PyTorch."""
        terminalreporter.write_line(
            f"without PyTorch: tests of {len(self.passed)} files ran, expected at least "
            f"{FEWEST_FILES} when all are run"
        )
