"""Train a denoiser from 2D images, or from a stack's own XY planes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel

from isoslice.data.coarse import coarse_axis, turned
from isoslice.data.masking import draw_masks, fill_rows
from isoslice.data.planes import PlaneStack, crop_size, draw_crops, plane_stacks, split
from isoslice.data.srh import srh_channels
from isoslice.data.volume import Volume, parse_voxel_size
from isoslice.errors import DataError, SettingsError
from isoslice.inference.model import Model
from isoslice.io.extras import require_installed
from isoslice.models.config import (
    AnyConfig,
    EndToEndConfig,
    MaskedTraining,
    ModelConfig,
    NetworkSettings,
    TrainingSettings,
    UNetSettings,
)
from isoslice.models.diffusion.variance_stabilization import fit_softening, stretch
from isoslice.models.networks.factory import build_network
from isoslice.models.presets import Preset, preset_config
from isoslice.models.reliability.out_of_distribution import learn_familiar
from isoslice.runtime import budget
from isoslice.runtime.device import choose_device
from isoslice.runtime.progress import Progress
from isoslice.training.distributed.topology import ProcessTopology, find_place
from isoslice.training.finetune import check_channels, check_start, continued_config
from isoslice.training.launcher import run_training
from isoslice.training.objectives import objective_of
from isoslice.training.reliability import TIME_SHARE, learn_trust
from isoslice.training.session import TrainingRun

AnyTraining = TypeVar("AnyTraining", bound=TrainingSettings | MaskedTraining)
AnySettings = TypeVar("AnySettings", bound=BaseModel)

Images = NDArray[Any] | Volume | Sequence[NDArray[Any] | Volume]


def train(
    images: Images,
    *,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    minutes: float | None = None,
    steps: int | None = None,
    seed: int | None = None,
    device: str = "auto",
    devices: int = 1,
    nodes: int = 1,
    preset: Preset | None = None,
    width: int | None = None,
    start: Model | None = None,
    settings: TrainingSettings | MaskedTraining | None = None,
    network: NetworkSettings | UNetSettings | None = None,
    intensities: tuple[float, float] | None = None,
    srh: bool = False,
    workdir: str | Path | None = None,
    resume: bool = False,
    progress: Progress | None = None,
    along: str | None = None,
) -> Model:
    """Train a model on 2D images.

    Parameters
    ----------
    images
        One or more images or stacks, as arrays (with `axes`) or as `Volume`; of stacks the planes
        across the coarse axis are used, XY of most. All with the same channels, at least 32 x 32
        pixels.
    axes
        Axes of arrays, one letter of TCZYX per dimension.
    voxel_size
        Spacing along Z, Y and X of arrays; recorded in the model.
    minutes, steps
        Budget: training ends with whichever is used up first. Ten minutes by default. Minutes are
        those of the call, with all that is measured before and after; one step is always taken.
    seed
        Of weights, crops, masks and noise; overrides the one in `settings`.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    devices, nodes
        Processes a node, one for each GPU, and nodes. With several nodes every process has to call,
        started by SLURM or torchrun, and each gets the model.
    preset, width
        Recipe: isoslice's own (the default), ``"msdsr"`` (the paper's) or ``"end-to-end"`` (its
        baseline); and the width of the latter two's network, 224 as released. See `presets`.
    start
        A model to continue from, on images like those it learned from or not. Its recipe, network,
        intensities and SRH setting stay; what is measured on images before training, and the
        training settings, are new, with a lower learning rate.
    settings, network
        How to train and what, of the preset's kind; the preset's by default.
    intensities
        Intensities that become 0 and 1, here and in prediction; by default percentiles of each
        stack.
    srh
        Turn two-channel images into the three channels of SRH first (see `isoslice.io.srh`).
    workdir
        Folder for a checkpoint every minute, from which `resume` continues.
    resume
        Continue the training in `workdir`, where there is one.
    progress
        Receives notes and progress; silent by default.
    along
        The axis that stacks are coarse along; by default what their voxel sizes say.

    Returns
    -------
    The trained model.

    Raises
    ------
    DataError
        If the images cannot be used, or have other channels than `start`.
    SettingsError
        If an option is out of range or contradicts `start`, there are fewer devices than asked
        for, or PyTorch Lightning is not installed.
    """
    began, minutes = budget.now(), training_budget(minutes, steps)
    progress = progress or Progress()
    chosen_device = choose_device(device)
    place = find_place(devices, nodes, chosen_device)
    if start is None:
        chosen = preset_config(preset or "isoslice", width)
    else:
        check_start(start, preset, width, network, srh)
        chosen = continued_config(start.config)
        intensities, srh = intensities or chosen.intensities, chosen.srh
    settings = settings or chosen.training
    shape = network or chosen.network
    _check_kinds(chosen.recipe, settings, shape)
    if seed is not None:
        settings = _changed(settings, seed=seed)
    if resume and workdir is None:
        raise SettingsError("got resume without a workdir, expected the folder to continue from")

    # A stack that is coarse along X or Y is learned from in the planes that are sharp.
    volumes = [
        turned(v, coarse_axis(v, along if "Z" in v.axes else None))
        for v in as_volumes(images, axes, voxel_size)
    ]
    if srh:
        volumes, intensities = [srh_channels(volume) for volume in volumes], (0.0, 1.0)
    stacks = plane_stacks(volumes, intensities)
    if start is not None:
        check_channels(volumes, stacks, start.config)
    shape = _changed(shape, channels=stacks[0].data.shape[1])
    training, held_out = split(stacks, settings.validation_share, settings.seed)
    settings = _fitted(settings, crop_size(stacks, settings.crop, 16))
    spacing = volumes[0].spacing
    config = chosen.model_validate(
        {
            "recipe": chosen.recipe,
            "network": shape,
            "training": settings,
            "pixel_size": (spacing["Y"], spacing["X"]) if {"Y", "X"} <= set(spacing) else None,
            "unit": volumes[0].unit,
            "channel_names": volumes[0].channel_names,
            "intensities": intensities,
            "srh": srh,
            **({} if isinstance(chosen, EndToEndConfig) else {"sampler": chosen.sampler}),
            **(
                residual_statistics(training, settings)
                if isinstance(settings, TrainingSettings)
                else {}
            ),
        }
    )
    untrained = build_network(config, settings.seed)
    if start is not None:
        untrained.load_state_dict(start.network.state_dict())
    job = TrainingRun(
        untrained,
        objective_of(config),
        config,
        training,
        held_out,
        image_facts(volumes, stacks),
        minutes=None if minutes is None else minutes * network_share(config),
        steps=steps,
        device=chosen_device,
        workdir=None if workdir is None else Path(workdir),
        resume=resume,
        began=began,
    )
    origin = {} if start is None else {"continued_from": start.fingerprint}
    return completed(job, place, devices, minutes, origin, progress)


def network_share(config: AnyConfig) -> float:
    """Share of a time budget that the network gets; the rest is for what `learn_trust` learns."""
    return 1 - TIME_SHARE if isinstance(config, ModelConfig) else 1.0


def completed(
    job: TrainingRun,
    place: ProcessTopology | None,
    devices: int,
    minutes: float | None,
    origin: Mapping[str, Any],
    progress: Progress,
) -> Model:
    """Train, and complete the model: where it comes from, and what it knows of its errors.

    Parameters
    ----------
    job, place, devices, progress
        See `launcher.run_training`.
    minutes
        For all of it; the job has the network's.
    origin
        What the record says of where it comes from.
    """
    familiar = learn_familiar(job.training, job.held_out)  # first: training has what time is left
    model = run_training(job, place, devices, progress)
    network = model.network
    head, trust = learn_trust(
        network,
        job.config,
        job.training,
        job.held_out,
        familiar,
        steps=model.info["steps"],
        seconds=None if minutes is None else minutes * 60 * TIME_SHARE,
        device=job.device,
        progress=progress,
    )
    network.to("cpu").requires_grad_(False)
    return Model(job.config, network, {**model.info, **origin}, head, trust)


def image_facts(volumes: Sequence[Volume], stacks: Sequence[PlaneStack]) -> dict[str, Any]:
    """Tell what a model's record says of the images it learned from."""
    return {
        "sources": [Path(volume.source).name for volume in volumes],
        "plane_shape": list(stacks[0].data.shape[1:]),
        "dtype": str(stacks[0].data.dtype),
        "intensities": [
            list(zip(s.normalization.low, s.normalization.high, strict=True)) for s in stacks[:20]
        ],
    }


