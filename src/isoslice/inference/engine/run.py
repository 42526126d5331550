"""Restoring a file into a file, on the disk: begin or go on, stage by stage, end."""

from __future__ import annotations

import json
import socket
import time
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from isoslice.data.volume import Volume
from isoslice.errors import OutputError, SettingsError
from isoslice.inference.engine.begin import (
    Request,
    begin,
    can_go_on,
    check_unfinished,
    go_on,
    unfinished,
)
from isoslice.inference.engine.end import (
    Finished,
    check_record,
    end,
    is_made,
    remove_unfinished,
    targets,
)
from isoslice.inference.engine.executors import (
    Engine,
    local_cluster,
    remote_cluster,
    run_beside,
    run_here,
    run_on,
    workers_of,
)
from isoslice.inference.engine.job import OVERWRITE, Job
from isoslice.inference.engine.ledger import Ledger
from isoslice.inference.engine.locks import claimed, locked
from isoslice.inference.engine.restoration import FrameStage
from isoslice.inference.engine.slabs import LEAST_BUDGET
from isoslice.inference.engine.tracking import Tracker
from isoslice.inference.engine.worker import Worker, this_process
from isoslice.io.atomic import check_output, output_error
from isoslice.io.formats.npy import sidecar
from isoslice.io.limits import available_memory
from isoslice.io.reading import open_with
from isoslice.runtime.device import choose_device
from isoslice.runtime.progress import Progress, told_if_slow

if TYPE_CHECKING:
    from distributed import Client

#: In an unfinished output: a line about each run that worked at it.
RUNS = "runs.jsonl"
#: Seconds: a plan that took longer is kept where a run ends before its first task is done. Of 2 TB
#: it takes hours.
WORTH_KEEPING = 60.0


@dataclass(frozen=True)
class How:
    """Who works.

    Attributes
    ----------
    workers
        Processes on this machine; 1 is this one.
    scheduler
        Address of a Dask scheduler, instead.
    part
        (I, N): this is one of N runs that share the work.
    resume, overwrite
        Go on with an unfinished output; replace a finished or unfinished one.
    plan_only
        Settle everything and stop there: other runs go on with it.
    """

    workers: int = 1
    scheduler: str | None = None
    part: tuple[int, int] | None = None
    resume: bool = False
    overwrite: bool = False
    plan_only: bool = False

    def __post_init__(self) -> None:
        """Check the number of workers."""
        if self.workers < 1:
            raise SettingsError(f"got {self.workers} workers, expected one or more")


@dataclass
class Outcome:
    """What a run did.

    Attributes
    ----------
    voxels
        Output voxels attributed to this run, in proportion to the work it did.
    tasks, seconds
        Done by this run, in this time.
    finished
        The volumes, if this run ended the work.
    """

    voxels: int = 0
    tasks: int = 0
    seconds: float = 0.0
    finished: Finished | None = None
    began: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))


def restore_on_disk(
    request: Request, how: How, progress: Progress, volume: Volume | None = None
) -> Outcome:
    """Restore a stack in a file into other files, within a memory budget.

    `volume` is the stack, if it is open already.

    Raises
    ------
    IsosliceError
        If something cannot be used or written. What is done by then is kept if it is of use.
    """
    folder = unfinished(request.output)
    if how.part is not None and how.overwrite:
        raise SettingsError(
            "got --part with --overwrite, which the last part would use against the first, "
            "expected one of them; remove the output first"
        )
    if how.resume and (request.memory, request.slab) != (None, None):
        progress.note("the slabs stay as the run began: --memory and --slab change nothing now")
    if request.memory is None:
        share = available_memory() // 2 // how.workers
        request = replace(request, memory=max(share, LEAST_BUDGET))
    lock, held = folder.with_name(folder.name + ".lock"), False
    try:
        with locked(lock, request.output, shared=how.part is not None):
            held = True
            check_outputs(request, how)
            outcome = _run(request, how, folder, progress, volume)
    except OutputError:
        made = how.part is not None and not folder.exists()
        if not (made and is_made(request, request.load_model())):
            raise
        progress.note(f"{request.output} is whole already: other parts have done it all")
        return Outcome()
    except OSError as error:
        said = output_error(request.output, error)
        kept = "; what is done is kept: go on with --resume" if can_go_on(folder) else ""
        raise OutputError(f"{said}{kept}") from error
    finally:
        if held and not folder.exists():  # another run's lock is left to it
            for path in (lock, _gate(folder)):
                with suppress(OSError):  # Windows keeps what a part still holds
                    path.unlink(missing_ok=True)
    return outcome


def check_outputs(request: Request, how: How) -> None:
    """Refuse outputs that exist, but for those that a run which goes on has written already.

    And what another program has left where the record of the run is to be.
    """
    folder = unfinished(request.output)
    goes_on = can_go_on(folder) and (how.resume or how.part is not None)
    for name, path in targets(request.output, request.options).items():
        if not goes_on or (folder / name).is_dir():
            check_output(path, how.overwrite)
            if path.suffix == ".npy":
                check_output(sidecar(path), how.overwrite)
    check_record(request.output)


