"""Shared by `train` and `distill`: options, images, and from an untrained network to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from isoslice.data.coarse import coarse_axis, turned
from isoslice.data.missing import FOUND, Missing
from isoslice.data.planes import PlaneStack, SplitPlanes, plane_stacks
from isoslice.data.srh import srh_channels
from isoslice.data.volume import Volume, parse_voxel_size
from isoslice.errors import DataError, SettingsError
from isoslice.inference.model import Model
from isoslice.models.reliability.out_of_distribution import learn_reference
from isoslice.models.reliability.record import Trust
from isoslice.runtime import budget
from isoslice.runtime.device import choose_device
from isoslice.runtime.paths import at_home
from isoslice.runtime.progress import Progress
from isoslice.training.distributed.topology import ProcessTopology, find_topology
from isoslice.training.launcher import run_training
from isoslice.training.objectives import Objective
from isoslice.training.session import TrainingRun

Images = NDArray[Any] | Volume | Sequence[NDArray[Any] | Volume]


@dataclass(frozen=True)
class RunOptions:
    """Budget, processes and checkpoints of a training, as `train.train` documents them.

    Attributes
    ----------
    began
        Start of the time budget, by `budget.now`.
    topology
        This process among several; None if it has to start the others.
    """

    began: float
    minutes: float | None
    steps: int | None
    device: torch.device
    devices: int
    topology: ProcessTopology | None
    workdir: Path | None
    resume: bool
    progress: Progress

    @classmethod
    def checked(
        cls,
        minutes: float | None,
        steps: int | None,
        device: str,
        devices: int,
        nodes: int,
        workdir: str | Path | None,
        resume: bool,
        progress: Progress | None,
    ) -> RunOptions:
        """Check the options, and start the clock.

        Raises
        ------
        SettingsError
            If a budget is out of range, or there are fewer devices than asked for.
        """
        began = budget.now()
        if minutes is not None and not 0 < minutes < 1e6:
            raise SettingsError(f"got minutes {minutes}, expected a positive number")
        if steps is not None and steps < 1:
            raise SettingsError(f"got steps {steps}, expected at least 1")
        if resume and workdir is None:
            raise SettingsError(
                "got resume without a workdir, expected the folder to continue from"
            )
        chosen = choose_device(device)
        return cls(
            began,
            budget.DEFAULT_MINUTES if minutes is None and steps is None else minutes,
            steps,
            chosen,
            devices,
            find_topology(devices, nodes, chosen),
            None if workdir is None else at_home(Path(workdir)),
            resume,
            progress or Progress(),
        )


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


def training_planes(
    volumes: list[Volume],
    intensities: tuple[float, float] | None,
    srh: bool,
    along: str | None = None,
    missing: Missing = FOUND,
    progress: Progress | None = None,
) -> tuple[list[Volume], list[PlaneStack]]:
    """Take the sharp planes of volumes, perpendicular to the coarse axis, which is called Z then.

    Parameters
    ----------
    volumes
        Images and stacks.
    intensities
        Intensities that become 0 and 1; by default percentiles of each.
    srh
        Convert to the three channels of SRH first.
    along
        The coarse axis of stacks; by default found from their voxel sizes.
    missing
        Planes of a stack that are left out beside blank and damaged ones.
    progress
        Hears how far the measuring of intensities is.
    """
    volumes = [turned(v, coarse_axis(v, along if "Z" in v.axes else None)) for v in volumes]
    if srh:
        volumes = [srh_channels(volume) for volume in volumes]
    return volumes, plane_stacks(volumes, intensities, missing, progress)


def image_facts(volumes: Sequence[Volume], stacks: Sequence[PlaneStack]) -> dict[str, Any]:
    """Describe the training images for a model's training record."""
    given = sum(volume.size("T") * volume.size("Z") for volume in volumes)
    return {
        "sources": [Path(volume.source).name for volume in volumes],
        "planes_left_out": given - sum(len(stack.data) for stack in stacks),
        "plane_shape": list(stacks[0].data.shape[1:]),
        "dtype": str(stacks[0].data.dtype),
        "intensities": [
            list(zip(s.normalization.low, s.normalization.high, strict=True)) for s in stacks[:20]
        ],
    }


def train_model(
    options: RunOptions,
    network: nn.Module,
    objective: Objective,
    planes: SplitPlanes,
    facts: Mapping[str, Any],
    origin: Mapping[str, Any],
) -> Model:
    """Train a network, then its error head, and measure the training images' texture.

    Parameters
    ----------
    options
        Options of the whole call; the network gets a share of the minutes.
    network, objective
        Untrained network, and the objective of its recipe.
    planes
        Planes for training and for validation, see `planes.split`.
    facts, origin
        Entries of the training record: about the images, and about the model this one is based on.
    """
    training, held_out = planes
    minutes, share, config = options.minutes, objective.error_share, objective.config
    job = TrainingRun(
        network,
        objective,
        config,
        training,
        held_out,
        facts,
        minutes=None if minutes is None else minutes * (1 - share),
        steps=options.steps,
        device=options.device,
        workdir=options.workdir,
        resume=options.resume,
        began=options.began,
    )
    familiar = learn_reference(training, held_out)  # first: training gets the remaining time
    model = run_training(job, options.topology, options.devices, options.progress)
    trained = model.network
    seconds = None if minutes is None else minutes * 60 * share
    head, calibration = objective.learn_errors(
        trained, planes, model.info["steps"], seconds, options.device, options.progress
    )
    trained.to("cpu").requires_grad_(False)
    trust = Trust(calibration=calibration, familiar=familiar)
    return Model(config, trained, {**model.info, **origin}, head, trust)
