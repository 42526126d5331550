"""Answers requests of the window, and remembers models and what was measured on stacks.

What only some requests need is loaded by these, so that the first preview comes sooner.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import turned
from isoslice.data.recorded import recorded_axis, recorded_share
from isoslice.data.survey import format_planes
from isoslice.data.volume import Volume
from isoslice.inference.engine.begin import Request as FileRequest
from isoslice.inference.engine.end import targets
from isoslice.inference.engine.predict import predict_file
from isoslice.inference.engine.run import How
from isoslice.inference.model import Model
from isoslice.inference.stack import planes_to_learn_from
from isoslice.io.atomic import check_apart
from isoslice.io.options import ReadOptions
from isoslice.io.reading import open_volume, open_with
from isoslice.io.writing import beside, write_volume
from isoslice.models.config import ModelConfig
from isoslice.runtime.device import choose_device
from isoslice.runtime.progress import Progress
from isoslice.runtime.threads import threads_each
from isoslice.viewer.compute.prepare import PreparedStack, predict_options, prepare_stack
from isoslice.viewer.compute.preview import DIAL, NARROW, WIDE, has_dial, preview_slabs
from isoslice.viewer.messages import (
    ADAPTED,
    PRETRAINED,
    Check,
    Checked,
    Describe,
    Described,
    Prepare,
    Prepared,
    Preview,
    Previewed,
    Report,
    Request,
    Restore,
    Restored,
    Save,
    Settings,
    Source,
    Written,
)


@dataclass
class Session:
    """What is remembered between requests: the last stack, and models by what they are."""

    _models: dict[object, Model] = field(default_factory=dict)
    _prepared: tuple[object, PreparedStack] | None = None

    def answer(self, request: Request, progress: Progress) -> Iterator[Any]:
        """Do what is asked for; yield one answer, or several, each more than the one before.

        Raises
        ------
        IsosliceError
            If it cannot be done.
        """
        match request:
            case Describe(path):
                yield described(Path(path))
            case Prepare(source, settings):
                prepared = self._prepare(source, settings, progress)
                yield settled(prepared)
            case Preview():
                yield from self._preview(request, progress)
            case Restore():
                yield self._restore(request, progress)
            case Check(source, settings):
                yield self._check(source, settings, progress)
            case Save(restored, path, measured):
                yield save(restored, Path(path), measured)
            case Report(source, restored, path):
                yield report(source, restored, Path(path))

    def model(self, source: Source, settings: Settings, progress: Progress) -> Model:
        """Return a model, loaded or adapted once."""
        if settings.model != ADAPTED:
            key: object = settings.model
            if key not in self._models:
                pretrained = settings.model == PRETRAINED
                load = Model.pretrained if pretrained else lambda: Model.load(settings.model)
                self._models[key] = load()
            return self._models[key]
        asked = settings.along, settings.factor, settings.missing, settings.minutes
        key = (ADAPTED, _state(source), asked)
        if key not in self._models:
            from isoslice.training.adapt import adapt

            start = self.model(source, replace(settings, model=PRETRAINED), progress)
            told = predict_options(settings).missing_planes
            stack = open_source(source)
            planes = planes_to_learn_from(
                stack, along=settings.along, missing=told, progress=progress
            )
            self._models[key] = adapt(
                planes,
                model=start,
                minutes=settings.minutes,
                progress=progress,
                along="Z",
                factor=settings.factor,
                missing="auto" if told.find else "none",
            )
        return self._models[key]

    def _prepare(self, source: Source, settings: Settings, progress: Progress) -> PreparedStack:
        key = _state(source), settings
        if self._prepared is None or self._prepared[0] != key:
            self._prepared = None  # two stacks at once may be too many
            model = self.model(source, settings, progress)
            made = prepare_stack(open_source(source), model, settings, progress)
            self._prepared = key, made
        return self._prepared[1]

    def _preview(self, request: Preview, progress: Progress) -> Iterator[Previewed]:
        prepared = self._prepare(request.source, request.settings, progress)
        device = choose_device()
        dial = DIAL if has_dial(prepared) else (1.0,)
        for extent in (NARROW, WIDE):
            slabs = preview_slabs(prepared, request.at, extent, device, progress)
            yield Previewed(slabs, dial, extent is NARROW)

    def _restore(self, request: Restore, progress: Progress) -> Restored:
        source, settings = request.source, request.settings
        model = self.model(source, settings, progress)
        own = isinstance(model.config, ModelConfig) and model.config.distilled is None
        options = predict_options(
            settings, request.detail if own else None, uncertainty=request.uncertainty
        )
        asked = FileRequest(
            stack=Path(source.path),
            model=model,
            output=Path(request.output),
            reading=read_options(source),
            options=options,
            factor=settings.factor,
            along=settings.along,
            threads=threads_each(1),
        )
        how = How(resume=request.resume, overwrite=request.overwrite)
        prediction = predict_file(asked, how, progress).prediction
        assert prediction is not None  # only parts end without
        paths = targets(asked.output, options)
        stack, volume = open_source(source), prediction.to_volume()
        along = recorded_axis(volume)
        count = stack.size(along)
        measured = measured_shares(volume, count)
        std = paths.get("std")
        ratio = float(prediction.provenance["factor"])
        if positions := prediction.provenance.get("positions"):
            ratio = float(np.median(np.diff(positions)))
        return Restored(
            str(asked.output),
            None if std is None else str(std),
            stack.axes,
            along,
            ratio,
            measured,
            prediction.doubts,
        )

    def _check(self, source: Source, settings: Settings, progress: Progress) -> Checked:
        from isoslice.evaluation.holdout.run import check

        model = self.model(source, settings, progress)
        result = check(
            open_source(source),
            model,
            factor=settings.factor,
            progress=progress,
            along=settings.along,
            missing=settings.missing,
            slice_profile=settings.profile,
        )
        return Checked(result.verdict, result.doubts.messages)


def settled(prepared: PreparedStack) -> Prepared:
    """Say in words what was settled for a stack."""
    plan = prepared.plan
    lost = sorted({z for channels in plan.lost for planes in channels for z in planes})
    profile = plan.profile_from
    if not profile and plan.profile.kind != "point":
        profile = f"{plan.profile.kind}, {plan.profile.width:.3g} output planes wide"
    depth = prepared.stack.spacing.depth
    return Prepared(plan.factor, depth, format_planes(lost) if lost else "", profile, plan.doubts)


def read_options(source: Source) -> ReadOptions:
    """Return how a stack's file is read."""
    return ReadOptions(axes=source.axes, voxel_size=source.voxel_size, unit=source.unit)


