"""Ending a restoration: its images become the outputs, in any format, with a record of the run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isoslice.data.coarse import renamed
from isoslice.data.volume import Volume
from isoslice.errors import IsosliceError, OutputError
from isoslice.inference.engine.begin import Request
from isoslice.inference.engine.job import MARK, OVERWRITE, PLAN, Job
from isoslice.inference.engine.job_plan import JobPlan, files_digest, measured_files
from isoslice.inference.options import PredictOptions, outputs_of
from isoslice.inference.plan import Plan
from isoslice.inference.recipes import recipe_of
from isoslice.io.atomic import atomic_output, check_output, remove_output, replace_output
from isoslice.io.deferred import DeferredVoxels
from isoslice.io.formats.npy import sidecar
from isoslice.io.formats.omezarr.metadata import Description
from isoslice.io.lazy_array import LazyArray
from isoslice.io.notes import make_note
from isoslice.io.writing import beside, write_volume
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.reliability.calibration import FactorCalibration

#: Of standard deviations, this share of the range of intensities is shown as white.
STD_WINDOW = 0.1


def targets(output: Path, options: PredictOptions) -> dict[str, Path]:
    """Return the paths of all volumes that a restoration gives, by name."""
    names = outputs_of(options, np.dtype(np.uint8))
    return {name: output if name == "volume" else beside(output, name) for name in names}


class Finished(NamedTuple):
    """Finished volumes, by name, read from their files where they are indexed, and their plan."""

    volumes: Mapping[str, Volume]
    plan: Plan
    #: What intervals are made with, if there are standard deviations.
    calibration: FactorCalibration | None


def end(job: Job, output: Path, record: Mapping[str, Any], *, overwrite: bool) -> Finished:
    """Write the outputs, the volume last, and the record of the run; remove the folder.

    What an earlier attempt has written already stays.
    """
    paths = targets(output, job.saved.plan.options)
    for name, path in paths.items():
        if (job.folder / name).is_dir():
            check_output(path, overwrite)
    job.check_whole_stack()
    finished = {name: _deferred(job, name, path) for name, path in paths.items()}
    for name, path in paths.items():
        if not (job.folder / name).is_dir():
            continue
        if path.name.endswith(".zarr"):
            _finish_image(job, name)
            replace_output(job.folder / name, path)
        else:
            _write(job, name, path, overwrite)
            # As if it had been moved: what is half removed must not be written again.
            (job.folder / name).rename(job.folder / f"{name}.written")
    if overwrite or (job.folder / OVERWRITE).exists():
        remove_stale(output, paths, Path(job.saved.stack))
    cut = job.saved.model_dump(exclude={"plan"})
    if job.saved.unnamed:
        cut["stack"], record = "", without_names(record)
    write_record(output, {**record, "plan": job.saved.plan.model_dump(), "job": cut})
    scale = job.restoration.scale(0)
    remove_unfinished(job.folder)
    return Finished(finished, job.saved.plan, None if scale is None else scale.calibration)


def remove_unfinished(folder: Path) -> None:
    """Remove an unfinished output, what it is known by last."""
    (folder / PLAN).unlink(missing_ok=True)
    for path in folder.iterdir() if folder.is_dir() else ():
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name != MARK:
            path.unlink(missing_ok=True)
    shutil.rmtree(folder, ignore_errors=True)


def _deferred(job: Job, name: str, path: Path) -> Volume:
    """Describe a finished volume, its axes in the order of the stack's."""
    axes = renamed(job.volume.axes, job.saved.plan.along)
    shape = tuple(job.image_shape[job.axes.index(axis)] for axis in axes)
    voxels = LazyArray(DeferredVoxels(path.absolute(), axes, shape, job.outputs[name]))
    return replace(job.described(name, voxels), axes=axes)


