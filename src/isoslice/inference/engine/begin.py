"""Beginning a job, going on with one, and ending it."""

from __future__ import annotations

import json
import math
import shutil
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice import __version__
from isoslice.data.box import Region
from isoslice.data.coarse import coarse_axis, turned
from isoslice.data.frames import Frame, Lost, frames_of, lost_messages
from isoslice.data.grid import even_grid
from isoslice.data.labels import LABEL_TEST_PLANES, label_messages
from isoslice.data.normalization import Normalization, measure_in_parts
from isoslice.data.subsampling import evenly_spaced
from isoslice.data.survey import Survey, lost_planes
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, OutputError, SettingsError
from isoslice.inference.diagnostics import doubts_of
from isoslice.inference.engine.plan import Plan, check_same, files_digest, files_glance
from isoslice.inference.engine.slabs import Sizes, slab_slices
from isoslice.inference.engine.stages import HIDDEN, PLAN, Job, open_job, read_plan
from isoslice.inference.engine.worker import Worker
from isoslice.inference.interpolated import residual_dtype
from isoslice.inference.passes import Mode
from isoslice.inference.prediction import provenance, told_exceptions
from isoslice.inference.recipes import resolve_options
from isoslice.inference.stack import check_stack, choose_factor, restores_separately
from isoslice.io.atomic import (
    atomic_output,
    atomic_write,
    check_output,
    output_error,
    replace_output,
)
from isoslice.io.formats.omezarr.metadata import Description
from isoslice.io.formats.omezarr.shards import create_image
from isoslice.io.notes import make_note
from isoslice.io.options import ReadOptions
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.variance_stabilization import stretch
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.progress import Progress

#: Side of an output's blocks, each a file: the same on all machines.
BLOCK = 256


@dataclass(frozen=True)
class Request:
    """What was asked for.

    Attributes
    ----------
    stack, reading
        The stack, and how it is to be read.
    model
        Folder of the model.
    output
        Where the image goes.
    factor, mode, steps, detail, seed, device, along
        As in `ModelBundle.predict`.
    memory
        Bytes that a process may take.
    threads
        Threads of each process on this machine.
    slab
        Slices of a slab, whatever the memory.
    """

    stack: Path
    model: Path
    output: Path
    reading: ReadOptions = field(default_factory=ReadOptions)
    factor: int | None = None
    mode: Mode | None = None
    steps: int | None = None
    detail: float | None = None
    seed: int = 0
    device: str = "auto"
    memory: int = 4 * 10**9
    threads: int = 1
    slab: int | None = None
    along: str | None = None


def unfinished(output: Path) -> Path:
    """Return where an output is until it is whole."""
    return output.with_name(output.name + ".unfinished")


def can_be_cut(config: object) -> bool:
    """Whether a model restores volumes block by block: isoslice's own, on channels as they are."""
    return isinstance(config, ModelConfig) and not config.srh


def begin(
    request: Request, volume: Volume, model: ModelBundle, progress: Progress, worker: Worker
) -> Job:
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
    along = coarse_axis(volume, request.along)
    volume = turned(volume, along)
    separate = restores_separately(config, volume)
    check_stack(volume, volume.size("C") if separate else config.network.channels)
    _check_lazy(request, volume)
    factor = choose_factor(volume, request.factor, progress, along)
    progress.note(f"computing on {worker.told}")
    normalization, seen = measure_in_parts(volume, progress, config.intensities)
    every = slice(None)
    lost = lost_planes(seen, lambda t, c, z: volume.read((t, c, slice(z, z + 1), every, every))[0])
    doubts = _doubts(volume, normalization, factor, model, seen, lost)
    for message in doubts:
        warnings.warn(message, DoubtWarning, stacklevel=2)
    shape = volume.size("T"), volume.size("C"), volume.size("Z")
    frames = frames_of(shape, factor, lost, separate, request.seed)
    residuals = [_residual(frame, seen, normalization, config.softening) for frame in frames]
    depth = even_grid(volume.size("Z"), factor).depth
    sizes = Sizes(
        (depth, volume.size("Y"), volume.size("X")),
        1 if separate else volume.size("C"),
        volume.size("Z"),
        max(residual.itemsize for residual in residuals),
    )
    slabs = slab_slices(sizes, request.memory, worker, request.slab)
    plan = Plan(
        isoslice=__version__,
        stack=str(request.stack.absolute()),
        reading=request.reading,
        stack_digest=files_digest(request.stack),
        stack_glance=files_glance(request.stack.absolute()),
        model=str(request.model.absolute()),
        model_fingerprint=model.fingerprint,
        factor=factor,
        mode=mode,
        steps=steps,
        detail=detail,
        seed=request.seed,
        arithmetic=worker.arithmetic,
        along=cast("Literal['Z', 'Y', 'X']", along),
        normalization=normalization,
        lost=lost,
        doubts=doubts,
        residuals=tuple("float16" if r == torch.float16 else "float32" for r in residuals),
        slabs=slabs,
        block=(BLOCK, BLOCK, BLOCK),
    )
    folder = unfinished(request.output)
    job = Job(plan, folder, volume, model, torch.device("cpu"))
    progress.note(told(job, request.memory))
    _check_room(job, request.output)
    axes, lengths, spacing, block = job.layout()
    try:
        create_image(folder, axes, lengths, volume.data.dtype, spacing, block)
        job.hidden.mkdir()
        with atomic_write(job.hidden / PLAN, fsync=True) as stream:  # now it can be gone on with
            stream.write(plan.model_dump_json(indent=1).encode() + b"\n")
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise output_error(request.output, error) from error
    return job