def open_source(source: Source) -> Volume:
    """Open a stack; its voxels are read where they are indexed."""
    return open_with(Path(source.path), read_options(source))


def described(path: Path) -> Described:
    """Describe a file by what it says of itself."""
    volume = open_volume(path)
    steps = volume.spacing.get("Z"), volume.spacing.get("Y"), volume.spacing.get("X")
    return Described(volume.data.shape, volume.axes, steps, volume.unit)


def measured_shares(restored: Volume, planes: int) -> NDArray[np.float32]:
    """Return which share of each plane of a result was measured, (T, C, planes), from 0 to 1.

    Parameters
    ----------
    restored
        The result, with its provenance.
    planes
        How many the stack has.
    """
    from isoslice.evaluation.report.planes import planes_of

    volume = turned(restored, recorded_axis(restored))
    times, channels, depth = (volume.size(axis) for axis in "TCZ")
    shares = np.zeros((times, channels, depth), np.float32)
    for t, c in np.ndindex(times, channels):
        found = planes_of(volume, planes, t, c)
        known = None
        if not found.points:
            known = recorded_share(volume.provenance, t, c, channels, depth)
        shares[t, c] = found.grid.mask if known is None else known
    return shares


def save(restored: Restored, path: Path, measured: str | None = None) -> Written:
    """Write a restored volume in the format of a path's suffix, and its deviations beside it.

    A file is replaced, as a dialog has asked; a folder is not, as none asks for it.

    Raises
    ------
    OutputError
        If the path cannot be written, or is that of a folder, or of the file that was restored.
    """
    for written in (path, beside(path, "std")):
        if measured is not None:
            check_apart(written, measured)
    replaced = path.is_file()
    if restored.std is not None:
        write_volume(beside(path, "std"), open_volume(restored.std), overwrite=replaced)
    write_volume(path, open_volume(restored.path), overwrite=replaced)
    return Written(str(path))


def report(source: Source, restored: Restored, path: Path) -> Written:
    """Write the report of a restored volume."""
    from isoslice.evaluation.report.of_predict import prediction_report
    from isoslice.evaluation.report.write import write_report

    std = None if restored.std is None else open_volume(restored.std)
    volume = open_volume(restored.path)
    made = prediction_report(open_source(source), volume, uncertainty=std)
    write_report(path, made, overwrite=True)
    return Written(str(path))


def _state(source: Source) -> tuple[Source, float]:
    """Return a stack and when its file was changed last."""
    try:
        return source, Path(source.path).stat().st_mtime
    except OSError:
        return source, 0.0
