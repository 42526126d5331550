"""What passes need to know of how planes were measured."""

from __future__ import annotations

from dataclasses import replace

import torch

from isoslice.inference.consistency import correction_for
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.interpolated import Base
from isoslice.models.config import ModelConfig


def as_measured(work: FrameWork, config: ModelConfig, base: Base) -> Base:
    """Tell an interpolation how its planes were measured, unless they are points.

    A network that cannot be told takes planes between rows for the nearest rows.
    """
    measurement = work.measurement
    if measurement is None or measurement.is_points:
        return base
    told, mask = None, base.mask
    if config.network.measured:
        told = torch.tensor([measurement.levels(config.sigma_data)])
    elif not work.grid.is_whole:
        mask = torch.zeros_like(mask)
        mask[list(work.grid.nearest)] = 1.0
    correction = correction_for(measurement, config.softening, base.planes.device)
    return replace(base, mask=mask, measured=told, correction=correction)
