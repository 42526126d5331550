"""Who does the tasks: this process, a Dask cluster's workers, or runs that know of each other.

Each task is claimed, done, and recorded where it is done. Voxels are the same whoever does it.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

from isoslice.errors import IsosliceError, SettingsError
from isoslice.inference.engine.job import PLAN, Job, open_job
from isoslice.inference.engine.ledger import Ledger
from isoslice.inference.engine.locks import PAUSE, claimed
from isoslice.inference.engine.restoration import FrameStage
from isoslice.inference.engine.worker import Worker, alike, this_process
from isoslice.inference.recipes.protocol import Report
from isoslice.io.extras import require
from isoslice.runtime.device import choose_device

if TYPE_CHECKING:
    from distributed import Client

#: Called with the number of a finished task, and whether this run did it.
OnFinished = Callable[[int, bool], None]
#: Does some tasks of a stage: (stage, their numbers, finished, report of the task at hand).
Engine = Callable[[FrameStage, Sequence[int], OnFinished, Report], None]
#: Tasks that a cluster is given at once, per worker: no more than keeps it busy.
AHEAD = 2
#: Seconds that the first worker may take to come.
FIRST_WORKER = 60
#: A worker with several of Dask's threads still does one task at a time: memory is for one.
_ONE_TASK = Lock()
#: How often a task is tried again whose worker died.
RETRIES = 3


def do_task(
    job: Job, ledger: Ledger, stage: FrameStage, index: int, report: Report, *, shared: bool
) -> Literal["done", "was done", "taken"]:
    """Do a task and record it, unless that is done already.

    Parameters
    ----------
    job, ledger, stage, index
        Which, and where to record it.
    report
        Hears the share of it that is done.
    shared
        Others work at this stage too: what one of them holds is left to it. Otherwise whoever
        holds it is waited for: what is left of a run that was killed.

    Returns
    -------
    Whether this run did it, it was done already, or another one holds it.
    """
    claims = job.folder / "claims"
    claims.mkdir(exist_ok=True)
    name = stage.task(index)
    with claimed(claims / name.replace("/", "-"), wait=not shared) as free:
        if free is False:
            return "taken"
        if shared or free is None:
            ledger.refresh()
            if name in ledger.done or stage.key in ledger.stages:
                return "was done"
        began = time.perf_counter()
        files = job.run_task(stage, index, report)
        ledger.record(name, files, time.perf_counter() - began)
    return "done"


def run_here(job: Job, ledger: Ledger) -> Engine:
    """Do tasks one after the other."""

    def engine(
        stage: FrameStage, tasks: Sequence[int], finished: OnFinished, report: Report
    ) -> None:
        for index in tasks:
            done = do_task(job, ledger, stage, index, report, shared=False)
            finished(index, done == "done")

    return engine


def run_beside(job: Job, ledger: Ledger, part: tuple[int, int]) -> Engine:
    """Do what other runs leave, own share first: part I of N."""

    def engine(
        stage: FrameStage, tasks: Sequence[int], finished: OnFinished, report: Report
    ) -> None:
        number, count = part
        left = sorted(tasks, key=lambda index: ((index - number + 1) % count, index))
        while left:
            waiting = []
            for index in left:
                done = do_task(job, ledger, stage, index, report, shared=True)
                if done == "taken":
                    waiting.append(index)
                else:
                    finished(index, done == "done")
            ledger.refresh()
            if stage.key in ledger.stages:
                for index in waiting:
                    finished(index, False)
                return
            job.folder.stat()  # gone if another run has ended it all
            if len(waiting) == len(left):
                time.sleep(PAUSE)
            left = waiting

    return engine


def run_on(client: Client, job: Job, device: str = "auto") -> Engine:
    """Give tasks to the workers of a cluster.

    A worker that dies is replaced by its nanny, and its task given to another one. What goes wrong
    otherwise is raised here.
    """
    distributed = _distributed()
    # A worker keeps the job it opened; a folder may hold another one than before.
    plan = hashlib.sha256((job.folder / PLAN).read_bytes()).hexdigest()

    def engine(
        stage: FrameStage, tasks: Sequence[int], finished: OnFinished, report: Report
    ) -> None:
        waiting, stream = list(reversed(tasks)), distributed.as_completed()

        def hand_out() -> None:
            workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
            while waiting and stream.count() < AHEAD * workers:
                index = waiting.pop()
                stream.add(
                    client.submit(
                        do_on_worker,
                        str(job.folder.absolute()),
                        tuple(stage),
                        index,
                        device,
                        plan,
                        pure=False,
                        retries=RETRIES,
                    )
                )

        hand_out()
        for future in stream:
            try:
                index = future.result()
            except distributed.KilledWorker as error:
                raise IsosliceError(
                    f"{RETRIES + 1} workers died at the same task (of {stage.key}), expected them "
                    "to live; give them more memory than --memory says, and go on with --resume"
                ) from error
            future.release()
            finished(index, True)
            hand_out()

    return engine


def workers_of(client: Client, device: str) -> Worker:
    """Return what stands for all workers of a cluster; waits for the first one.

    Raises
    ------
    SettingsError
        If there is none, or they do not round alike.
    """
    try:
        client.wait_for_workers(1, timeout=FIRST_WORKER)
    except TimeoutError as error:
        raise SettingsError(
            f"got a Dask scheduler without workers for {FIRST_WORKER} s, expected one at least; "
            "start some with 'dask worker'"
        ) from error
    return alike(client.run(_describe, device).values())


def do_on_worker(folder: str, stage: tuple[Any, ...], index: int, device: str, plan: str) -> int:
    """Do one task of the job with this plan; the model is loaded with the first one."""
    with _ONE_TASK:
        job, ledger = _opened(folder, _pinned(device), plan)
        do_task(job, ledger, FrameStage(*stage), index, lambda fraction: None, shared=False)
    return index


def _describe(device: str) -> Worker:
    _threads()
    return this_process(device)


def _threads() -> None:
    import torch

    asked = os.environ.get("ISOSLICE_THREADS")
    if asked:
        torch.set_num_threads(int(asked))


@contextmanager
def local_cluster(workers: int, threads: int) -> Iterator[Client]:
    """Start workers on this machine, each a process with so many threads.

    Raises
    ------
    IsosliceError
        If one of them ends at once.
    """
    distributed = _distributed()
    threaded = {"OMP_NUM_THREADS": str(threads), "ISOSLICE_THREADS": str(threads)}
    try:
        cluster = distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=":0",  # any port that is free
            memory_limit=0,  # our own budget holds; Dask's would kill what is counted differently
            silence_logs=50,  # what matters is raised
            env=threaded,
        )
    except RuntimeError as error:
        raise IsosliceError(
            f"a worker ended while it started ({error}), expected {workers} to start; look at the "
            "memory that is free, and run the command again, or with fewer workers"
        ) from error
    with cluster, distributed.Client(cluster) as client:
        yield client


@contextmanager
def remote_cluster(address: str) -> Iterator[Client]:
    """Connect to a Dask scheduler.

    Raises
    ------
    SettingsError
        If nothing answers there.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout="20s")
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(
            f"got scheduler {address}, where no Dask scheduler answers ({error}), expected an "
            "address such as tcp://host:8786; start one with 'dask scheduler'"
        ) from error
    try:
        with client:
            yield client
    except (distributed.comm.CommClosedError, asyncio.CancelledError, CancelledError) as error:
        raise IsosliceError(
            f"got no answer any more from the scheduler at {address} ({type(error).__name__}), "
            "expected it to live; what is done is kept: start it again, and go on with --resume"
        ) from error


@lru_cache(maxsize=1)
def _opened(folder: str, device: str, plan: str) -> tuple[Job, Ledger]:
    import torch

    _threads()
    job = open_job(Path(folder))
    if ":" in device:
        torch.cuda.set_device(device)
    job.compute_on(torch.device(device) if ":" in device else choose_device(device))
    return job, Ledger(job.folder)


def _pinned(device: str) -> str:
    """Give each worker of a machine with several GPUs one of them, by the worker's number."""
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    count = torch.cuda.device_count()
    name = str(_distributed().get_worker().name)
    digits = "".join(c for c in name if c.isdigit())
    return f"cuda:{int(digits or 0) % count}"


def _distributed() -> Any:
    what = "a request for other processes (--workers or --scheduler)"
    return require("distributed", "distributed", what, SettingsError)
