"""Predicting: from a stack in memory to volumes in memory, or from a file to files."""

from __future__ import annotations

from dataclasses import replace
from time import perf_counter
from typing import Any, NamedTuple

from isoslice.data.coarse import renamed
from isoslice.data.output_spacing import Wanted
from isoslice.data.volume import Volume, from_tczyx, voxel_size_of
from isoslice.inference.asked_profile import profile_in_planes
from isoslice.inference.engine.begin import Request
from isoslice.inference.engine.end import (
    Finished,
    remove_stale,
    targets,
    without_names,
    write_record,
)
from isoslice.inference.engine.in_memory import restore_in_memory
from isoslice.inference.engine.job_plan import measured_files, unnamed
from isoslice.inference.engine.run import (
    How,
    Outcome,
    check_outputs,
    restore_on_disk,
    run_line,
)
from isoslice.inference.inspection import diagnose, inspect, warn_of
from isoslice.inference.memory import check_fits, fits, may_be_corrected
from isoslice.inference.options import PredictOptions
from isoslice.inference.plan import Plan, plan_restoration
from isoslice.inference.prediction import Prediction, provenance
from isoslice.inference.recipes import recipe_of
from isoslice.inference.stack import as_volume, stack_to_restore
from isoslice.inference.stored_profile import choose_profile
from isoslice.inference.uncertainty import error_estimator
from isoslice.io.atomic import check_apart
from isoslice.io.reading import open_with
from isoslice.io.writing import check_suffix, check_volume, write_volume
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.device import choose_device, named
from isoslice.runtime.progress import Progress


def predict_volume(
    model: ModelBundle,
    given: Volume,
    options: PredictOptions,
    wanted: Wanted,
    device: str = "auto",
    progress: Progress | None = None,
    along: str | None = None,
) -> Prediction:
    """Restore a stack in memory; arguments as in `Model.predict`."""
    prediction, _ = _predicted(model, given, options, wanted, device, progress or Progress(), along)
    return prediction


def _predicted(
    model: ModelBundle,
    given: Volume,
    options: PredictOptions,
    wanted: Wanted,
    device: str,
    progress: Progress,
    along: str | None,
) -> tuple[Prediction, Plan]:
    recipe = recipe_of(model.config)
    resolved = recipe.resolve(options)
    if resolved.estimates_errors:
        error_estimator(model)  # refuses models that know nothing of their errors
    stack = stack_to_restore(given, model.config, wanted, progress, along)
    computing = choose_device(device)
    chosen = choose_profile(resolved, model.config, stack.volume)
    profile_in_planes(chosen.asked, stack.volume, stack.spacing.ratio)  # refuses some, early
    corrected = may_be_corrected(resolved, chosen, stack.spacing)
    check_fits(stack.volume, stack.spacing.depth, resolved, recipe, corrected=corrected)
    progress.note(f"computing on {named(computing)}")
    inspection = inspect(stack.volume, model.config, progress, resolved.missing_planes)
    blurred = chosen.blurred
    doubts = warn_of(diagnose(stack.volume, stack.factor, model, inspection, blurred=blurred))
    plan = plan_restoration(stack, inspection, model, resolved, doubts, progress)
    restored = restore_in_memory(plan, inspection, stack.volume, model, computing, progress)
    axes = stack.volume.axes
    prediction = Prediction(
        from_tczyx(restored.volume, axes),
        renamed(axes, stack.along),
        voxel_size_of(stack.refined_spacing),
        stack.factor,
        provenance(plan, restored.scales, restored.chi_squared, plan.frames(stack.volume)),
        stack.volume.unit,
        stack.volume.channel_names,
        None if restored.std is None else from_tczyx(restored.std, axes),
        tuple(from_tczyx(sample, axes) for sample in restored.samples),
        restored.scales[0].calibration if restored.scales else None,
        doubts,
        stack.refined_metadata,
    )
    return prediction, plan


class FilePrediction(NamedTuple):
    """What a restoration from a file into files gave.

    Attributes
    ----------
    prediction
        The volumes; what was restored on the disk is read where it is indexed. None of a part that
        came when others had done everything.
    outcome
        What this run did.
    """

    prediction: Prediction | None
    outcome: Outcome


def predict_file(
    request: Request, how: How, progress: Progress, volume: Volume | None = None
) -> FilePrediction:
    """Restore a stack in a file into other files: in memory, or within a budget on the disk.

    On the disk into OME-Zarr, where a budget, slabs or workers are asked for, or if it does not fit
    into memory. `volume` is the stack, if it is open already.

    Raises
    ------
    IsosliceError
        If something cannot be used or written.
    """
    model = request.load_model()
    request = replace(request, model=model)
    check_suffix(request.output)
    for path in targets(request.output, request.options).values():
        for measured in measured_files(request.stack):
            check_apart(path, measured)
    if volume is None:
        volume = open_with(request.stack, request.reading)
    check_volume(request.output, volume)
    if how.part is None:  # another part may have made the output
        check_outputs(request, how)
    if _is_bounded(request, how) or not _fits(request, model, volume):
        outcome = restore_on_disk(request, how, progress, volume)
        made = outcome.finished
        prediction = None if made is None else _read_back(made)
        return FilePrediction(prediction, outcome)
    if request.unnamed:
        volume = unnamed(volume, request.stack)
    started, outcome = perf_counter(), Outcome()
    prediction, plan = _predicted(
        model,
        as_volume(volume, None, None),
        request.options,
        request.wanted,
        request.device,
        progress,
        request.along,
    )
    outcome.seconds, outcome.voxels = perf_counter() - started, prediction.volume.size
    others = [] if prediction.std is None else [prediction.std_volume()]
    volumes = [*prediction.sample_volumes(), *others, prediction.to_volume()]
    paths = targets(request.output, request.options)
    record: dict[str, Any] = {"runs": [run_line(outcome, how)], "plan": plan.model_dump()}
    for path, each in zip(paths.values(), volumes, strict=True):  # the volume last
        write_volume(path, each, overwrite=how.overwrite)
    if how.overwrite:
        remove_stale(request.output, paths, request.stack)
    write_record(request.output, without_names(record) if request.unnamed else record)
    return FilePrediction(prediction, outcome)


def _is_bounded(request: Request, how: How) -> bool:
    asked = request.memory, request.slab, how.scheduler, how.part
    return (
        request.output.name.endswith(".zarr")
        or any(value is not None for value in asked)
        or how.workers > 1
        or how.resume
        or how.plan_only
    )


def _fits(request: Request, model: ModelBundle, volume: Volume) -> bool:
    """Whether a stack can be restored in memory; refuses those that cannot be restored at all."""
    recipe = recipe_of(model.config)
    options = recipe.resolve(request.options)
    stack = stack_to_restore(volume, model.config, request.wanted, Progress(), request.along)
    chosen = choose_profile(options, model.config, stack.volume)
    corrected = may_be_corrected(options, chosen, stack.spacing)
    return fits(stack.volume, stack.spacing.depth, options, recipe, corrected=corrected)


def _read_back(finished: Finished) -> Prediction:
    """Return what was restored on the disk, read where it is indexed."""
    volumes, plan = finished.volumes, finished.plan
    volume, std = volumes["volume"], volumes.get("std")
    made = dict(volume.provenance or {})
    made.pop("holds", None)
    return Prediction(
        volume.data,
        volume.axes,
        volume.voxel_size,
        plan.factor,
        made,
        volume.unit,
        volume.channel_names,
        None if std is None else std.data,
        tuple(each.data for name, each in volumes.items() if name.startswith("sample-")),
        finished.calibration,
        plan.doubts,
        volume.metadata,
    )
