"""The model of ``isoslice predict`` where none is given: adapted, or trained, on the stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isoslice.cli.predict_options import PredictArguments
from isoslice.runtime.budget import ADAPTING_MINUTES, DEFAULT_MINUTES
from isoslice.runtime.text import decibels_better

if TYPE_CHECKING:
    from isoslice.data.volume import Volume
    from isoslice.inference.model import Model
    from isoslice.runtime.progress import Progress


def check_minutes(minutes: float | None, model: Path | None, *, scratch: bool) -> None:
    """Raise `SettingsError` if a time, or a training from nothing, cannot be what is meant."""
    from isoslice.errors import SettingsError

    if scratch and model is not None:
        raise SettingsError(
            f"got --scratch with the model {model}, expected one of them; leave out --scratch to "
            "restore by that model"
        )
    least = "a positive number" if scratch else "0 or more"
    if minutes is not None and not (0 < minutes < 1e6 or (minutes == 0 and not scratch)):
        raise SettingsError(f"got minutes {minutes:g}, expected {least}")


def adapted_to(
    volume: Volume,
    arguments: PredictArguments,
    minutes: float | None,
    progress: Progress,
    *,
    model: Model,
) -> Model:
    """Adapt a model of many specimens to a stack, on its own planes."""
    from isoslice.training.adapt import adapt

    minutes = ADAPTING_MINUTES if minutes is None else minutes
    learned = _to_learn(volume, arguments, progress)
    seconds = f"{60 * minutes:.3g} seconds" if minutes < 1 else f"{minutes:g} minutes"
    progress.note(
        f"no model given: the one that comes with isoslice is adapted for {seconds} to the stack's "
        f"own {learned.told} planes (--minutes 0: use it as it is; --scratch: train one from "
        "nothing)"
    )
    return adapt(
        learned.planes, model=model, minutes=minutes, factor=learned.factor, **learned.options
    )


def trained_on(
    volume: Volume, arguments: PredictArguments, minutes: float | None, progress: Progress
) -> Model:
    """Train a model from nothing on a stack's own planes."""
    from isoslice.training.train import train

    minutes = DEFAULT_MINUTES if minutes is None else minutes
    learned = _to_learn(volume, arguments, progress)
    progress.note(
        f"training a model for {minutes:g} minutes on the stack's own {learned.told} planes"
    )
    model = train(learned.planes, minutes=minutes, **learned.options)
    if score := model.info["validation"].get("4"):
        gain = decibels_better(score["psnr"] - score["linear_psnr"])
        progress.note(f"trained: {gain} than linear interpolation on hidden rows of its planes")
    return model


class _Learned(NamedTuple):
    """What is learned from, and for which planes."""

    planes: Volume
    #: How many planes, in words.
    told: str
    #: Output planes per measured plane.
    factor: int
    #: What `train` and `adapt` are both told.
    options: dict[str, Any]


def _to_learn(volume: Volume, arguments: PredictArguments, progress: Progress) -> _Learned:
    """Read a stack's planes, and settle how they are learned from."""
    from isoslice.data.coarse import coarse_axis, turned
    from isoslice.data.labels import label_messages
    from isoslice.data.output_spacing import output_spacing
    from isoslice.data.profile import POINT
    from isoslice.errors import DoubtWarning, warn
    from isoslice.inference.stack import planes_to_learn_from
    from isoslice.inference.stored_profile import profile_to_store
    from isoslice.models.config import TrainingSettings
    from isoslice.models.presets import preset_config
    from isoslice.training.own_planes import for_planes
    from isoslice.training.train import spacing_to_learn

    missing = arguments.options().missing_planes
    planes = planes_to_learn_from(volume, along=arguments.along, missing=missing, progress=progress)
    for message in label_messages(planes.tczyx()[0]):  # before minutes of training
        warn(message, DoubtWarning)
    depth = volume.size(coarse_axis(volume, arguments.along))
    of = "" if planes.size("Z") == depth else f" of {depth:,}"
    profile = arguments.options().slice_profile
    stack = turned(volume, coarse_axis(volume, arguments.along))
    stored = profile_to_store(profile, [stack], preset_config("isoslice"), progress, missing)
    output = output_spacing(stack, arguments.options().wanted(arguments.factor))
    settings = TrainingSettings()
    known = POINT if profile in (None, "point") else stored and stored.profile
    if known and output.step:
        rows = known if known == POINT else known.scaled(1 / output.step)
        settings = for_planes(settings, output.positions, rows)
    options = {
        "seed": arguments.seed,
        "device": arguments.device,
        "progress": progress,
        "along": "Z",
        "missing": "auto" if missing.find else "none",
        "slice_profile": stored,
        "spacing": spacing_to_learn(stack, output.step),
        "settings": settings,
    }
    return _Learned(planes, f"{planes.size('Z'):,}{of}", output.factor, options)