def training_budget(minutes: float | None, steps: int | None) -> float | None:
    """Check that training can begin, and return the minutes it may take.

    Raises
    ------
    SettingsError
        If a budget is out of range, or PyTorch Lightning is not installed.
    """
    require_installed("pytorch_lightning", "pytorch-lightning", "a model to train", SettingsError)
    if minutes is not None and not 0 < minutes < 1e6:
        raise SettingsError(f"got minutes {minutes}, expected a positive number")
    if steps is not None and steps < 1:
        raise SettingsError(f"got steps {steps}, expected at least 1")
    return budget.DEFAULT_MINUTES if minutes is None and steps is None else minutes


def as_volumes(
    images: Images, axes: str | None = None, voxel_size: Sequence[float] | None = None
) -> list[Volume]:
    """Turn what `train` takes into a list of `Volume`."""
    items = [images] if isinstance(images, np.ndarray | Volume) else list(images)
    size = None if voxel_size is None else parse_voxel_size(voxel_size)
    spacing = {} if size is None else dict(zip("ZYX", size, strict=True))
    volumes = []
    for index, item in enumerate(items):
        if isinstance(item, Volume):
            volumes.append(item)
            continue
        array = np.asarray(item)
        if axes is None and array.ndim != 2:
            raise DataError(
                f"got an array of shape {array.shape} without axes, expected them named; "
                'for example axes="ZYX"'
            )
        volumes.append(Volume(array, axes or "YX", spacing, source=f"array {index}"))
    return volumes


