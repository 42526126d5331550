"""Train a denoiser from 2D images, or from a stack's own XY planes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from pydantic import BaseModel

from isoslice.data.planes import PlaneStack, crop_size, draw_crops, split
from isoslice.errors import DataError, SettingsError
from isoslice.inference.model import Model
from isoslice.models.choices import Preset
from isoslice.models.config import (
    EndToEndConfig,
    MaskedTraining,
    NetworkSettings,
    TrainingSettings,
    UNetSettings,
)
from isoslice.models.diffusion.masked_example import draw_example, mask_images
from isoslice.models.diffusion.variance_stabilization import fit_softening
from isoslice.models.networks.factory import build_network
from isoslice.models.presets import preset_config
from isoslice.runtime.progress import Progress
from isoslice.training.finetune import check_channels, check_start, continued_config
from isoslice.training.objectives import objective_of
from isoslice.training.run import (
    Images,
    RunOptions,
    as_volumes,
    image_facts,
    train_model,
    training_planes,
)

AnyTraining = TypeVar("AnyTraining", bound=TrainingSettings | MaskedTraining)
AnySettings = TypeVar("AnySettings", bound=BaseModel)


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
        One or more images or stacks, as arrays (with `axes`) or as `Volume`, with the same
        channels; of stacks the planes perpendicular to the coarse axis (mostly XY) are used. Planes
        need at least 32 x 32 pixels.
    axes
        Axes of arrays, one letter of TCZYX per dimension.
    voxel_size
        Spacing along Z, Y and X of arrays; recorded in the model.
    minutes, steps
        Budget: training ends with whichever is used up first. Ten minutes by default. Minutes are
        those of the whole call, including measurements before and after; at least one step is done.
    seed
        Random seed of weights, crops, masks and noise; overrides the one in `settings`.
    device
        ``auto``, ``cpu``, ``cuda`` or ``mps``.
    devices, nodes
        Processes per node, one for each GPU, and nodes. With several nodes SLURM or torchrun starts
        the processes, each of which has to call this function and gets the model.
    preset, width
        Recipe: isoslice's own (the default), ``"msdsr"`` (the paper's) or ``"end-to-end"`` (its
        baseline); and the width of the latter two's network, 224 as released. See `presets`.
    start
        A model to continue from, on the same or other images. Its recipe, network, intensities and
        SRH setting are kept; statistics of the images are measured anew, and the training settings
        are the preset's with a lower learning rate.
    settings, network
        Training and network settings, of the preset's kind; the preset's by default.
    intensities
        Intensities that become 0 and 1, here and in prediction; by default percentiles of each
        stack.
    srh
        Convert two-channel images to the three channels of SRH first (see `isoslice.io.srh`).
    workdir
        Folder for a checkpoint every 30 seconds, from which `resume` continues.
    resume
        Continue the training in `workdir`, if there is one.
    progress
        Receives notes and progress; silent by default.
    along
        The coarse axis of stacks; by default found from their voxel sizes.

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
    options = RunOptions.checked(minutes, steps, device, devices, nodes, workdir, resume, progress)
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
        settings = _updated(settings, seed=seed)
    if srh:
        intensities = (0.0, 1.0)
    volumes = as_volumes(images, axes, voxel_size)
    volumes, stacks = training_planes(volumes, intensities, srh, along)
    if start is not None:
        check_channels(volumes, stacks, start.config)
    shape = _updated(shape, channels=stacks[0].data.shape[1])
    training, held_out = split(stacks, settings.validation_share, settings.seed)
    settings = _with_crop(settings, crop_size(stacks, settings.crop, 16))
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
    origin = {} if start is None else {"continued_from": start.fingerprint}
    planes, facts = (training, held_out), image_facts(volumes, stacks)
    return train_model(options, untrained, objective_of(config), config, planes, facts, origin)


def residual_statistics(
    stacks: Sequence[PlaneStack], settings: TrainingSettings
) -> dict[str, float | None]:
    """Measure statistics of the residual that isoslice's own recipe needs, on 256 crops.

    Returns
    -------
    ``softening``: see `variance_stabilization.fit_softening`. ``sigma_data``: the RMS of x - b over
    hidden rows, of stretched intensities, with masks as in training.

    Raises
    ------
    DataError
        If interpolation is exact, or intensities overflow.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    crops = draw_crops(stacks, 256, settings.crop, generator)
    plain = draw_example(crops, settings, None, generator)
    hidden = plain.hidden.expand_as(crops)
    softening = fit_softening(plain.base[hidden], plain.residual[hidden])
    residual = mask_images(crops, plain.masks, softening).residual
    deviation = float(residual[hidden].square().mean().sqrt())
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
    """Raise `SettingsError` if settings are not of the preset's kind."""
    own = preset == "isoslice"
    expected = (TrainingSettings, NetworkSettings) if own else (MaskedTraining, UNetSettings)
    for given, kind in zip((settings, shape), expected, strict=True):
        if not isinstance(given, kind):
            raise SettingsError(
                f"got {type(given).__name__} for the preset {preset}, expected {kind.__name__}"
            )


def _updated(settings: AnySettings, **values: object) -> AnySettings:
    return type(settings).model_validate({**settings.model_dump(), **values})


def _with_crop(settings: AnyTraining, crop: int) -> AnyTraining:
    """Change the crop size, and hidden rows in proportion."""
    if isinstance(settings, MaskedTraining):
        low, high = (round(rows * crop / settings.crop) for rows in settings.hidden_rows)
        return _updated(settings, crop=crop, hidden_rows=(low, high))
    return _updated(settings, crop=crop)
