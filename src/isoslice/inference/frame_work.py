"""One frame at work: everything that its stages need, wherever its fields are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from isoslice.data.box import Box, Triple, nth_block
from isoslice.data.grid import PlaneGrid
from isoslice.data.measurement import Measurement
from isoslice.inference.fields import FieldStore
from isoslice.inference.measured import MeasuredPlanes
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.stages import Stage
from isoslice.inference.uncertainty import ErrorEstimator


@dataclass(frozen=True)
class FrameWork:
    """What the stages of one frame have in common.

    Attributes
    ----------
    network
        The denoiser, on `device`, in evaluation mode.
    options
        Resolved, with the seed of the frame.
    stages
        All of them, in their order.
    grid, planes
        Where the measured planes lie, and what they hold.
    store
        What stages leave for later ones.
    device
        Where networks compute.
    estimator
        Predicts errors, if they are asked for.
    own
        Whether the model learned from this stack.
    measurement
        How the planes were measured.
    origin
        Of a crop, where its first voxel lies in the whole volume: its noise is the same there.
    """

    network: nn.Module
    options: ResolvedOptions
    stages: tuple[Stage, ...]
    grid: PlaneGrid
    planes: MeasuredPlanes
    store: FieldStore
    device: torch.device
    estimator: ErrorEstimator | None = None
    own: bool = False
    measurement: Measurement | None = None
    origin: Triple = (0, 0, 0)

    def block(self, index: int) -> Box:
        """Return where a block lies."""
        return nth_block(index, self.store.layout.shape, self.store.layout.block)

    def keeps(self, stage: Stage) -> bool:
        """Whether the field that a pass begins with is needed after it."""
        after = self.stages[self.stages.index(stage) + 1 :]
        return any(stage.start in later.reads for later in after)
