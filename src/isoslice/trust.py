"""What a model knows of its own errors: measured when training is over, stored beside the weights.

Two files of a model folder: ``spread.safetensors`` holds the head that predicts errors, and
``trust.json`` how far its predictions hold, and what the training images were like. Models without
them predict as ever, but cannot tell where to doubt.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import nn

from isoslice.budget import Deadline
from isoslice.calibration import Calibration, calibrate
from isoslice.config import AnyConfig, ModelConfig
from isoslice.familiarity import Familiar
from isoslice.planes import PlaneStack
from isoslice.progress import Progress
from isoslice.spread import SpreadHead, with_head
from isoslice.spread_fit import fit_spread, head_steps

#: Share of a time budget that is kept for it, and what the head gets of that.
TIME_SHARE, HEAD_SHARE = 0.07, 0.75


class Trust(BaseModel):
    """What was measured; None where it could not be, or the recipe has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Annotated[int, Field(ge=1, le=1)] = 1
    calibration: Calibration | None = None
    familiar: Familiar | None = None


def learn_trust(
    network: nn.Module,
    config: AnyConfig,
    training: Sequence[PlaneStack],
    held_out: Sequence[PlaneStack],
    familiar: Familiar,
    *,
    steps: int,
    seconds: float | None = None,
    device: torch.device,
    progress: Progress,
) -> tuple[SpreadHead | None, Trust]:
    """Measure all of it.

    Parameters
    ----------
    network, config
        A network just trained, in evaluation mode; the model's settings.
    training, held_out
        Planes it learned from, and planes it has not seen.
    familiar
        What they look like.
    steps
        Of its training.
    seconds
        What it may take; however few, a little of everything is learned.
    device, progress
        Where to compute; who hears of it.
    """
    if not isinstance(config, ModelConfig):
        return None, Trust(familiar=familiar)
    network = network.to(device)
    whole = Deadline.after(seconds)
    for_head = None if seconds is None else seconds * HEAD_SHARE
    head = fit_spread(network, config, training, head_steps(steps), device, progress, for_head)
    joined = with_head(network, head).to(device)
    rest = None if seconds is None else whole.left
    calibration = calibrate(joined, config, training, held_out, device, rest)
    return head, Trust(calibration=calibration, familiar=familiar)
