"""Processes that are started, interrupted while they start, or left without a folder."""

from __future__ import annotations

import _thread
import itertools
import os
import signal
import threading

import pytest
from test_devices import job
from torch.distributed.elastic.multiprocessing import SignalException

from isoslice.runtime.progress import Progress
from isoslice.training import launcher


def test_ctrl_c_while_processes_start_is_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(*_: object) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # PyTorch's handler, which raises
        raise SignalException("got signal", signal.SIGINT)

    monkeypatch.setattr(launcher, "start_processes", start)
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        launcher.launch(job(), 2, Progress())
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("there", [True, False])
def test_processes_end_without_their_folder_and_without_their_parent(
    there, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class EndedError(Exception):
        pass

    def end(code: int) -> None:
        raise EndedError

    folder = tmp_path if there else tmp_path / "gone"
    parents = itertools.chain([1, 1, 1], itertools.repeat(0))
    interrupts: list[None] = []
    monkeypatch.setattr(os, "getppid", lambda: next(parents))
    monkeypatch.setattr(os, "_exit", end)
    monkeypatch.setattr(launcher.time, "sleep", lambda seconds: None)
    monkeypatch.setattr(_thread, "interrupt_main", lambda: interrupts.append(None))
    orphaned = threading.Event()
    with pytest.raises(EndedError):
        launcher._watch(folder, 1, orphaned)
    assert orphaned.is_set()
    assert len(interrupts) == (1 if there else 2)  # once for each reason
