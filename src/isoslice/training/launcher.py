"""Start processes that train together on this machine, monitor them, and load the model.

Each is a new Python process that reads its job from a file and does not import the caller's main
module, so that this works in scripts and notebooks. PyTorch's elastic launcher starts them, and
ends all if one of them fails. It gives them no input: they look for a file that asks them to stop,
and for the caller's death; the first one reports to a file.
"""

from __future__ import annotations

import json
import logging
import os
import pickle
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from torch.distributed.elastic.multiprocessing import (
    DefaultLogsSpecs,
    PContext,
    RunProcsResult,
    SignalException,
    Std,
    start_processes,
)

from isoslice import errors
from isoslice.inference.model import Model
from isoslice.io.atomic import atomic_write
from isoslice.runtime.debug import debugging
from isoslice.runtime.progress import Progress
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.session import TrainingRun, run_here

JOB, MODEL, RENDEZVOUS, REPORTS, STOP = "job", "model", "meeting", "reports", "stop"
#: Windows has no such signal.
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
#: Seconds between looks at the processes and, by these, at the caller.
POLL_INTERVAL = 0.2
#: Seconds that processes have to end by themselves after the caller's death.
SHUTDOWN_TIMEOUT = 60.0


def run_training(
    job: TrainingRun, topology: ProcessTopology | None, devices: int, progress: Progress
) -> Model:
    """Train in this process or, without a topology, in new ones.

    Parameters
    ----------
    topology
        See `topology.find_topology`; None to start `devices` processes.
    progress
        Receives progress, of the first process only.
    """
    if topology is None:
        return launch(job, devices, progress)
    return run_here(job, topology, progress if topology.first else Progress())


