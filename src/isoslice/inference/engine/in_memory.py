"""Restoring a stack in memory: the same stages, one after the other, in one process."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.volume import Volume
from isoslice.inference.engine.restoration import (
    BLOCK,
    Cut,
    FrameStage,
    Restoration,
    field_types,
)
from isoslice.inference.engine.sinks import ArraySink
from isoslice.inference.engine.slabs import batch_bytes, sizes_of, slab_slices
from isoslice.inference.engine.worker import this_process
from isoslice.inference.inspection import Inspection
from isoslice.inference.options import outputs_of
from isoslice.inference.plan import Plan
from isoslice.inference.recipes import recipe_of
from isoslice.inference.uncertainty import StackScale
from isoslice.io.limits import available_memory
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.device import field_device, field_home, kind_of
from isoslice.runtime.progress import Progress
from isoslice.runtime.threads import behind


@dataclass(frozen=True)
class Restored:
    """Volumes (T, C, Z, Y, X) in the stack's intensities; see `prediction.Prediction`."""

    volume: NDArray[np.generic]
    std: NDArray[np.float32] | None
    samples: Sequence[NDArray[np.generic]]
    scales: Sequence[StackScale]
    chi_squared: Sequence[NDArray[np.float64]]


def restore_in_memory(
    plan: Plan,
    inspection: Inspection,
    volume: Volume,
    model: ModelBundle,
    device: torch.device,
    progress: Progress,
) -> Restored:
    """Restore every frame of a stack; `volume` has its coarse axis called Z.

    While one block is written by the host, the next one is computed.
    """
    frames, options = plan.frames(volume), plan.options
    lateral = volume.size("Y"), volume.size("X")
    shape = (volume.size("T"), volume.size("C"), frames[0].grid.depth, *lateral)
    arrays = {
        name: np.empty(shape, dtype)
        for name, dtype in outputs_of(options, volume.data.dtype).items()
    }
    recipe, depth = recipe_of(model.config), frames[0].grid.depth
    fields = field_types(plan, frames, inspection, model)
    channels = len(range(volume.size("C"))[frames[0].channels])
    batch = batch_bytes(depth * max(lateral), channels, kind_of(device), recipe)
    home = field_home(device, channels * depth * math.prod(lateral), batch)
    slabs = lateral
    if home != field_device(device):  # what has no room there goes there slab by slab
        sizes = sizes_of(plan, frames, volume, fields)
        slabs = slab_slices(sizes, available_memory(), this_process(device.type), recipe)
    cut = Cut(fields=fields, slabs=slabs, block=(BLOCK,) * 3)
    sinks = {name: ArraySink(array) for name, array in arrays.items()}
    restoration = Restoration(plan, cut, volume, model, device, sinks, home=home)
    stages = list(restoration.stages())
    total, done = sum(stage.tasks * stage.cost for stage in stages), 0.0
    scales, differences = [], []
    for stage in stages:
        with behind() as write:
            for index in range(stage.tasks):

                def report(share: float, stage: FrameStage = stage, done: float = done) -> None:
                    progress.update("restoring", (done + share * stage.cost) / total)

                write(restoration.start_task(stage, index, report))
                done += stage.cost
                report(1.0)
        if stage.name == restoration.frame_stages[-1].name:
            scale = restoration.scale(stage.frame)
            scales += [] if scale is None else [scale]
            difference = restoration.chi_squared(stage.frame)
            differences += [] if difference is None else [difference]
        restoration.finish(stage)
    samples = [arrays[f"sample-{i + 1}"] for i in range(options.samples * options.keep_samples)]
    return Restored(arrays["volume"], arrays.get("std"), samples, scales, differences)
