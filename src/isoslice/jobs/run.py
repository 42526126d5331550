"""``isoslice predict`` into an OME-Zarr image: begin or go on, restore what is left, end."""

from __future__ import annotations

import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from isoslice.errors import OutputError
from isoslice.io.atomic import check_output
from isoslice.io.read import open_volume
from isoslice.jobs.begin import (
    Request,
    begin,
    can_be_cut,
    check_unfinished,
    end,
    go_on,
    left,
    unfinished,
)
from isoslice.jobs.engines import local_cluster, remote_cluster, run_here, run_on
from isoslice.jobs.job import HIDDEN, Job
from isoslice.jobs.ledger import Ledger
from isoslice.jobs.lock import locked
from isoslice.model import Model
from isoslice.progress import Progress
from isoslice.volume import VoxelSize

__all__ = ["How", "Outcome", "can_be_cut", "restore_image"]


@dataclass(frozen=True)
class How:
    """Who restores the blocks.

    Attributes
    ----------
    workers
        Processes on this machine; 1 is this one.
    scheduler
        Address of a Dask scheduler, instead.
    part
        (I, N): this run restores one of N shares of the blocks; others do the rest.
    resume, overwrite
        Go on with an unfinished output; replace a finished or unfinished one.
    """

    workers: int = 1
    scheduler: str | None = None
    part: tuple[int, int] | None = None
    resume: bool = False
    overwrite: bool = False


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    finished
        Whether the output is whole; else other parts are still at work.
    blocks, voxels, seconds
        Restored by this run.
    """

    finished: bool = False
    blocks: int = 0
    voxels: int = 0
    seconds: float = 0.0
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def restore_image(request: Request, how: How, progress: Progress) -> Outcome:
    """Restore a stack into an OME-Zarr image, within a memory budget.

    Raises
    ------
    IsosliceError
        If something cannot be used or written. What is restored by then is kept if it is of use.
    """
    folder = unfinished(request.output)
    check_output(request.output, how.overwrite)
    shared = how.part is not None
    lock = folder.with_name(folder.name + ".lock")
    with locked(lock, request.output, shared=shared):
        outcome = _locked_run(request, how, folder, progress)
    if outcome.finished:
        lock.unlink(missing_ok=True)
    return outcome


def _locked_run(request: Request, how: How, folder: Path, progress: Progress) -> Outcome:
    outcome, started = Outcome(), time.perf_counter()
    job = _job(request, how, folder, progress)
    writer = "all" if how.part is None else f"part-{how.part[0]}-of-{how.part[1]}"
    ledger = Ledger(folder / HIDDEN, writer)
    blocks = left(job, how.part)
    if how.resume:
        progress.note(f"{job.blocks - len(left(job)):,} of {job.blocks:,} blocks are done already")

    def finished(index: int, files: dict[str, int]) -> None:
        ledger.record(index, files)
        outcome.blocks += 1
        outcome.voxels += job.place(index)[1].size * job.volume.size("C")
        outcome.seconds = time.perf_counter() - started

    try:
        _restore(request, how, job, blocks, finished, _reporter(job, outcome, progress))
    except BaseException:
        if not outcome.blocks and not how.resume and how.part is None:
            shutil.rmtree(folder, ignore_errors=True)  # nothing to go on with
        raise
    outcome.seconds = time.perf_counter() - started
    if not left(job):
        end(job, request.output, _record(job, outcome, how), overwrite=how.overwrite)
        outcome.finished = True
    return outcome


def _job(request: Request, how: How, folder: Path, progress: Progress) -> Job:
    """Begin, or go on; parts go on with what the first of them began."""
    model = Model.load(request.model)
    if how.resume:
        return go_on(request, model, progress)
    size = None if request.voxel_size is None else VoxelSize(*request.voxel_size)
    if how.part is not None:
        # The first part to come here makes the plan; the others wait for it.
        gate = folder.with_name(folder.name + ".begin")
        with _waiting(gate, request.output):
            if (folder / HIDDEN).is_dir():
                return go_on(request, model, progress)
            volume = open_volume(request.stack, axes=request.axes, voxel_size=size)
            return begin(request, volume, model, progress)
    check_unfinished(request.output, resume=False, overwrite=how.overwrite)
    shutil.rmtree(folder, ignore_errors=True)
    volume = open_volume(request.stack, axes=request.axes, voxel_size=size)
    return begin(request, volume, model, progress)


class _waiting:  # noqa: N801 (used like a function)
    """Hold a lock, and wait for it if need be."""

    def __init__(self, path: Path, output: Path) -> None:
        self._path, self._output = path, output

    def __enter__(self) -> None:
        while True:
            self._lock = locked(self._path, self._output)
            try:
                self._lock.__enter__()
            except OutputError:
                time.sleep(1)
            else:
                return

    def __exit__(self, *error: Any) -> None:
        self._lock.__exit__(None, None, None)


def _restore(
    request: Request,
    how: How,
    job: Job,
    blocks: list[int],
    finished: Callable[[int, dict[str, int]], None],
    report: Callable[[float], None],
) -> None:
    if not blocks:
        return
    if how.scheduler is not None:
        with remote_cluster(how.scheduler) as client:
            run_on(client, job.folder, blocks, finished, report, request.device)
    elif how.workers > 1:
        with local_cluster(how.workers, request.threads) as client:
            run_on(client, job.folder, blocks, finished, report, request.device)
    else:
        run_here(job, blocks, finished, report)


def _reporter(job: Job, outcome: Outcome, progress: Progress) -> Callable[[float], None]:
    def report(fraction: float) -> None:
        detail = ""
        if outcome.seconds:
            done = f"{outcome.blocks:,} of {job.blocks:,} blocks"
            detail = f"{done}, {outcome.voxels / outcome.seconds:,.0f} voxels/s"
        progress.update("restoring", fraction, detail)

    return report


def _record(job: Job, outcome: Outcome, how: How) -> dict[str, Any]:
    return {
        "began": outcome.began,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "torch": torch.__version__,
        "workers": how.scheduler or how.workers,
        "part": how.part,
        "blocks": outcome.blocks,
        "voxels": outcome.voxels,
        "seconds": round(outcome.seconds, 3),
        "voxels_per_second": round(outcome.voxels / max(outcome.seconds, 1e-9)),
    }
