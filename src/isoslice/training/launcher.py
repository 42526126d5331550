"""Start processes that train together on this machine, watch over them, collect the model.

Each is a fresh Python that gets its work from a file. Nothing of the caller's program runs again in
them, so that it works from scripts and notebooks; and whatever becomes of one process, the caller,
which is none of them, doesn't wait for it in vain.
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

JOB, MODEL, MEETING = "job", "model", "meeting"
INTERRUPTED = 130
#: Seconds between looks at the processes; that the others have to report an error once one ended
#: with one; and that they have to end in order once the caller is gone.
LOOK, LAST_WORDS, FAREWELL = 0.2, 3.0, 60.0


def run_training(
    job: TrainingRun, place: ProcessTopology | None, devices: int, progress: Progress
) -> Model:
    """Train in this process, or in processes that are started for it.

    Parameters
    ----------
    place
        As `topology.find_place` found it; None to start as many processes as `devices`.
    progress
        Hears of it in the first process only.
    """
    if place is None:
        return launch(job, devices, progress)
    return run_here(job, place, progress if place.first else Progress())


def launch(job: TrainingRun, count: int, progress: Progress) -> Model:
    """Train in `count` processes on this machine.

    Raises
    ------
    KeyboardInterrupt
        If this process is interrupted (or `progress` raises it), once the others have finished
        their step and written a checkpoint.
    IsosliceError
        If one of them does.
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
            _watch_over(children, folder, progress)
        finally:
            for child in children:
                child.kill()
                child.wait()
                with suppress(OSError):
                    _pipe(child.stdin).close()
        return Model.load(folder / MODEL)


def write_job(job: TrainingRun, folder: Path) -> None:
    """Write a job, arrays apart from the rest."""
    arrays: list[pickle.PickleBuffer] = []
    rest = pickle.dumps(job, protocol=5, buffer_callback=arrays.append)
    for index, array in enumerate(arrays):
        (folder / f"{JOB}-{index}").write_bytes(array.raw())
    (folder / JOB).write_bytes(pickle.dumps(len(arrays)) + rest)


def read_job(folder: Path) -> TrainingRun:
    """Read a job; its arrays stay in their files, of which all processes share one copy."""
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
        "from isoslice.training.launcher import work; work()"
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
            start_new_session=True,  # Ctrl-C reaches this process, which passes it on once
        )


def _watch_over(
    children: Sequence[subprocess.Popen[bytes]], folder: Path, progress: Progress
) -> None:
    """Pass on what the first process reports, until all have ended."""
    lines: queue.Queue[bytes] = queue.Queue()
    reader = threading.Thread(target=_read_lines, args=(children[0], lines), daemon=True)
    reader.start()
    interrupted, patience = False, FAREWELL
    while True:
        try:
            codes = [child.poll() for child in children]
            ended = None not in codes
            if ended:
                reader.join(LAST_WORDS)
            _pass_on(lines, Progress() if interrupted else progress, wait=not ended)
            patience -= LOOK if interrupted and any(codes) else 0  # some may wait for the dead
            if interrupted and (ended or patience < 0):
                break
            if not interrupted and any(codes):
                raise _failure(children, folder)
            if ended:
                return
        except KeyboardInterrupt:
            if interrupted:  # the second time: at once
                raise
            interrupted = True
            for child in children:
                with suppress(OSError):
                    _pipe(child.stdin).write(b"stop\n")
                    _pipe(child.stdin).flush()
    if any(codes) or not ended:  # else they had just finished
        raise KeyboardInterrupt


def _pass_on(lines: queue.Queue[bytes], progress: Progress, *, wait: bool) -> None:
    with suppress(queue.Empty):
        while True:
            kind, *rest = json.loads(lines.get(block=wait, timeout=LOOK))
            wait = False
            (progress.note if kind == "note" else progress.update)(*rest)


def _read_lines(child: subprocess.Popen[bytes], lines: queue.Queue[bytes]) -> None:
    with _pipe(child.stdout) as stream:
        for line in stream:
            lines.put(line)


def _failure(children: Sequence[subprocess.Popen[bytes]], folder: Path) -> BaseException:
    """Find what the process that failed first says; the others may have failed of that."""
    end = time.monotonic() + LAST_WORDS
    while time.monotonic() < end and any(child.poll() is None for child in children):
        time.sleep(LOOK / 4)
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
    said = [
        (*json.loads(path.read_text(encoding="utf-8")), rank)
        for rank in range(count)
        if (path := _error(folder, rank)).exists()
    ]
    if said:
        _, kind, text, rank = min(said)
        own = getattr(errors, kind, None)
        if isinstance(own, type) and issubclass(own, errors.IsosliceError):
            return own(text)
        return RuntimeError(f"process {rank} of {count}: {kind}: {text}")
    if INTERRUPTED in codes or -signal.SIGTERM in codes:
        return KeyboardInterrupt()
    rank = next(rank for rank, code in enumerate(codes) if code)
    last = _log(folder, rank).read_text(errors="replace").strip().splitlines()[-1:]
    return RuntimeError(f"process {rank} of {count} did not start: {' '.join(last)}")


def work() -> None:
    """Train in this process, which `launch` started, and end it."""
    folder, rank, count, threads = Path(sys.argv[1]), *map(int, sys.argv[2:5])
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no report
    alone = threading.Event()
    threading.Thread(target=_listen, args=(alone,), daemon=True).start()
    code = 0
    try:
        torch.set_num_threads(threads)
        meeting = (folder / MEETING).as_uri()
        place = ProcessTopology(rank, count, rank, count, meeting=meeting)
        model = run_here(read_job(folder), place, _Report(channel) if place.first else Progress())
        if place.first:
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
    if alone.is_set():
        shutil.rmtree(folder, ignore_errors=True)  # nobody else will
    os._exit(code)  # others may have gone, and nothing must wait for them


class _Report(Progress):
    """Sends notes and progress to the caller, a line of JSON each."""

    def __init__(self, channel: TextIO) -> None:
        self._channel = channel

    def note(self, text: str) -> None:
        self._send("note", text)

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        self._send("update", task, fraction, detail)

    def _send(self, *what: object) -> None:
        with suppress(OSError):  # the caller has gone; `_listen` knows
            self._channel.write(json.dumps(what) + "\n")
            self._channel.flush()


def _listen(alone: threading.Event) -> None:
    """Interrupt this process when the caller says so, or is gone; then set `alone`."""
    import _thread

    # Below Python's streams: one that is being read cannot be closed at exit.
    while os.read(0, 64):
        _thread.interrupt_main()
    alone.set()
    _thread.interrupt_main()
    time.sleep(FAREWELL)
    os._exit(INTERRUPTED)


def _pipe(stream: Any) -> Any:
    assert stream is not None
    return stream


def _log(folder: Path, rank: int) -> Path:
    return folder / f"log-{rank}"


def _error(folder: Path, rank: int) -> Path:
    return folder / f"error-{rank}"
