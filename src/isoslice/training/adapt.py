"""Adapt a model of many specimens to one stack, on its own sharp planes, in a short time.

Each channel is a stack of its own, in its own units. What is learned is kept as far as it helps
on planes that are held out (`blend`), so that the result is no worse there than the model was.
"""

from __future__ import annotations

import copy
import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn

from isoslice import __version__
from isoslice.data.coarse import coarse_axis, is_coarse, turned
from isoslice.data.crops import crop_size
from isoslice.data.grid import check_factor, factor_from_voxel_size
from isoslice.data.missing import parse_missing
from isoslice.data.noise_range import some_of, training_noise
from isoslice.data.planes import MIN_PLANE_SIDE, PlaneStack, by_channel, split
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, StoredProfile, TrainingSettings
from isoslice.models.diffusion.plane_units import LEAST_DEVIATION, plane_units
from isoslice.models.diffusion.units import Units
from isoslice.models.networks.error_head import with_head
from isoslice.models.reliability.calibration import Calibration, calibrate
from isoslice.models.reliability.out_of_distribution import learn_reference
from isoslice.models.reliability.record import Trust
from isoslice.runtime.budget import ADAPTING_MINUTES
from isoslice.runtime.device import describe
from isoslice.runtime.progress import Progress
from isoslice.runtime.text import decibels_better
from isoslice.training.blend import Judged, best_blend
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.loop import Budget, TrainingOutcome, fit
from isoslice.training.objectives import ResidualObjective
from isoslice.training.own_planes import POINTS_SHARE, that_fit, with_stored
from isoslice.training.run import Images, RunOptions, as_volumes, image_facts, training_planes
from isoslice.training.steps import Training
from isoslice.training.train import with_row_spacing
from isoslice.training.validation import validation

#: Peak learning rate, and steps until it is reached.
RATE, WARMUP_STEPS = 3e-3, 10
#: How many rows are hidden to judge by, where it is not known how many rows planes are apart.
FACTOR = 4
#: Share of the examples with evenly spaced rows, where planes are so, and share without signal.
EVEN_SHARE, NO_SIGNAL_SHARE = 0.9, 0.5
#: Planes of a channel that can be adapted to: some to learn from, some to judge by.
LEAST_PLANES = 2
#: Time to reserve for judging and validating, in steps, and share of it for calibration.
AFTERWARDS, CALIBRATION_SHARE = 10.0, 0.05