def _residual(
    frame: Frame, seen: Survey, normalization: Normalization, softening: float | None
) -> torch.dtype:
    """Choose the type of a frame's residual, as `Base.zeros` does."""
    extremes = seen.extremes(frame.time, frame.channels, frame.kept)
    scaled = normalization.of_channels(frame.channels).apply(extremes)
    return residual_dtype(float(stretch(torch.from_numpy(scaled), softening).abs().max()))


def _doubts(
    volume: Volume,
    normalization: Normalization,
    factor: int,
    model: ModelBundle,
    seen: Survey,
    lost: Lost,
) -> tuple[str, ...]:
    """List what `ModelBundle.predict` warns of."""
    time, run = seen.filled_run
    shape = run.stop - run.start, volume.size("Y"), volume.size("X")

    def read(z: slice, y: slice, x: slice) -> NDArray[Any]:
        inside = slice(run.start + z.start, run.start + z.stop)
        return volume.read((time, slice(None), inside, y, x))

    def scaled(place: Region) -> NDArray[np.float32]:
        return normalization.apply(read(*place))

    familiar, size = model.trust.familiar, volume.voxel_size
    config, record = model.config, model.info
    found = doubts_of(scaled, factor, config, familiar, size, volume.unit, shape, record)
    some = evenly_spaced(shape[0], LABEL_TEST_PLANES)
    planes = [read(slice(z, z + 1), slice(None), slice(None)) for z in some]
    labels = label_messages(np.concatenate(planes, axis=1))
    return (*lost_messages(seen, lost), *labels, *found.messages)


def _check_lazy(request: Request, volume: Volume) -> None:
    """Refuse a stack that every process would have to hold in memory, if that is too much."""
    if isinstance(volume.data, np.ndarray) and volume.data.nbytes > request.memory // 4:
        raise SettingsError(
            f"{request.stack}: got {volume.data.nbytes / 1e9:.3g} GB in a format that is read as a "
            f"whole, expected a quarter of --memory ({request.memory / 1e9:.3g} GB) at most; save "
            "it as OME-Zarr or as an uncompressed TIFF, or give more memory"
        )


def told(job: Job, memory: int) -> str:
    """Say how the work is cut, and what it needs."""
    xz, yz = job.plan.slabs
    return (
        f"{len(job.passes)} passes over slabs of {xz} XZ and {yz} YZ slices, for "
        f"{memory / 1e9:.3g} GB of memory (--memory, --slab); up to "
        f"{scratch_bytes(job) / 1e9:.3g} GB on the disk beside the output while it is made"
    )


def scratch_bytes(job: Job) -> int:
    """Bytes of the residual of one time point: the mean, and before and after a pass."""
    copies = min(3, len(job.passes))
    each = 4 if "float32" in job.plan.residuals else 2
    return copies * each * job.channels * math.prod(job.shape)


def free_bytes(folder: Path) -> int:
    """Bytes that are free on a folder's disk."""
    return shutil.disk_usage(folder).free


def _check_room(job: Job, output: Path) -> None:
    needed, free = scratch_bytes(job), free_bytes(output.absolute().parent)
    if needed > free:
        raise OutputError(
            f"{output}: got a disk with {free / 1e9:.3g} GB free, expected {needed / 1e9:.3g} GB "
            "for what lies there while the volume is made; choose another disk"
        )


