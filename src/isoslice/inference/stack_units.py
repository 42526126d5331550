"""A model of many specimens in the units of a stack, which are measured on its own planes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.volume import Volume
from isoslice.inference.inspection import Inspection, some_planes
from isoslice.models.config import AnyConfig, ModelConfig
from isoslice.models.diffusion.plane_units import plane_units
from isoslice.models.files.bundle import ModelBundle

#: Softening and residual deviation of what is restored at once; None for those of the model.
FrameUnits = tuple[float | None, float] | None

Bundle = TypeVar("Bundle", bound=ModelBundle)


def units_of_stack(
    config: AnyConfig, volume: Volume, inspection: Inspection
) -> tuple[FrameUnits, ...]:
    """Measure the units of each channel of a stack, or of as many as a model restores at once.

    Parameters
    ----------
    config
        Of the model: `ModelConfig.per_stack` says whether units are measured at all.
    volume
        The stack, its coarse axis called Z.
    inspection
        Of the stack.
    """
    if not isinstance(config, ModelConfig) or not config.per_stack:
        return ()
    planes = some_planes(volume, inspection.survey)
    return units_of_planes(config, inspection.normalization.apply(planes))


def units_of_planes(config: ModelConfig, planes: NDArray[np.float32]) -> tuple[FrameUnits, ...]:
    """Measure the units of each channel of planes (C, n, Y, X), normalised."""
    settings = config.training
    at_once = planes.reshape(-1, config.network.channels * planes.shape[1], *planes.shape[2:])
    return tuple(
        plane_units(torch.from_numpy(np.nan_to_num(each)), settings.factors, settings.even_share)
        for each in at_once
    )


def in_units(model: Bundle, units: FrameUnits) -> Bundle:
    """Return a model, its settings and its error head in some units."""
    config = model.config
    if units is None or not isinstance(config, ModelConfig):
        return model
    softening, deviation = units
    head = copy.copy(model.head)
    if head is not None:
        head.sigma_data = deviation
    settings = config.updated(softening=softening, sigma_data=deviation)
    return replace(model, config=settings, head=head)