def adapt(
    stacks: Images,
    *,
    model: Model | None = None,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    progress: Progress | None = None,
    along: str | None = None,
    missing: str | Sequence[int] | None = None,
    slice_profile: StoredProfile | None = None,
    spacing: float | None = None,
    settings: TrainingSettings | None = None,
    factor: int | None = None,
) -> Model:
    """Adapt a model of many specimens to a stack, or to several alike, on their own planes.

    It learns from most planes for a short time, is judged on hidden rows of the others and on
    hidden planes, and is kept as far as it is better there; if it is not, the model comes back as
    it was.

    Parameters
    ----------
    stacks
        An array (with `axes`) or a `Volume`, or several. Each of several channels is learned from
        by itself.
    model
        The model to begin with, of one channel; the one that comes with isoslice by default.
    axes, voxel_size, device, progress, along, missing, spacing
        As in `train`.
    minutes, steps
        Budget of it all, as in `train`; half a minute by default.
    seed
        Random seed of crops, masks and noise.
    slice_profile
        Stored with the model; see `inference.stored_profile`.
    settings
        Of the training.
    factor
        How many rows planes are apart that will be restored; by default the first stack's, by its
        voxel size. Where neither says, examples have all distances, and 4 is judged by.

    Returns
    -------
    The model. What was gained says ``info["adaptation"]``: ``gain`` and ``gain_of_planes``, in dB
    of PSNR on hidden rows and on hidden planes, and the ``share`` of the new weights that is kept,
    0 if none are, with the ``reason``. Most examples have rows hidden at the distance of the
    stack's planes, ``factor``, if it is known; other stacks are better adapted to anew.

    Raises
    ------
    DataError
        If the stack cannot be used.
    SettingsError
        If an option is out of range, or the model is one of particular specimens or channels.

    Examples
    --------
    >>> import numpy as np
    >>> from isoslice import adapt
    >>> planes = np.random.default_rng(0).random((6, 64, 64), np.float32)
    >>> adapted = adapt(planes, axes="ZYX", voxel_size=(4, 1, 1), steps=1)
    >>> sorted(adapted.info["adaptation"])
    ['factor', 'gain', 'gain_of_planes', 'minutes', 'planes', 'reason', 'share', 'steps']
    """
    if minutes is None and steps is None:
        minutes = ADAPTING_MINUTES
    options = RunOptions.checked(minutes, steps, device, 1, 1, None, False, progress)
    model = model or Model.pretrained()
    config = _of_many_specimens(model)
    volumes = [
        turned(v, coarse_axis(v, along if "Z" in v.axes else None))
        for v in as_volumes(stacks, axes, voxel_size)
    ]
    apart = _planes_apart(volumes[0]) if factor is None else check_factor(factor)
    factor = apart or FACTOR
    if min(volume.size(axis) for volume in volumes for axis in "YX") < MIN_PLANE_SIDE:
        return _unchanged(model, "planes are too small to learn from", options.progress)
    told = parse_missing(missing)
    _, together = training_planes(volumes, config.intensities, False, "Z", told, options.progress)
    channels = _with_structure(volumes, together, config)
    planes, units = [each.stack for each in channels], tuple(each.units for each in channels)
    if not planes or min(len(each.data) for each in planes) < LEAST_PLANES:
        return _unchanged(model, "there are too few planes to learn from", options.progress)
    training = _training_settings(settings, planes, volumes[0], slice_profile, spacing, seed)
    config = config.updated(training=training, slice_profile=slice_profile, noise=_noise(together))
    learned, held_out = split(planes, training.validation_share, training.seed)
    focused = config.updated(training=_for_stack(training, apart, channels))
    outcome = _learn(model, ResidualObjective(focused, units=units), learned, options)
    own = [config.updated(softening=each.softening, sigma_data=each.sigma_data) for each in units]
    judged = [
        _judged(channel, aside, each, factor)
        for channel, aside, each in zip(channels, held_out, own, strict=True)
    ]
    old = copy.deepcopy(model.network).eval()
    blend = best_blend(old, outcome.network, judged, options.device, options.progress)
    facts = {
        "planes": sum(len(each.data) for each in learned),
        "steps": outcome.steps,
        "minutes": outcome.seconds / 60,
        "factor": apart,
        "share": blend.share,
        "gain": blend.rows,
        "gain_of_planes": None if math.isnan(blend.planes) else blend.planes,
    }
    if not blend.share:
        return _unchanged(model, "it would not gain anything", options.progress, facts)
    on_planes = (
        "" if math.isnan(blend.planes) else f", {decibels_better(blend.planes)} on hidden planes"
    )
    options.progress.note(
        f"adapted to the stack: {decibels_better(blend.rows)} than before on hidden rows of its "
        f"planes{on_planes}"
    )
    network = blend.network.to("cpu").requires_grad_(False)
    info = {
        **model.info,
        "isoslice": __version__,
        "torch": torch.__version__,
        "device": describe(options.device),
        **image_facts(volumes, together),
        "planes": facts["planes"],
        "validation_planes": sum(len(each.data) for each in held_out),
        "continued_from": model.fingerprint,
        "steps": outcome.steps,
        "minutes": outcome.seconds / 60,
        "images_seen": outcome.steps * training.batch,
        "loss": outcome.loss,
        "validation": validation(network, held_out, own, options.device),
        "history": [],
        "adaptation": {**facts, "reason": ""},
    }
    trust = Trust(
        calibration=_calibration(model, network, own, learned, held_out, options),
        familiar=learn_reference(learned, held_out),
    )
    return Model(config, network.to("cpu"), info, model.head, trust)


def _of_many_specimens(model: Model) -> ModelConfig:
    """Return the settings of a model that can be adapted, or raise `SettingsError`."""
    config = model.config
    if isinstance(config, ModelConfig) and config.per_stack and config.network.channels == 1:
        return config
    raise SettingsError(
        "got a model of particular specimens to adapt, expected one of many, such as the "
        "pretrained one; go on from yours with isoslice.train(..., start=MODEL)"
    )


def _unchanged(
    model: Model, reason: str, progress: Progress, facts: Mapping[str, Any] | None = None
) -> Model:
    """Return a model as it was, and say why."""
    progress.note(f"the model is used as it came, not adapted to the stack: {reason}")
    nothing = {
        "planes": 0,
        "steps": 0,
        "minutes": 0.0,
        "factor": None,
        "share": 0.0,
        "gain": 0.0,
        "gain_of_planes": None,
    }
    told = {**(facts or nothing), "reason": reason}
    return replace(model, info={**model.info, "adaptation": told})