def _finish_image(job: Job, name: str) -> None:
    """Make an image valid OME-Zarr."""
    image, used = job.image(name), job.saved.plan.normalization
    volume = job.described(name, _stored(job, name))
    windows = tuple(zip(used.low, used.high, strict=True))
    if name == "std":
        windows = tuple((0.0, STD_WINDOW * (high - low)) for low, high in windows)
    image.finish(
        Description(
            job.axes,
            volume.spacing,
            volume.unit,
            volume.channel_names,
            windows,
            volume.data.dtype,
            volume.metadata,
        ),
        make_note(volume, job.axes),
    )


def _write(job: Job, name: str, path: Path, overwrite: bool) -> None:
    """Write a volume in another format, its axes in the order of the stack's."""
    axes = renamed(job.volume.axes, job.saved.plan.along)
    voxels = _stored(job, name).transpose([job.axes.index(axis) for axis in axes])
    volume = replace(job.described(name, _stored(job, name)), data=voxels, axes=axes)
    write_volume(path, volume, overwrite=overwrite)


def _stored(job: Job, name: str) -> Any:
    """Open an image's voxels, read where they are indexed."""
    import zarr

    return LazyArray(zarr.open_array(store=job.folder / name / "0", mode="r"))


def record_path(output: Path) -> Path:
    """Return where the record of an output's run is."""
    # The array's own description lies at NAME.npy.json.
    return output.with_name(output.name + (".run.json" if output.suffix == ".npy" else ".json"))


def _recorded(output: Path) -> Plan | None:
    """Return the plan of the run that made an output, if its record is there."""
    try:
        return Plan.model_validate(json.loads(record_path(output).read_bytes())["plan"])
    except (OSError, ValueError, KeyError, TypeError, IsosliceError):
        return None


def check_record(output: Path) -> None:
    """Raise `OutputError` if a file that is no record of a run has the name of one."""
    path = record_path(output)
    try:
        ours = "runs" in json.loads(path.read_bytes())
    except FileNotFoundError:
        return
    except (OSError, ValueError, TypeError):
        ours = False
    if not ours:
        raise OutputError(
            f"{path} exists and was not made by isoslice, expected that name to be free for the "
            "record of the run; move it, or choose another output"
        )


def remove_stale(output: Path, paths: Mapping[str, Path], stack: Path) -> None:
    """Remove deviations and samples of the run that made an output before, unless of `paths`.

    Nor is anything removed that belongs to the stack, or holds it.
    """
    before = _recorded(output)
    if before is None:
        return
    measured = [path.resolve() for path in measured_files(stack)]
    for path in set(targets(output, before.options).values()) - set(paths.values()):
        if any(each.is_relative_to(path.resolve()) for each in measured):
            continue
        remove_output(path)
        if path.suffix == ".npy":
            remove_output(sidecar(path))


def write_record(output: Path, record: Mapping[str, Any]) -> None:
    """Write the record of a run beside its output, replacing an older one."""
    text = json.dumps(record, indent=1) + "\n"
    with atomic_output(record_path(output), overwrite=True) as draft:
        draft.write_text(text, encoding="utf-8")


def without_names(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record of runs without names of machines and addresses, which say who or where."""
    runs = [
        {
            key: value
            for key, value in run.items()
            if key != "host" and not (key == "workers" and isinstance(value, str))
        }
        for run in record["runs"]
    ]
    tasks = record.get("tasks", {}).values()
    numbered = {f"process {number}": count for number, count in enumerate(tasks, 1)}
    return {**record, "runs": runs, **({"tasks": numbered} if "tasks" in record else {})}


def is_made(request: Request, model: ModelBundle) -> bool:
    """Whether a finished output is there, of the same stack, reading, model and options."""
    try:
        record = json.loads(record_path(request.output).read_text(encoding="utf-8"))
        made = JobPlan.model_validate({**record["job"], "plan": record["plan"]})
    except (OSError, ValueError, KeyError, TypeError, IsosliceError):
        return False
    options = recipe_of(model.config).resolve(request.options)
    same = (made.stack_digest, made.reading, made.plan.model, made.plan.options) == (
        files_digest(request.stack),
        request.reading,
        model.fingerprint,
        options,
    )
    same &= request.factor in (None, made.plan.factor)
    same &= request.along is None or request.along.upper() == made.plan.along
    return request.output.exists() and same
