"""Start processes that train together on this machine, monitor them, and load the model.

Each is a new Python process that reads its job from a file and does not import the caller's main
module, so that this works in scripts and notebooks. The caller is none of them, and does not hang
if one of them dies. docs/training.md says why PyTorch's elastic launcher does not do this.
"""

from __future__ import annotations

import json
import os
import pickle
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

import numpy as np
import torch

from isoslice import errors
from isoslice.inference.model import Model
from isoslice.io.atomic import atomic_write
from isoslice.runtime.debug import debugging
from isoslice.runtime.progress import Progress
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.session import TrainingRun, run_here

JOB, MODEL, RENDEZVOUS = "job", "model", "meeting"
#: Exit code of an interrupted process.
INTERRUPTED = 130
#: Seconds between polls of the processes.
POLL_INTERVAL = 0.2
#: Seconds that processes have to report errors after one of them failed.
ERROR_GRACE = 3.0
#: Seconds that processes have to end by themselves after an interrupt or the caller's death.
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
        children: list[subprocess.Popen[bytes]] = []
        try:
            for rank in range(count):
                children.append(_start(folder, rank, count, threads))
            _monitor(children, folder, progress)
        finally:
            for child in children:
                child.kill()
                child.wait()
                with suppress(OSError):
                    _pipe(child.stdin).close()
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


def _start(folder: Path, rank: int, count: int, threads: int) -> subprocess.Popen[bytes]:
    code = (
        "import json, sys; sys.path[:] = json.loads(sys.argv.pop()); "
        "from isoslice.training.launcher import run_worker; run_worker()"
    )
    numbers = [str(number) for number in (rank, count, threads)]
    arguments = [sys.executable, "-c", code, str(folder), *numbers, json.dumps(sys.path)]
    with _log(folder, rank).open("wb") as log:
        return subprocess.Popen(
            arguments,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if rank == 0 else log,
            stderr=None if debugging() else log,
            env={**os.environ, "OMP_NUM_THREADS": str(threads)},
            start_new_session=True,  # only the caller gets Ctrl-C, and passes it on
        )


def _monitor(children: Sequence[subprocess.Popen[bytes]], folder: Path, progress: Progress) -> None:
    """Forward the first process's reports until all have ended."""
    lines: queue.Queue[bytes] = queue.Queue()
    reader = threading.Thread(target=_queue_lines, args=(children[0], lines), daemon=True)
    reader.start()
    interrupted, time_left = False, SHUTDOWN_TIMEOUT
    while True:
        try:
            codes = [child.poll() for child in children]
            ended = None not in codes
            if ended:
                reader.join(ERROR_GRACE)
            _forward(lines, Progress() if interrupted else progress, wait=not ended)
            if interrupted and any(codes):  # the others may wait for one that failed
                time_left -= POLL_INTERVAL
            if interrupted and (ended or time_left < 0):
                break
            if not interrupted and any(codes):
                raise _failure(children, folder)
            if ended:
                return
        except KeyboardInterrupt:
            if interrupted:  # the second time: immediately
                raise
            interrupted = True
            for child in children:
                with suppress(OSError):
                    _pipe(child.stdin).write(b"stop\n")
                    _pipe(child.stdin).flush()
    if any(codes) or not ended:  # else they finished before the interrupt
        raise KeyboardInterrupt


def _forward(lines: queue.Queue[bytes], progress: Progress, *, wait: bool) -> None:
    with suppress(queue.Empty):
        while True:
            kind, *rest = json.loads(lines.get(block=wait, timeout=POLL_INTERVAL))
            wait = False
            (progress.note if kind == "note" else progress.update)(*rest)


def _queue_lines(child: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    with _pipe(child.stdout) as stream:
        for line in stream:
            lines.put(line)


def _failure(children: Sequence[subprocess.Popen[bytes]], folder: Path) -> BaseException:
    """Return the error of the process that failed first, which may have caused the others'."""
    end = time.monotonic() + ERROR_GRACE
    while time.monotonic() < end and any(child.poll() is None for child in children):
        time.sleep(POLL_INTERVAL / 4)
    codes = [child.poll() for child in children]
    count = len(children)
    for rank, code in enumerate(codes):
        if code == -signal.SIGKILL:
            return errors.SettingsError(
                f"process {rank} of {count} was killed, which happens where memory runs out; train "
                "with fewer devices, or close other programs"
            )
        if code is not None and code < 0 and code != -signal.SIGTERM:
            return RuntimeError(f"process {rank} of {count} ended by signal {-code}")
    reports = [
        (*json.loads(path.read_text(encoding="utf-8")), rank)
        for rank in range(count)
        if (path := _error(folder, rank)).exists()
    ]
    if reports:
        _, kind, text, rank = min(reports)
        error_class = getattr(errors, kind, None)
        if isinstance(error_class, type) and issubclass(error_class, errors.IsosliceError):
            return error_class(text)
        return RuntimeError(f"process {rank} of {count}: {kind}: {text}")
    if INTERRUPTED in codes or -signal.SIGTERM in codes:
        return KeyboardInterrupt()
    rank = next(rank for rank, code in enumerate(codes) if code)
    last = _log(folder, rank).read_text(errors="replace").strip().splitlines()[-1:]
    return RuntimeError(f"process {rank} of {count} did not start: {' '.join(last)}")


def run_worker() -> None:
    """Entry point of a process started by `launch`: train, then exit."""
    folder, rank, count, threads = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # keep output of libraries out of the reports
    orphaned = threading.Event()
    threading.Thread(target=_listen, args=(orphaned,), daemon=True).start()
    code = 0
    try:
        torch.set_num_threads(threads)
        url = (folder / RENDEZVOUS).as_uri()
        topology = ProcessTopology(rank, count, rank, count, init_method=url)
        model = run_here(
            read_job(folder), topology, _Report(channel) if topology.first else Progress()
        )
        if topology.first:
            model.save(folder / MODEL)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except BaseException as error:
        code = 1
        line = [time.time(), type(error).__name__, str(error)]
        with atomic_write(_error(folder, rank)) as stream:
            stream.write(json.dumps(line).encode())
        if debugging():
            sys.excepthook(type(error), error, error.__traceback__)
    with suppress(OSError):
        channel.close()
        sys.stderr.flush()
    if orphaned.is_set():
        shutil.rmtree(folder, ignore_errors=True)
    os._exit(code)  # a normal exit might wait for other processes, which may be gone


class _Report(Progress):
    """Sends notes and progress to the caller as lines of JSON."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel

    def note(self, text: str) -> None:
        self._send("note", text)

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        self._send("update", task, fraction, detail)

    def _send(self, *report: object) -> None:
        with suppress(OSError):  # the caller is gone, which `_listen` handles
            self._channel.write(json.dumps(report) + "\n")
            self._channel.flush()


def _listen(orphaned: threading.Event) -> None:
    """Interrupt this process if the caller writes to its input or is gone; set `orphaned` then."""
    import _thread

    # os.read, since a Python stream that is being read cannot be closed at exit.
    while os.read(0, 64):
        _thread.interrupt_main()
    orphaned.set()
    _thread.interrupt_main()
    time.sleep(SHUTDOWN_TIMEOUT)
    os._exit(INTERRUPTED)


def _pipe(stream: Any) -> Any:
    assert stream is not None
    return stream


def _log(folder: Path, rank: int) -> Path:
    return folder / f"log-{rank}"


def _error(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}"
