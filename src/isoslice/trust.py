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

from isoslice.calibration import Calibration, calibrate
from isoslice.config import AnyConfig, ModelConfig
from isoslice.familiarity import Familiar, learn_familiar
from isoslice.planes import PlaneStack
from isoslice.progress import Progress
from isoslice.spread import SpreadHead, with_head
from isoslice.spread_fit import fit_spread, head_steps

#: Share of a time budget that is kept for it.
TIME_SHARE = 0.07


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
    steps: int,
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
    steps
        Of its training.
    device, progress
        Where to compute; who hears of it.
    """
    familiar = learn_familiar(training, held_out)
    if not isinstance(config, ModelConfig):
        return None, Trust(familiar=familiar)
    network = network.to(device)
    head = fit_spread(network, config, training, head_steps(steps), device, progress)
    joined = with_head(network, head).to(device)
    calibration = calibrate(joined, config, training, held_out, device)
    return head, Trust(calibration=calibration, familiar=familiar)
