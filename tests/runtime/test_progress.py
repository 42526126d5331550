import io
import re
import subprocess
import sys
import time

import pytest
from rich.console import Console

from isoslice.runtime import progress, time_left
from isoslice.runtime.progress import (
    PlainProgress,
    Progress,
    TerminalProgress,
    terminal_progress,
    told_if_slow,
)


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_base_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    silent = Progress()
    silent.note("hello")
    silent.update("training", 0.5, "detail")
    silent.close()
    assert capsys.readouterr() == ("", "")


def test_plain_lines_are_few() -> None:
    out, clock = io.StringIO(), Clock()
    plain = PlainProgress(out, every=20, clock=clock)
    for second in range(101):
        clock.now = second
        plain.update("training", second / 100, f"step {second}")
    lines = out.getvalue().splitlines()
    assert lines[0] == "training: 0% (step 0)"
    assert lines[2] == "training: 40%, 1 min left (step 40)"
    assert lines[3] == "training: 60%, 40 s left (step 60)"
    assert lines[-1] == "training: 100%, took 2 min (step 100)"
    assert len(lines) == 6


def test_plain_tasks_are_timed_apart_and_may_start_again() -> None:
    out, clock = io.StringIO(), Clock()
    plain = PlainProgress(out, every=20, clock=clock)
    for task, fraction in [("a", 0.0), ("b", 0.0), ("a", 0.5), ("a", 1.0), ("a", 0.0)]:
        plain.update(task, fraction)
    plain.note("done")
    assert out.getvalue().splitlines() == ["a: 0%", "b: 0%", "a: 100%", "a: 0%", "done"]


def test_fractions_out_of_range_are_shown_in_range() -> None:
    out = io.StringIO()
    plain = PlainProgress(out, every=0)
    plain.update("a", -1)
    plain.update("a", 7)
    assert out.getvalue().splitlines() == ["a: 0%", "a: 100%"]


def test_bars_show_task_detail_and_notes_as_written() -> None:
    out = io.StringIO()
    bars = TerminalProgress(Console(file=out, force_terminal=True, width=120))
    bars.note("output [5, 6, 7] -> [bold]x[/bold]")
    bars.update("sampling", 0.25, "batch [1/4]")
    bars.update("sampling", 1.0, "batch [4/4]")
    bars.update("sampling", 0.0)
    bars.close()
    bars.close()
    text = out.getvalue()
    assert "output [5, 6, 7] -> [bold]x[/bold]" in text
    assert "batch [4/4]" in text
    assert "100%" in text


def test_close_gives_the_cursor_back() -> None:
    out = io.StringIO()
    bars = TerminalProgress(Console(file=out, force_terminal=True))
    bars.update("sampling", 0.5)
    bars.close()
    assert out.getvalue().rindex("\x1b[?25h") > out.getvalue().rindex("\x1b[?25l")


def test_the_right_one_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(progress.sys, "stderr", stream)
    assert isinstance(terminal_progress(), PlainProgress)
    monkeypatch.setattr(stream, "isatty", lambda: True, raising=False)
    assert isinstance(terminal_progress(), TerminalProgress)
    assert type(terminal_progress(quiet=True)) is Progress


def test_importing_it_loads_no_rich() -> None:
    code = "import sys, isoslice.runtime.progress; sys.exit('rich' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_bars_say_the_time_in_words(monkeypatch: pytest.MonkeyPatch) -> None:
    out, clock = io.StringIO(), Clock()
    monkeypatch.setattr(time_left.TimeLeft.__init__, "__defaults__", (clock,))
    bars = TerminalProgress(Console(file=out, force_terminal=True, width=120))
    bars.update("training", 0.0)
    clock.now = 30.0
    bars.update("training", 0.75, "so far 0.9 dB better than linear interpolation")
    bars.close()
    assert "10 s left so far 0.9 dB better" in re.sub(r"\x1b\[[\d;?]*[A-Za-z]", "", out.getvalue())


def test_only_slow_work_is_told() -> None:
    out = io.StringIO()
    plain = PlainProgress(out)
    with told_if_slow(plain, "opening a.tif", after=60.0):
        pass
    assert out.getvalue() == ""
    with told_if_slow(plain, "opening b.tif", after=0.0):
        for _ in range(1000):
            if out.getvalue():
                break
            time.sleep(0.01)
    assert out.getvalue() == "opening b.tif\n"
