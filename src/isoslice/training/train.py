"""Train a denoiser from 2D images, or from a stack's own XY planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from isoslice.data.crops import crop_size
from isoslice.data.missing import parse_missing
from isoslice.data.planes import OTHER_ROWS, split
from isoslice.data.profile import Profile
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.model import Model
from isoslice.inference.stored_profile import profile_to_store
from isoslice.models.choices import Preset
from isoslice.models.config import (
    AnyConfig,
    MaskedTraining,
    NetworkSettings,
    StoredProfile,
    TrainingSettings,
    UNetSettings,
)
from isoslice.models.networks.factory import build_network
from isoslice.models.presets import preset_config
from isoslice.runtime.progress import Progress
from isoslice.training.finetune import check_channels, check_start, continued_config
from isoslice.training.objectives import objective_of
from isoslice.training.own_planes import that_fit, with_stored
from isoslice.training.run import (
    Images,
    RunOptions,
    as_volumes,
    image_facts,
    train_model,
    training_planes,
)

#: Spacings of planes that will be restored, in pixels: those that count as that of pixels, and the
#: coarsest.
SAME_SPACING, COARSEST = 1.05, 16.0
#: Side of the smallest crop that wider rows may leave where nobody asked for them.
LEAST_CROP = 32


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
    missing: str | Sequence[int] | None = None,
    slice_profile: str | Path | Profile | StoredProfile | None = None,
    spacing: float | None = None,
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
    missing
        Planes of a stack to leave out, beside those that are found to be blank or damaged; as
        `Model.predict` takes them.
    spacing
        Of the planes that will be restored, where it is not that of pixels, in the unit of the
        voxel size: rows as far apart are learned from. Finer ones than pixels count as these.
    slice_profile
        What planes of the stacks see along Z, as `Model.predict` takes it; ``auto`` finds it. It is
        stored with the model, and undone in stacks with planes as far apart. Half of the examples
        with measured planes have these; see `own_planes`. By default none is.

    Returns
    -------
    The trained model.

    Raises
    ------
    DataError
        If the images cannot be used, or have other channels than `start`.
    SettingsError
        If an option is out of range or contradicts `start`, or there are fewer devices than asked
        for.

    Examples
    --------
    A model of one step, on random planes:

    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((6, 48, 48), np.float32)
    >>> model = isoslice.train(planes, axes="ZYX", steps=1)
    >>> model.info["steps"]
    1
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
    _check_kinds(chosen, settings, shape)
    if seed is not None:
        settings = settings.updated(seed=seed)
    if srh:
        intensities = (0.0, 1.0)
    volumes = as_volumes(images, axes, voxel_size)
    volumes, stacks = training_planes(
        volumes, intensities, srh, along, parse_missing(missing), options.progress
    )
    if start is not None:
        check_channels(volumes, stacks, start.config)
    if not isinstance(slice_profile, StoredProfile):
        told = parse_missing(missing)
        slice_profile = profile_to_store(slice_profile, volumes, chosen, options.progress, told)
    shape = shape.updated(channels=stacks[0].data.shape[1])
    planes = split(stacks, settings.validation_share, settings.seed)
    settings = with_row_spacing(settings, spacing, volumes[0])
    settings = settings.with_crop(crop_size(stacks, settings.crop, 16, settings.row_spacing))
    if isinstance(settings, TrainingSettings):
        settings = that_fit(with_stored(settings, slice_profile, volumes[0]))
    sizes = volumes[0].spacing
    config = chosen.updated(
        network=shape,
        training=settings,
        pixel_size=(sizes["Y"], sizes["X"]) if {"Y", "X"} <= set(sizes) else None,
        unit=volumes[0].unit,
        channel_names=volumes[0].channel_names,
        intensities=intensities,
        srh=srh,
        slice_profile=slice_profile,
    )
    objective = objective_of(config, planes[0])
    untrained = build_network(objective.config, settings.seed)
    if start is not None:
        untrained.load_state_dict(start.network.state_dict())
    origin = {} if start is None else {"continued_from": start.fingerprint}
    return train_model(options, untrained, objective, planes, image_facts(volumes, stacks), origin)


def spacing_to_learn(stack: Volume, step: float | None) -> float | None:
    """Return how far apart rows should be for planes that will be restored `step` apart.

    At most what the stack's planes have room for; None where that is about the spacing of pixels,
    which are learned from as they are then.
    """
    y, x = (stack.spacing.get(axis) for axis in "YX")
    if step is None or not y or not x:
        return None
    pixel, side = math.sqrt(y * x), min(stack.size("Y"), stack.size("X"))
    pixels = min(step / pixel, (side - 1) / (LEAST_CROP - 1), COARSEST)
    return pixels * pixel if pixels > OTHER_ROWS else None


def with_row_spacing(
    settings: TrainingSettings | MaskedTraining, spacing: float | None, volume: Volume
) -> TrainingSettings | MaskedTraining:
    """Return settings by which rows are learned from that are `spacing` apart.

    Raises
    ------
    SettingsError
        If the size of the volume's pixels is unknown, or much smaller, or the recipe is another's.
    """
    if spacing is None:
        return settings
    if not isinstance(settings, TrainingSettings):
        raise SettingsError(
            "got a spacing for a preset of the paper, which learns from pixels as they are, "
            "expected none; leave it out"
        )
    y, x = (volume.spacing.get(axis) for axis in "YX")
    if not y or not x:
        raise SettingsError(
            f"got spacing {spacing:g} for images without the size of their pixels, expected both "
            "in one unit; say the voxel size, for example --voxel-size 5,0.45,0.45mm"
        )
    pixels = spacing / math.sqrt(y * x)
    if not 0 < pixels <= COARSEST:
        raise SettingsError(
            f"got spacing {spacing:g} for pixels of {y:g} x {x:g}, expected a length of at most "
            f"{COARSEST:g} pixels; give the spacing of the output, not that of the stack's planes"
        )
    return settings.updated(row_spacing=pixels if pixels > SAME_SPACING else 1.0)


def _check_kinds(chosen: AnyConfig, settings: object, shape: object) -> None:
    """Raise `SettingsError` if settings are not of the preset's kind."""
    for given, expected in ((settings, chosen.training), (shape, chosen.network)):
        if not isinstance(given, type(expected)):
            raise SettingsError(
                f"got {type(given).__name__} for the preset {chosen.recipe}, expected "
                f"{type(expected).__name__}"
            )