class _Channel(NamedTuple):
    """A channel of a stack that is learned from."""

    stack: PlaneStack
    volume: Volume
    units: Units

    @property
    def runs(self) -> list[PlaneStack]:
        """The planes of each time point that has any, as far as none is missing between them.

        Blank planes at the ends of a stack leave it as even as it is. Empty if others are missing.
        """
        depth, stack = self.volume.size("Z"), self.stack
        numbers = np.arange(len(stack.data)) if stack.numbers is None else stack.numbers
        starts = np.flatnonzero(np.diff(numbers // depth)) + 1
        of_times = np.split(numbers, starts)
        if any((np.diff(each) != 1).any() for each in of_times):
            return []
        return [
            replace(stack, data=data, numbers=each)
            for data, each in zip(np.split(stack.data, starts), of_times, strict=True)
        ]


def _with_structure(
    volumes: Sequence[Volume], stacks: Sequence[PlaneStack], config: ModelConfig
) -> list[_Channel]:
    """Return the channels of stacks that show something, with their units."""
    kept, training = [], config.training
    for volume, together in zip(volumes, stacks, strict=True):
        for stack in by_channel([together]):
            (planes,) = stack.normalization.apply(some_of(stack.data))
            found = plane_units(torch.from_numpy(planes), training.factors, training.even_share)
            if found is not None and found[1] > LEAST_DEVIATION:
                alike = replace(stack, weight=1.0)  # channels count alike
                kept.append(_Channel(alike, volume, Units(*found)))
    return kept


def _noise(stacks: Sequence[PlaneStack]) -> tuple[float, ...] | None:
    """Measure the noise of training images; of several channels, each has its own, and none is."""
    if stacks[0].data.shape[1] > 1:
        return None
    return training_noise([(stack.data, stack.normalization) for stack in stacks])


def _planes_apart(volume: Volume) -> int | None:
    """Return how many rows the planes of a stack are apart; None if it is not known."""
    size = volume.voxel_size
    return factor_from_voxel_size(size) if size is not None and is_coarse(size) else None


def _training_settings(
    given: TrainingSettings | None,
    stacks: Sequence[PlaneStack],
    volume: Volume,
    profile: StoredProfile | None,
    spacing: float | None,
    seed: int | None,
) -> TrainingSettings:
    """Return the settings of a short training for a stack."""
    settings = (given or TrainingSettings()).updated(
        learning_rate=RATE, warmup_steps=WARMUP_STEPS, **({} if seed is None else {"seed": seed})
    )
    spaced = with_row_spacing(settings, spacing, volume)
    assert isinstance(spaced, TrainingSettings)
    spaced = spaced.with_crop(crop_size(stacks, spaced.crop, 16, spaced.row_spacing))
    return that_fit(with_stored(spaced, profile, volume))


def _for_stack(
    settings: TrainingSettings, factor: int | None, channels: Sequence[_Channel]
) -> TrainingSettings:
    """Return settings by which most rows are hidden as the stack's planes are missing.

    Time is short, and the model knows others already. Some rows at random stand for planes that are
    lost, a few measured ones for noise. Settings with own planes have these among the examples, and
    nothing is preferred where it is not known how many rows planes are apart.
    """
    if settings.own_planes is not None or factor is None:
        return settings
    even = all(each.runs and each.volume.z_positions is None for each in channels)
    return settings.updated(
        factors=_rows_apart(settings, factor),
        even_share=EVEN_SHARE if even else settings.even_share,
        measured_share=min(POINTS_SHARE, settings.measured_share),
        no_signal_share=NO_SIGNAL_SHARE,
    )


def _rows_apart(settings: TrainingSettings, factor: int) -> tuple[int]:
    """Return how many rows of a crop are to be apart for planes of a stack."""
    return (min(factor, settings.crop // 2),)


def _as_restored(settings: TrainingSettings, factor: int) -> TrainingSettings:
    """Return settings by which rows are hidden as the stack's planes are missing."""
    if settings.own_planes is not None:
        return settings.updated(measured_share=1.0, own_share=1.0)
    rows = _rows_apart(settings, factor)
    return settings.updated(factors=rows, even_share=1.0, measured_share=0.0)


def _judged(channel: _Channel, held_out: PlaneStack, config: ModelConfig, factor: int) -> Judged:
    """Gather what networks are judged by, of a channel."""
    volume, runs = channel.volume, channel.runs
    training, planes = _as_restored(config.training, factor), None
    coarse = volume.voxel_size is None or is_coarse(volume.voxel_size)  # else not `factor` apart
    if runs and coarse and volume.z_positions is None and training.own_planes is None:
        planes = max(runs, key=lambda run: len(run.data))
    return Judged(config.updated(training=training), held_out, planes, factor)


def _learn(
    model: Model,
    objective: ResidualObjective,
    stacks: Sequence[PlaneStack],
    options: RunOptions,
) -> TrainingOutcome:
    """Train a copy of a model's network on stacks within the budget."""
    network = copy.deepcopy(model.network).requires_grad_(True)
    seconds = None if options.minutes is None else options.minutes * 60
    share = 1 - CALIBRATION_SHARE
    limits = Budget(
        None if seconds is None else seconds * share,
        options.steps,
        options.began,
        afterwards=AFTERWARDS,
    )
    training = Training(network, stacks, objective, options.device, ProcessTopology())
    with tempfile.TemporaryDirectory(prefix="isoslice-adapting-") as folder:
        return fit(
            training,
            limits,
            folder=Path(folder),
            resume=False,
            validate=lambda _: {},
            progress=options.progress,
            task="adapting to the stack",
        )


def _calibration(
    model: Model,
    network: nn.Module,
    settings: Sequence[ModelConfig],
    learned: Sequence[PlaneStack],
    held_out: Sequence[PlaneStack],
    options: RunOptions,
) -> Calibration | None:
    """Calibrate predicted errors of the adapted network in a share of the time."""
    if model.head is None:
        return None
    joined = with_head(network, model.head).to(options.device)
    seconds = None if options.minutes is None else options.minutes * 60 * CALIBRATION_SHARE
    return calibrate(joined, settings, learned, held_out, options.device, seconds)
