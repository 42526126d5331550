"""Measure what a model knows of its own errors, when its training is over."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from isoslice.data.planes import PlaneStack
from isoslice.models.config import AnyConfig, ModelConfig
from isoslice.models.networks.error_head import SpreadHead, with_head
from isoslice.models.reliability.calibration import calibrate
from isoslice.models.reliability.out_of_distribution import OodReference
from isoslice.models.reliability.record import Trust
from isoslice.runtime.budget import Deadline
from isoslice.runtime.progress import Progress
from isoslice.training.error_head import fit_spread, head_steps

#: Share of a time budget that is kept for it, and what the head gets of that.
TIME_SHARE, HEAD_SHARE = 0.07, 0.75


def learn_trust(
    network: nn.Module,
    config: AnyConfig,
    training: Sequence[PlaneStack],
    held_out: Sequence[PlaneStack],
    familiar: OodReference,
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
