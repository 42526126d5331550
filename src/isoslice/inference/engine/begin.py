"""Beginning a restoration on the disk, and going on with one."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from isoslice import __version__
from isoslice.data.output_spacing import Wanted
from isoslice.data.volume import Volume
from isoslice.errors import OutputError, SettingsError, warn
from isoslice.inference.asked_profile import file_digest, profile_in_planes
from isoslice.inference.engine.job import (
    FIELDS,
    MARK,
    MODEL,
    PLAN,
    Job,
    open_job,
    read_plan,
    write_plan,
)
from isoslice.inference.engine.job_plan import (
    JobPlan,
    check_same,
    files_digest,
    files_glance,
    unnamed,
)
from isoslice.inference.engine.need import WORTH_TELLING, check_beside, field_bytes, need_of
from isoslice.inference.engine.restoration import BLOCK, Cut, Restoration, field_types
from isoslice.inference.engine.slabs import LEAST_BUDGET, sizes_of, slab_slices
from isoslice.inference.engine.worker import Worker
from isoslice.inference.inspection import diagnose, inspect, warn_of
from isoslice.inference.options import PredictOptions
from isoslice.inference.plan import plan_restoration
from isoslice.inference.recipes import recipe_of
from isoslice.inference.stack import stack_to_restore
from isoslice.inference.stored_profile import choose_profile
from isoslice.inference.uncertainty import error_estimator
from isoslice.io.atomic import output_error
from isoslice.io.limits import available_memory
from isoslice.io.options import ReadOptions
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.progress import Progress, told_if_slow
from isoslice.runtime.text import spoken_bytes


@dataclass(frozen=True)
class Request:
    """A restoration that was asked for, from a file into a file.

    Attributes
    ----------
    stack, reading
        Path of the stack, and how it is to be read.
    model
        The model, or its folder.
    output
        Where the volume goes; standard deviations and samples go beside it.
    options
        As in `Model.predict`; and so are `factor`, `device` and `along`.
    memory
        Bytes that a process may take, counted as a gigabyte if less; by default half of what is
        free, shared by all.
    threads
        Threads of each process on this machine.
    slab
        Slices of a slab, whatever the memory.
    unnamed
        Leave names of files, folders and machines out of the result and its record.
    """

    stack: Path
    model: Path | ModelBundle
    output: Path
    reading: ReadOptions = field(default_factory=ReadOptions)
    options: PredictOptions = field(default_factory=PredictOptions)
    factor: int | None = None
    along: str | None = None
    device: str = "auto"
    memory: int | None = None
    threads: int = 1
    slab: int | None = None
    unnamed: bool = False

    @property
    def wanted(self) -> Wanted:
        """How far output planes are to be apart."""
        return self.options.wanted(self.factor)

    @property
    def budget(self) -> int:
        """Bytes that a process may take."""
        given = available_memory() // 2 if self.memory is None else self.memory
        return max(given, LEAST_BUDGET)

    def load_model(self) -> ModelBundle:
        """Return the model."""
        return self.model if isinstance(self.model, ModelBundle) else ModelBundle.load(self.model)


def unfinished(output: Path) -> Path:
    """Return where an output is until it is whole."""
    return output.with_name(output.name + ".unfinished")


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
    recipe = recipe_of(model.config)
    options = recipe.resolve(request.options)
    if request.unnamed:
        volume = unnamed(volume, request.stack)
    if options.estimates_errors:
        error_estimator(model)  # refuses models that know nothing of their errors
    stack = stack_to_restore(volume, model.config, request.wanted, progress, request.along)
    volume = stack.volume
    chosen = choose_profile(options, model.config, volume)
    profile_in_planes(chosen.asked, volume, stack.spacing.ratio)  # refuses some, early
    _check_lazy(request, volume)
    progress.note(f"computing on {worker.told}")
    need = need_of(stack, options, recipe)
    if need.reads >= WORTH_TELLING:
        progress.note(need.told)
    check_beside(need.beside, request.output)  # at least: before hours of reading
    inspection = inspect(volume, model.config, progress, options.missing_planes)
    doubts = warn_of(diagnose(volume, stack.factor, model, inspection, blurred=chosen.blurred))
    plan = plan_restoration(stack, inspection, model, options, doubts, progress)
    frames = plan.frames(volume)
    fields = field_types(plan, frames, inspection, model)
    sizes = sizes_of(plan, frames, volume, fields)
    with told_if_slow(progress, "looking at the stack's files, to know them again"):
        files = files_digest(request.stack)
    saved = JobPlan(
        plan=plan,
        cut=Cut(
            fields=fields,
            slabs=slab_slices(sizes, request.budget, worker, recipe, request.slab),
            block=(BLOCK, BLOCK, BLOCK),
        ),
        stack=str(request.stack.absolute()),
        reading=request.reading,
        stack_digest=files,
        stack_glance=files_glance(request.stack.absolute()),
        profile_digest=file_digest(options.slice_profile),
        arithmetic=worker.arithmetic,
        unnamed=request.unnamed,
    )
    job = Job(saved, unfinished(request.output), volume, model)
    if request.memory is not None and request.memory < LEAST_BUDGET:
        progress.note(
            f"a process takes up to {spoken_bytes(LEAST_BUDGET)}, of which Python and PyTorch take "
            f"0.4, however little it is given ({spoken_bytes(request.memory)})"
        )
    progress.note(told(job.restoration, request.budget))
    _check_room(job.restoration, request.output)
    _make_folder(job, request.output)
    return job


def _make_folder(job: Job, output: Path) -> None:
    try:
        job.folder.mkdir()
    except OSError as error:
        raise output_error(output, error) from error
    try:
        (job.folder / MARK).touch()
        (job.folder / FIELDS).mkdir()
        job.model.save(job.folder / MODEL)
        job.create_images()
        write_plan(job.saved, job.folder)  # now it can be gone on with
    except BaseException as error:
        shutil.rmtree(job.folder, ignore_errors=True)
        if isinstance(error, OSError):
            raise output_error(output, error) from error
        raise


def _check_lazy(request: Request, volume: Volume) -> None:
    """Refuse a stack that every process would have to hold in memory, if that is too much."""
    if isinstance(volume.data, np.ndarray) and volume.data.nbytes > request.budget // 4:
        raise SettingsError(
            f"{request.stack}: got {spoken_bytes(volume.data.nbytes)} in a format that is read as "
            f"a whole, expected a quarter of --memory ({spoken_bytes(request.budget)}) at most; "
            "save it as OME-Zarr or as an uncompressed TIFF, or give more memory"
        )


def told(restoration: Restoration, memory: int) -> str:
    """Say how the work is cut, and what it needs."""
    xz, yz = restoration.cut.slabs
    return (
        f"{xz} XZ or {yz} YZ slices are restored at once, for {spoken_bytes(memory)} of memory "
        f"(--memory, --slab); up to {spoken_bytes(_beside(restoration))} lie on the disk beside "
        "the output while it is made"
    )


def _beside(restoration: Restoration) -> int:
    of_pass = "float32" if "float32" in restoration.cut.fields else "float16"
    sizes = restoration.shape, restoration.channels
    return field_bytes(restoration.frame_stages, *sizes, of_pass)


def _check_room(restoration: Restoration, output: Path) -> None:
    needed = _beside(restoration)
    free = check_beside(needed, output)
    made = restoration.voxels * sum(sink.dtype.itemsize for sink in restoration.sinks.values())
    if free < needed + made:
        warn(
            f"{output}: got a disk with {spoken_bytes(free)} free; what lies there while the "
            f"volume is made takes {spoken_bytes(needed)}, the result up to {spoken_bytes(made)}, "
            "less what compression saves: if the disk fills up, make room and go on with --resume"
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
    now: dict[str, object] = {
        "isoslice": __version__,
        "stack_digest": files_digest(request.stack),
        "fingerprint": model.fingerprint,
        **request.reading.model_dump(),
        **recipe_of(model.config).resolve(request.options).model_dump(),
        "arithmetic": worker.arithmetic,
    }
    if digest := file_digest(request.options.slice_profile):  # else its samples were kept
        now["profile_digest"] = digest
    if request.factor is not None:
        now["factor"] = request.factor
    if request.along is not None:
        now["along"] = request.along.upper()
    before = read_plan(folder)
    check_same(before, now, folder)
    stack = request.stack.absolute()
    if Path(before.stack) != stack:  # the same files, moved since
        moved = {"stack": str(stack), "stack_glance": files_glance(stack)}
        write_plan(before.model_copy(update=moved), folder)
    return open_job(folder)


def can_go_on(folder: Path) -> bool:
    """Whether an unfinished output got as far as its plan."""
    return (folder / PLAN).is_file()


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
    ours = folder.is_dir() and (folder / MARK).is_file()
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
