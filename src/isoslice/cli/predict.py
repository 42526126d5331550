"""``isoslice predict``: an anisotropic stack in, an isotropic volume out."""

from __future__ import annotations

import warnings
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.interrupts import Interrupted
from isoslice.cli.large import LargeOptions
from isoslice.cli.options import (
    NoNames,
    Output,
    Overwrite,
    Quiet,
    ReportPath,
    StackReading,
    with_option_groups,
)
from isoslice.cli.outcome import tell_agreement, write_prediction_report
from isoslice.cli.predict_options import Minutes, ModelFolder, PredictArguments, Scratch
from isoslice.runtime.text import as_typed

if TYPE_CHECKING:
    from isoslice.data.output_spacing import Wanted
    from isoslice.data.volume import Volume
    from isoslice.inference.engine.begin import Request
    from isoslice.inference.engine.run import How
    from isoslice.inference.model import Model
    from isoslice.inference.prediction import Prediction


@with_option_groups
def predict(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="The stack to restore.")],
    output: Output,
    reading: StackReading,
    arguments: PredictArguments,
    large: LargeOptions,
    model: ModelFolder = None,
    minutes: Minutes = None,
    scratch: Scratch = False,
    report: ReportPath = None,
    no_names: NoNames = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Restore a coarse stack, at once or by a model of your own.

    Without a model, the one that comes with isoslice is adapted to the stack's own planes first.
    """
    from isoslice.runtime.progress import terminal_progress, told_if_slow

    progress = terminal_progress(quiet)
    with told_if_slow(progress, f"opening {stack}"):
        from isoslice.cli.own_model import adapted_to, check_minutes, trained_on
        from isoslice.errors import DoubtWarning
        from isoslice.inference.engine.job_plan import unnamed
        from isoslice.inference.engine.predict import predict_file
        from isoslice.inference.model import Model
        from isoslice.io import check_suffix
        from isoslice.io.reading import open_with
        from isoslice.models.pretrained import folder as pretrained_folder

        how = large.execution(overwrite)
        check_minutes(minutes, model, scratch=scratch)
        if minutes == 0 and model is None:
            model = pretrained_folder()
        check_suffix(output)
        own_model = model_beside(output)
        if model is None and large.resume and (own_model / "config.json").is_file():
            model = own_model
        _check_paths(Path(stack), output, arguments, how, model, report)
        volume = open_with(Path(stack), reading.options())
        if no_names:
            volume = unnamed(volume, Path(stack))
        restorer = None if model is None else Model.load(model)
        start = restorer or (None if scratch else Model.pretrained())
        _check_request(volume, output, arguments, start, resume=large.resume)
    if quiet:
        warnings.simplefilter("ignore", DoubtWarning)  # the entry point restores filters
    trained = False
    try:
        if restorer is None:
            make = trained_on if start is None else partial(adapted_to, model=start)
            restorer = make(volume, arguments, minutes, progress)
            restorer.save(own_model, overwrite=overwrite)
            trained = True
            progress.note(f"model saved: {own_model}; reuse it with -m {as_typed(own_model)}")
        request = _request(Path(stack), restorer, output, reading, arguments, large)
        request = replace(request, unnamed=no_names)
        prediction, outcome = predict_file(request, how, progress, volume)
        if report is not None and prediction is not None:
            named = replace(volume, source=prediction.provenance["source"])
            _write_report(report, named, prediction, output, overwrite=overwrite)
            progress.note(f"report: {report} (open it in a browser)")
    except KeyboardInterrupt:
        raise Interrupted(_what_is_kept(output, own_model if trained else None)) from None
    finally:
        progress.close()
    if how.plan_only:
        if not quiet:
            _tell_plan(output, own_model if trained or model is None else model)
        return
    if not quiet:
        speed = outcome.voxels / max(outcome.seconds, 1e-9)
        typer.echo(f"restored: {output} ({outcome.seconds:.1f} s, {speed:,.0f} voxels/s)")
        if prediction is not None:
            tell_agreement(prediction.provenance)


def _request(
    stack: Path,
    model: Model,
    output: Path,
    reading: StackReading,
    arguments: PredictArguments,
    large: LargeOptions,
) -> Request:
    """Gather what the command was asked for."""
    from isoslice.inference.engine.begin import Request
    from isoslice.runtime.threads import threads_each

    return Request(
        stack=stack,
        model=model,
        output=output,
        reading=reading.options(),
        options=arguments.options(),
        factor=arguments.factor,
        along=arguments.along,
        device=arguments.device,
        memory=large.budget(),
        threads=threads_each(large.workers),
        slab=large.slab,
    )


def _check_paths(
    stack: Path,
    output: Path,
    arguments: PredictArguments,
    how: How,
    model: Path | None,
    report: Path | None,
) -> None:
    """Refuse paths that cannot be written, before any work."""
    from isoslice.errors import SettingsError
    from isoslice.inference.engine.job_plan import measured_files
    from isoslice.io.atomic import check_apart, check_output

    for path in (output, *arguments.beside(output)):
        for measured in measured_files(stack):
            check_apart(path, measured)
    if how.part is not None and model is None:
        raise SettingsError(
            "got --part without --model, expected one model that all parts use; train it first, "
            f"with 'isoslice train {as_typed(stack)} -o MODEL --from pretrained', and give it with "
            "--model MODEL"
        )
    if how.part is None and not how.resume:  # else an earlier run may have made some of them
        for path in (output, *arguments.beside(output)):
            check_output(path, how.overwrite)
    if report is not None:
        _check_report(report, how)
    if model is None:
        check_output(model_beside(output), how.overwrite)


def _check_request(
    volume: Volume,
    output: Path,
    arguments: PredictArguments,
    model: Model | None,
    *,
    resume: bool,
) -> None:
    """Refuse what predict would refuse, before minutes of training."""
    from isoslice.data.coarse import coarse_axis, turned
    from isoslice.inference.asked_profile import profile_in_planes
    from isoslice.inference.recipes import recipe_of
    from isoslice.inference.uncertainty import error_estimator
    from isoslice.io.writing import check_volume
    from isoslice.models.presets import preset_config
    from isoslice.runtime.device import choose_device

    choose_device(arguments.device)
    check_volume(output, volume)
    stack = turned(volume, coarse_axis(volume, arguments.along))
    given = arguments.options()
    check_stack(stack, given.wanted(arguments.factor))
    given.missing_planes.check(stack.size("Z"), volume.source)
    if given.slice_profile is not None and not resume:  # else a file may be gone: it was kept
        profile_in_planes(given.slice_profile, stack, arguments.factor or 2)
    config = preset_config("isoslice") if model is None else model.config
    options = recipe_of(config).resolve(given)
    if model is not None and options.estimates_errors:
        error_estimator(model)


def _write_report(
    report: Path, volume: Volume, prediction: Prediction, output: Path, *, overwrite: bool
) -> None:
    """Write the report; if that fails, say that the volume is there nevertheless."""
    from isoslice.errors import OutputError

    try:
        write_prediction_report(report, volume, prediction, overwrite=overwrite)
    except OutputError as error:
        raise OutputError(f"{output} is complete, but not its report: {error}") from error


def _check_report(report: Path, how: How) -> None:
    from isoslice.errors import SettingsError
    from isoslice.evaluation.report.write import check_report_path

    for option, given in (("--part", how.part is not None), ("--plan", how.plan_only)):
        if given:
            raise SettingsError(
                f"got --report with {option}, which may end before the volume is whole, expected "
                "one of them; leave out --report"
            )
    check_report_path(report, how.overwrite)


def model_beside(output: Path) -> Path:
    """Return the path of a model trained on the fly: ``cells.model`` for ``cells.ome.tif``."""
    name = output.name
    return output.with_name((name[: name.index(".", 1)] if "." in name[1:] else name) + ".model")


def check_stack(volume: Volume, wanted: Wanted) -> None:
    """Raise now what Model.predict would raise after minutes of training.

    Parameters
    ----------
    volume
        The stack, its coarse axis called Z.
    wanted
        The output spacing that was asked for.
    """
    from isoslice.errors import DataError
    from isoslice.inference.stack import choose_spacing, planes_message
    from isoslice.io import require_voxel_size
    from isoslice.runtime.progress import Progress

    if volume.size("Z") < 2:
        raise DataError(planes_message(volume))
    # The output must carry a true voxel size, so this holds even where --factor is given.
    require_voxel_size(volume)
    choose_spacing(volume, wanted, Progress())


def _tell_plan(output: Path, model: Path) -> None:
    from isoslice.inference.engine.begin import unfinished

    typer.echo(
        f"planned: {unfinished(output)}; run again with -m {as_typed(model)} and --resume, or "
        "share the work with --part 1/N to N/N"
    )


def _what_is_kept(output: Path, own_model: Path | None) -> str:
    from isoslice.inference.engine.begin import unfinished

    if unfinished(output).exists():
        return "what is restored is kept; go on with --resume"
    if own_model is not None:
        return f"the model is kept; run again with -m {as_typed(own_model)}"
    return "nothing was written"
