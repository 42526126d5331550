"""Train and calibrate the error head after a model's training."""

from __future__ import annotations

import torch
from torch import nn

from isoslice.data.planes import SplitPlanes
from isoslice.models.config import ModelConfig
from isoslice.models.networks.error_head import SpreadHead, with_head
from isoslice.models.reliability.calibration import Calibration, calibrate
from isoslice.runtime.budget import Deadline
from isoslice.runtime.progress import Progress
from isoslice.training.error_head import fit_spread, head_steps

#: Share of the time budget for this, and share of that for the head.
TIME_SHARE, HEAD_SHARE = 0.07, 0.75


def learn_errors(
    network: nn.Module,
    config: ModelConfig,
    planes: SplitPlanes,
    steps: int,
    seconds: float | None,
    device: torch.device,
    progress: Progress,
) -> tuple[SpreadHead, Calibration | None]:
    """Train an error head and calibrate it.

    Parameters
    ----------
    network, config
        The trained network, in evaluation mode; the model's settings.
    planes
        Planes it was trained on, and planes it has not seen.
    steps
        Number of steps of its training.
    seconds
        Time limit; however short, there is one step and one calibrated factor at least.
    device, progress
        Where to compute; receives progress.
    """
    training, held_out = planes
    network = network.to(device)
    deadline = Deadline.after(seconds)
    head_seconds = None if seconds is None else seconds * HEAD_SHARE
    head = fit_spread(network, config, training, head_steps(steps), device, progress, head_seconds)
    joined = with_head(network, head).to(device)
    seconds = None if seconds is None else deadline.left
    return head, calibrate(joined, config, training, held_out, device, seconds)
