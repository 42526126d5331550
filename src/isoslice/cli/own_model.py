"""The model of ``isoslice predict`` where none is given: adapted, or trained, on the stack."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from isoslice.cli.predict_options import PredictArguments
from isoslice.runtime.budget import ADAPTING_MINUTES, DEFAULT_MINUTES
from isoslice.runtime.text import decibels_better

if TYPE_CHECKING:
    from isoslice.data.volume import Volume
    from isoslice.inference.model import Model
    from isoslice.runtime.progress import Progress
    from isoslice.training.own_stack import Learned


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
    learned = _own_planes(volume, arguments, progress)
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
    learned = _own_planes(volume, arguments, progress)
    progress.note(
        f"training a model for {minutes:g} minutes on the stack's own {learned.told} planes"
    )
    model = train(learned.planes, minutes=minutes, **learned.options)
    if score := model.info["validation"].get("4"):
        gain = decibels_better(score["psnr"] - score["linear_psnr"])
        progress.note(f"trained: {gain} than linear interpolation on hidden rows of its planes")
    return model


def _own_planes(volume: Volume, arguments: PredictArguments, progress: Progress) -> Learned:
    from isoslice.training.own_stack import own_planes_of

    return own_planes_of(
        volume,
        arguments.options(),
        factor=arguments.factor,
        along=arguments.along,
        progress=progress,
        seed=arguments.seed,
        device=arguments.device,
    )