def _run(
    request: Request, how: How, folder: Path, progress: Progress, volume: Volume | None
) -> Outcome:
    with _cluster(request, how) as client:
        if client is None:
            worker = this_process(request.device, request.threads)
        else:
            worker = workers_of(client, request.device)
            if worker.memory is not None and how.workers > 1:  # of this machine, which share GPUs
                worker = worker._replace(
                    memory=worker.memory // -(-how.workers // max(1, torch.cuda.device_count()))
                )
        started = time.perf_counter()
        job = _job(request, how, folder, progress, worker, volume)
        if how.plan_only:
            return Outcome()
        planned_for = time.perf_counter() - started
        return _do_stages(request, how, job, progress, client, planned_for)


def _do_stages(
    request: Request,
    how: How,
    job: Job,
    progress: Progress,
    client: Client | None,
    planned_for: float,
) -> Outcome:
    folder, ledger = job.folder, Ledger(job.folder)
    tracker = Tracker(job, ledger, progress)
    if how.resume:
        progress.note(tracker.done_already())
    outcome, started = Outcome(), time.perf_counter()
    try:
        if client is not None:
            engine = run_on(client, job, request.device)
        else:
            job.compute_on(choose_device(request.device))
            part = how.part
            engine = run_here(job, ledger) if part is None else run_beside(job, ledger, part)
        for stage in job.stages():
            _stage(job, stage, ledger, engine, tracker)
    except BaseException as error:
        # Another part may have ended the whole run.
        if how.part is None or folder.exists() or not isinstance(error, FileNotFoundError):
            ledger.refresh()
            alone = how.part is None and not how.resume
            if alone and not ledger.done and planned_for < WORTH_KEEPING:
                remove_unfinished(folder)  # nothing to go on with
            raise
    finally:
        outcome.seconds = time.perf_counter() - started
        outcome.tasks, outcome.voxels = tracker.tasks, tracker.voxels
        _note_run(job, outcome, how)
    gate = nullcontext(True) if how.part is None else claimed(_gate(folder), wait=True)
    with gate:
        if folder.is_dir():  # another part may have ended it
            done = Ledger(job.folder)
            record = {"runs": _runs(job), "tasks": dict(done.writers), "times": done.times}
            outcome.finished = end(job, request.output, record, overwrite=how.overwrite)
    return outcome


def _job(
    request: Request,
    how: How,
    folder: Path,
    progress: Progress,
    worker: Worker,
    opened: Volume | None,
) -> Job:
    """Begin, or go on; parts go on with what the first of them began."""
    model = request.load_model()
    if how.resume:
        with told_if_slow(progress, "looking whether the stack's files are the same still"):
            return go_on(request, model, worker)
    if how.part is not None:
        # The first part to come here makes the plan; the others wait for it.
        with claimed(
            _gate(folder),
            wait=True,
            waiting=lambda: progress.note("waiting for the part that makes the plan"),
        ):
            if can_go_on(folder):
                return go_on(request, model, worker)
            check_outputs(request, how)  # another part may have ended it meanwhile
            check_unfinished(request.output, overwrite=False)
            remove_unfinished(folder)
            volume = opened or open_with(request.stack, request.reading)
            return begin(request, volume, model, progress, worker)
    check_unfinished(request.output, overwrite=how.overwrite)
    remove_unfinished(folder)
    volume = opened or open_with(request.stack, request.reading)
    job = begin(request, volume, model, progress, worker)
    if how.overwrite:
        (folder / OVERWRITE).touch()
    return job


def _cluster(request: Request, how: How) -> AbstractContextManager[Client | None]:
    if how.scheduler is not None:
        return remote_cluster(how.scheduler)
    if how.workers > 1:
        return local_cluster(how.workers, request.threads)
    return nullcontext()


def _stage(job: Job, stage: FrameStage, ledger: Ledger, engine: Engine, tracker: Tracker) -> None:
    """Do all of a stage that is not done."""
    if stage.key not in ledger.stages:
        own = {stage.task(index): index for index in range(stage.tasks)}
        ledger.forget_damaged(own, job.folder)
        left = [index for name, index in own.items() if name not in ledger.done]
        finished = tracker.stage(stage, left)
        engine(stage, left, finished, tracker.report)
        job.check_whole_stack()
        ledger.record_stage(stage.key)
    job.restoration.finish(stage)


def _note_run(job: Job, outcome: Outcome, how: How) -> None:
    """Write a line about a run, where that can be done."""
    with suppress(OSError), (job.folder / RUNS).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(run_line(outcome, how)) + "\n")


def run_line(outcome: Outcome, how: How) -> dict[str, object]:
    """Describe a run for the record: what it did, where and when."""
    return {
        "began": outcome.began,
        "tasks": outcome.tasks,
        "voxels": outcome.voxels,
        "ended": datetime.now(UTC).isoformat(timespec="seconds"),
        "host": socket.gethostname(),
        "torch": torch.__version__,
        "workers": how.scheduler or how.workers,
        "part": how.part,
        "seconds": round(outcome.seconds, 3),
        "voxels_per_second": round(outcome.voxels / max(outcome.seconds, 1e-9)),
    }


def _runs(job: Job) -> list[object]:
    try:
        return [
            json.loads(line)
            for line in (job.folder / RUNS).read_text(encoding="utf-8").splitlines()
        ]
    except (OSError, ValueError):
        return []


def _gate(folder: Path) -> Path:
    return folder.with_name(folder.name + ".gate")