def go_on(request: Request, model: ModelBundle, worker: Worker) -> Job:
    """Open the unfinished output, and refuse if something is not as it was.

    Raises
    ------
    SettingsError
        If there is no unfinished output, or something was asked for, or has become, otherwise.
    """
    folder = unfinished(request.output)
    if not can_go_on(folder):
        raise SettingsError(
            f"got --resume, but there is no unfinished output at {folder}; leave out --resume to "
            "start one"
        )
    mode, steps, detail = resolve_options(
        model.config, request.mode, request.steps, request.detail, request.seed, "both"
    )
    now: dict[str, object] = {
        "isoslice": __version__,
        "stack_digest": files_digest(request.stack),
        "model_fingerprint": model.fingerprint,
        **request.reading.model_dump(),
        "mode": mode,
        "steps": steps,
        "detail": detail,
        "seed": request.seed,
        "arithmetic": worker.arithmetic,
    }
    if request.factor is not None:
        now["factor"] = request.factor
    if request.along is not None:
        now["along"] = request.along.upper()
    check_same(read_plan(folder), now, folder)
    return open_job(folder)


def can_go_on(folder: Path) -> bool:
    """Whether an unfinished output got as far as its plan."""
    return (folder / HIDDEN / PLAN).is_file()


def is_made(request: Request) -> bool:
    """Whether a finished output is there, of the same stack, reading, model and seed."""
    try:
        record = json.loads(record_path(request.output).read_text(encoding="utf-8"))
        plan = Plan.model_validate(record["plan"])
    except (OSError, ValueError, KeyError, TypeError):
        return False
    same = (plan.stack_digest, plan.reading, plan.model, plan.seed) == (
        files_digest(request.stack),
        request.reading,
        str(request.model.absolute()),
        request.seed,
    )
    return request.output.exists() and same


def record_path(output: Path) -> Path:
    """Return where the record of an output's run is."""
    return output.with_name(output.name + ".json")


def check_unfinished(output: Path, *, overwrite: bool) -> None:
    """Refuse to begin where there is an unfinished output to go on with, unless told to.

    Raises
    ------
    OutputError
        If there is one, and not `overwrite`; or if something else has its name.
    """
    folder = unfinished(output)
    if not folder.exists():
        return
    ours = folder.is_dir() and ((folder / HIDDEN).is_dir() or (folder / "zarr.json").is_file())
    if not ours and (not folder.is_dir() or any(folder.iterdir())):
        raise OutputError(
            f"{folder} exists and was not made by isoslice, expected that name to be free; choose "
            "another output"
        )
    if can_go_on(folder) and not overwrite:
        raise OutputError(
            f"{folder} exists, what an interrupted run left; go on with --resume, or begin anew "
            "with --overwrite"
        )


def end(job: Job, output: Path, record: Mapping[str, Any], *, overwrite: bool) -> None:
    """Make the unfinished output the finished one, with a record of the run beside it."""
    volume, plan = job.volume, job.plan
    names, used = volume.channel_names, plan.normalization
    windows = tuple(zip(used.low, used.high, strict=True))
    kept = job.metadata
    image = Description(job.axes, job.spacing, volume.unit, names, windows, volume.data.dtype, kept)
    made = replace(
        turned(volume, plan.along),
        spacing=job.spacing,
        provenance=made_by(plan),
        metadata=kept,
    )
    check_output(output, overwrite)
    job.check_whole_stack()
    job.image().finish(image, make_note(made, job.axes))
    with atomic_output(record_path(output), overwrite=True) as draft:
        draft.write_text(
            json.dumps({**record, "plan": plan.model_dump()}, indent=1) + "\n", encoding="utf-8"
        )
    replace_output(job.folder, output)
    shutil.rmtree(output / HIDDEN, ignore_errors=True)


def made_by(plan: Plan) -> dict[str, Any]:
    """Return what a restored image says of its making: what `ModelBundle.predict` says."""
    return provenance(
        model=plan.model_fingerprint,
        recipe="isoslice",
        factor=plan.factor,
        mode=plan.mode,
        steps=plan.steps,
        detail=plan.detail,
        direction="both",
        blur=False,
        seed=plan.seed,
        source=plan.stack,
        normalization=plan.normalization,
        doubts=plan.doubts,
        **told_exceptions(plan.along, plan.lost),
    )
