"""Beginning a job, going on with one, and ending it."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from isoslice import __version__
from isoslice.blocks import core_size
from isoslice.blockwise import REACH, find_gains
from isoslice.config import ModelConfig
from isoslice.device import choose_device, describe, fast_dtype
from isoslice.errors import OutputError, SettingsError
from isoslice.geometry import even_grid
from isoslice.io.atomic import check_output, replace_output
from isoslice.io.notes import make_note
from isoslice.io.omezarr_meta import Description
from isoslice.io.shards import CHUNK, create_image, flush
from isoslice.jobs.job import (
    HIDDEN,
    PLAN,
    Job,
    open_job,
    restoration,
    spacing_of,
    stored_gains,
)
from isoslice.jobs.ledger import Ledger
from isoslice.jobs.memory import window_voxels
from isoslice.jobs.plan import Plan, check_same, files_digest
from isoslice.model import Model
from isoslice.normalize import fixed_normalization, streamed_normalization
from isoslice.progress import Progress
from isoslice.recipes import Mode, resolve_options
from isoslice.stacks import check_stack, choose_factor
from isoslice.volume import Volume


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes
    ----------
    stack, axes, voxel_size
        The stack, and what was said of it.
    model
        Folder of the model.
    output
        Where the image goes.
    factor, mode, steps, detail, seed, device
        As in `Model.predict`.
    memory
        Bytes that a process may take.
    threads
        Threads of each process.
    """

    stack: Path
    model: Path
    output: Path
    axes: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    factor: int | None = None
    mode: Mode | None = None
    steps: int | None = None
    detail: float | None = None
    seed: int = 0
    device: str = "auto"
    memory: int = 4 * 10**9
    threads: int = 1


def unfinished(output: Path) -> Path:
    """Return where an output is until it is whole."""
    return output.with_name(output.name + ".unfinished")


def can_be_cut(config: object) -> bool:
    """Whether a model restores volumes block by block: isoslice's own, on channels as they are."""
    return isinstance(config, ModelConfig) and not config.srh


def begin(request: Request, volume: Volume, model: Model, progress: Progress) -> Job:
    """Settle everything, and make the unfinished output.

    Raises
    ------
    DataError, SettingsError
        If the stack cannot be restored, or not within the memory; nothing is written then.
    OutputError
        If the output cannot be written.
    """
    config = model.config
    assert isinstance(config, ModelConfig)
    mode, steps, detail = resolve_options(
        config, request.mode, request.steps, request.detail, request.seed, "both"
    )
    check_stack(volume, config.network.channels)
    factor = choose_factor(volume, request.factor, progress)
    device = choose_device(request.device)
    progress.note(f"computing on {describe(device)}")
    if config.intensities is None:
        normalization = streamed_normalization(volume, progress)
    else:
        normalization = fixed_normalization(*config.intensities, volume.size("C"))
    model.network.to(device)
    grid = even_grid(volume.size("Z"), factor)
    works = [
        restoration(
            volume, model, normalization, grid, t, mode, steps, detail, request.seed, device, REACH
        )
        for t in range(volume.size("T"))
    ]
    shape = works[0].shape
    voxels = window_voxels(request.memory, config.network.channels, request.threads)
    core = core_size(shape, works[0].boxes_for, voxels, CHUNK, volume.source)
    gains = [find_gains(work) for work in works]
    plan = Plan(
        isoslice=__version__,
        stack=str(request.stack.absolute()),
        axes=request.axes,
        voxel_size=request.voxel_size,
        stack_digest=files_digest(request.stack),
        model=str(request.model.absolute()),
        model_fingerprint=model.fingerprint,
        factor=factor,
        mode=mode,
        steps=steps,
        detail=detail,
        seed=request.seed,
        blur=False,
        arithmetic=arithmetic(device),
        low=normalization.low,
        high=normalization.high,
        core=core,
        reach=REACH,
        gains=tuple(stored_gains(each) for each in gains),
    )
    folder = unfinished(request.output)
    job = Job(plan, folder, volume, model, device)
    progress.note(told(job, request.memory))
    axes, lengths, spacing, block = job.layout()
    try:
        create_image(folder, axes, lengths, volume.data.dtype, spacing, block)
        hidden = folder / HIDDEN
        hidden.mkdir()
        draft = hidden / (PLAN + ".draft")
        draft.write_text(plan.model_dump_json(indent=1) + "\n")
        flush(draft)
        draft.rename(hidden / PLAN)  # with it, the output can be gone on with
        flush(hidden / PLAN)
    except OSError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return job