def residual_statistics(
    stacks: Sequence[PlaneStack], settings: TrainingSettings
) -> dict[str, float | None]:
    """Measure on 256 crops what isoslice's own recipe has to know before training.

    Returns
    -------
    ``softening``: see `variance_stabilization.fit_softening`. ``sigma_data``: the RMS of x - b over
    hidden rows, of stretched intensities, with masks as in training.

    Raises
    ------
    DataError
        If interpolation leaves nothing to learn.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    crops = draw_crops(stacks, 256, settings.crop, generator)
    masks = draw_masks(len(crops), settings.crop, settings.factors, settings.even_share, generator)
    hidden = (~masks[:, None, :, None]).expand_as(crops)
    base = fill_rows(crops, masks)
    softening = fit_softening(base[hidden], (crops - base)[hidden])
    crops = stretch(crops, softening)
    deviation = float((crops - fill_rows(crops, masks))[hidden].square().mean().sqrt())
    if not np.isfinite(deviation):
        raise DataError(
            "got images with a few voxels so far beyond all others that nothing can be computed "
            "with them, expected one range of intensities; replace what stands for no data by NaN "
            "or 0"
        )
    if not deviation > 1e-6:
        raise DataError(
            "got images whose hidden rows linear interpolation restores exactly, expected "
            "structure to learn from; check that the right files were given"
        )
    return {"softening": softening, "sigma_data": deviation}


def _check_kinds(preset: str, settings: object, shape: object) -> None:
    """Raise if settings and network are not of the preset's kind."""
    own = preset == "isoslice"
    expected = (TrainingSettings, NetworkSettings) if own else (MaskedTraining, UNetSettings)
    for given, kind in zip((settings, shape), expected, strict=True):
        if not isinstance(given, kind):
            raise SettingsError(
                f"got {type(given).__name__} for the preset {preset}, expected {kind.__name__}"
            )


def _changed(settings: AnySettings, **values: object) -> AnySettings:
    return type(settings).model_validate({**settings.model_dump(), **values})


def _fitted(settings: AnyTraining, crop: int) -> AnyTraining:
    """Adapt settings to crops of another size: the same share of rows is hidden."""
    if isinstance(settings, MaskedTraining):
        low, high = (round(rows * crop / settings.crop) for rows in settings.hidden_rows)
        return _changed(settings, crop=crop, hidden_rows=(low, high))
    return _changed(settings, crop=crop)