def launch(job: TrainingRun, count: int, progress: Progress) -> Model:
    """Train in `count` processes on this machine.

    Raises
    ------
    KeyboardInterrupt
        If this process is interrupted (or `progress` raises it), after the others have finished
        their step and written a checkpoint.
    IsosliceError
        If one of the processes raises it.
    """
    progress.note(f"starting {count} processes")
    threads = max(1, torch.get_num_threads() // count)
    with tempfile.TemporaryDirectory(prefix="isoslice-processes-") as name:
        folder = Path(name)
        write_job(job, folder)
        processes = _start(folder, count, threads)
        try:
            _monitor(processes, folder, progress)
        finally:
            processes.close(KILL)
        return Model.load(folder / MODEL)


def write_job(job: TrainingRun, folder: Path) -> None:
    """Pickle a job, with its arrays in separate files."""
    arrays: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(job, protocol=5, buffer_callback=arrays.append)
    for index, array in enumerate(arrays):
        (folder / f"{JOB}-{index}").write_bytes(array.raw())
    (folder / JOB).write_bytes(pickle.dumps(len(arrays)) + rest)


def read_job(folder: Path) -> TrainingRun:
    """Unpickle a job; arrays are memory maps, of which all processes share one copy."""
    arrays: list[Any] = []
    with (folder / JOB).open("rb") as stream:
        for index in range(pickle.load(stream)):
            path = folder / f"{JOB}-{index}"
            arrays.append(np.memmap(path, mode="r") if path.stat().st_size else b"")
        job = pickle.load(stream, buffers=arrays)
    assert isinstance(job, TrainingRun)
    return job


def _start(folder: Path, count: int, threads: int) -> PContext:
    # Output goes to files from the first import on; PyTorch would leave these open.
    code = (
        "import json, os, sys; paths, hidden = json.loads(sys.argv.pop()); "
        "log = os.open(f'{sys.argv[1]}/log-{sys.argv[2]}', os.O_WRONLY | os.O_CREAT); "
        "[os.dup2(log, stream) for stream in hidden]; sys.path[:] = paths; "
        "from isoslice.training.launcher import run_worker; run_worker()"
    )
    hidden = [1] if debugging() else [1, 2]
    rest = (count, threads, os.getpid(), json.dumps([sys.path, hidden]))
    logging.getLogger("torch.distributed.elastic.multiprocessing.api").setLevel(logging.CRITICAL)
    try:
        with _own_signals():
            return start_processes(
                "training",
                sys.executable,
                {rank: ("-c", code, str(folder), rank, *rest) for rank in range(count)},
                {rank: {"OMP_NUM_THREADS": str(threads)} for rank in range(count)},
                DefaultLogsSpecs(str(folder), Std.NONE),
            )
    except SignalException as interrupted:
        # Those that run already find their folder gone.
        raise KeyboardInterrupt from interrupted


@contextmanager
def _own_signals() -> Iterator[None]:
    """Restore the handlers that `start_processes` replaces."""
    names = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    try:
        yield
    finally:
        if threading.current_thread() is threading.main_thread():
            for number, handler in before.items():
                signal.signal(number, handler)


def _monitor(processes: PContext, folder: Path, progress: Progress) -> None:
    """Forward the first process's reports until all have ended."""
    interrupted, result = False, None
    (folder / REPORTS).touch()
    with (folder / REPORTS).open(encoding="utf-8") as reports:
        while result is None:
            try:
                result = processes.wait(0)
                _forward(reports, Progress() if interrupted else progress)
                if result is None:
                    time.sleep(POLL_INTERVAL)
            except KeyboardInterrupt:
                if interrupted:  # the second time: immediately
                    raise
                interrupted = True
                (folder / STOP).touch()
    if result.is_failed() and not interrupted:
        raise _failure(result, processes.nprocs, folder)
    if result.is_failed() or any(folder.glob("interrupted-*")):
        raise KeyboardInterrupt


def _forward(reports: IO[str], progress: Progress) -> None:
    while True:
        start, line = reports.tell(), reports.readline()
        if not line.endswith("\n"):
            reports.seek(start)
            return
        kind, *rest = json.loads(line)
        (progress.note if kind == "note" else progress.update)(*rest)


def _failure(result: RunProcsResult, count: int, folder: Path) -> BaseException:
    """Return the error of the process that failed first, which may have caused the others'."""
    failures = result.failures
    told = [
        (*json.loads(path.read_text(encoding="utf-8")), rank)
        for rank in range(count)
        if (path := _error(folder, rank)).exists()
    ]
    # PyTorch kills what does not end within 30 seconds of a failure.
    first = min([when for when, *_ in told] + [each.timestamp for each in failures.values()])
    for rank, each in failures.items():
        if each.exitcode == -KILL and each.timestamp < first + 20:
            return errors.SettingsError(
                f"process {rank} of {count} was killed, which happens where memory runs out; train "
                "with fewer devices, or close other programs"
            )
        if each.exitcode < 0 and each.exitcode not in (-signal.SIGTERM, -KILL):
            return RuntimeError(f"process {rank} of {count} ended by signal {-each.exitcode}")
    if told:
        _, kind, text, rank = min(told)
        error_class = getattr(errors, kind, None)
        if isinstance(error_class, type) and issubclass(error_class, errors.IsosliceError):
            return error_class(text)
        return RuntimeError(f"process {rank} of {count}: {kind}: {text}")
    if any(each.exitcode == -signal.SIGTERM for each in failures.values()):
        return KeyboardInterrupt()
    rank = next(iter(failures))
    log = folder / f"log-{rank}"
    said = log.read_text(errors="replace") if log.exists() else ""
    last = said.strip().splitlines()[-1:]
    return RuntimeError(f"process {rank} of {count} did not start: {' '.join(last)}")


def run_worker() -> None:
    """Entry point of a process started by `launch`: train, then exit."""
    folder, rank, count, threads, caller = Path(sys.argv[1]), *map(int, sys.argv[2:6])
    if sys.platform == "win32":  # where a virtual environment's Python starts another one
        caller = os.getppid()
    orphaned = threading.Event()
    threading.Thread(target=_watch, args=(folder, caller, orphaned), daemon=True).start()
    code = 0
    try:
        torch.set_num_threads(threads)
        url = (folder / RENDEZVOUS).as_uri()
        topology = ProcessTopology(rank, count, rank, count, init_method=url)
        report = _Report(folder / REPORTS) if topology.first else Progress()
        model = run_here(read_job(folder), topology, report)
        if topology.first:
            model.save(folder / MODEL)
    except KeyboardInterrupt:  # no failure, for which PyTorch would end the others
        with suppress(OSError):
            (folder / f"interrupted-{rank}").touch()
    except BaseException as error:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # PyTorch's, if another ended before
        code = 1
        line = [time.time(), type(error).__name__, str(error)]
        with atomic_write(_error(folder, rank)) as stream:
            stream.write(json.dumps(line).encode())
        if debugging():
            sys.excepthook(type(error), error, error.__traceback__)
    with suppress(OSError):
        sys.stderr.flush()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)  # a normal exit might wait for other processes, which may be gone


class _Report(Progress):
    """Appends notes and progress to a file, as lines of JSON."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def note(self, text: str) -> None:
        self._send("note", text)

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        self._send("update", task, fraction, detail)

    def _send(self, *report: object) -> None:
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(report) + "\n")


def _watch(folder: Path, caller: int, orphaned: threading.Event) -> None:
    """Interrupt this process if the caller asks for it or is gone; set `orphaned` then."""
    import _thread

    asked = False
    while os.getppid() == caller:
        if not asked and ((folder / STOP).exists() or not folder.exists()):
            asked = True
            _thread.interrupt_main()
        time.sleep(POLL_INTERVAL)
    orphaned.set()
    _thread.interrupt_main()
    time.sleep(SHUTDOWN_TIMEOUT)
    os._exit(1)


def _error(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}"