def told(job: Job, memory: int) -> str:
    """Say how a volume is cut."""
    z, y, x = job.plan.core
    count = "one block" if job.blocks == 1 else f"{job.blocks:,} blocks of {z} x {y} x {x}"
    return f"{count}, for {memory / 1e9:.3g} GB of memory (--memory)"


def arithmetic(device: torch.device) -> str:
    """Name what rounds: results of another kind of it differ in their last digits."""
    return f"{device.type} {str(fast_dtype(device)).removeprefix('torch.')}"


def go_on(request: Request, model: Model, progress: Progress) -> Job:
    """Open the unfinished output, and refuse if something is not as it was.

    Raises
    ------
    SettingsError
        If there is no unfinished output, or something was asked for, or has become, otherwise.
    """
    folder = unfinished(request.output)
    if not (folder / HIDDEN / PLAN).is_file():
        raise SettingsError(
            f"got --resume, but there is no unfinished output at {folder}; leave out --resume to "
            "start one"
        )
    job = open_job(folder, request.device)
    mode, steps, detail = resolve_options(
        model.config, request.mode, request.steps, request.detail, request.seed, "both"
    )
    now: dict[str, object] = {
        "stack_digest": files_digest(request.stack),
        "model_fingerprint": model.fingerprint,
        "axes": request.axes,
        "voxel_size": request.voxel_size,
        "mode": mode,
        "steps": steps,
        "detail": detail,
        "seed": request.seed,
        "arithmetic": arithmetic(job.device),
    }
    if request.factor is not None:
        now["factor"] = request.factor
    check_same(job.plan, now, folder)
    return job


def check_unfinished(output: Path, *, resume: bool, overwrite: bool) -> None:
    """Refuse to begin where there is an unfinished output, unless told what to do with it.

    Raises
    ------
    OutputError
        If there is one, and neither `resume` nor `overwrite`.
    """
    folder = unfinished(output)
    if not folder.exists() or resume:
        return
    if not overwrite:
        raise OutputError(
            f"{folder} exists, what an interrupted run left; go on with --resume, or begin anew "
            "with --overwrite"
        )


def end(job: Job, output: Path, record: dict[str, Any], *, overwrite: bool) -> None:
    """Make the unfinished output the finished one, with a record of the run beside it."""
    volume, plan = job.volume, job.plan
    names, windows = volume.channel_names, tuple(zip(plan.low, plan.high, strict=True))
    image = Description(
        job.axes,
        job.spacing,
        volume.unit,
        names,
        windows if names else (),
        volume.data.dtype,
    )
    made = Volume(
        volume.data,
        volume.axes,
        spacing_of(volume, plan.factor),
        volume.unit,
        names,
        provenance(plan),
    )
    check_output(output, overwrite)
    job.image().finish(image, make_note(made, job.axes))
    hidden = job.folder / HIDDEN
    aside = job.folder.with_name(job.folder.name + ".plan")
    shutil.rmtree(aside, ignore_errors=True)
    hidden.rename(aside)
    replace_output(job.folder, output)
    shutil.rmtree(aside, ignore_errors=True)
    beside = output.with_name(output.name + ".json")
    beside.write_text(json.dumps(record | {"plan": plan.model_dump()}, indent=1) + "\n")


def provenance(plan: Plan) -> dict[str, Any]:
    """Return what a restored image says of its making."""
    return {
        "isoslice": plan.isoslice,
        "model": plan.model_fingerprint,
        "recipe": "isoslice",
        "factor": plan.factor,
        "mode": plan.mode,
        "steps": plan.steps,
        "detail": plan.detail,
        "direction": "both",
        "blur": plan.blur,
        "seed": plan.seed,
        "source": Path(plan.stack).name,
        "normalization": {"low": plan.low, "high": plan.high},
        "measured_planes": "every output plane i * factor is measured plane i, unchanged",
    }


def left(job: Job, part: Sequence[int] | None = None) -> list[int]:
    """List the blocks that are not done; of part I of N alone."""
    done = Ledger(job.folder / HIDDEN).done(job.folder)
    mine = range(job.blocks) if part is None else range(part[0] - 1, job.blocks, part[1])
    return [index for index in mine if index not in done]
