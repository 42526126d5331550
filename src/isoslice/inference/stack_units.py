"""A model of many specimens in the units of one stack, which are measured on its own planes."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import TypeVar

import numpy as np
import torch

from isoslice.data.crops import draw_crops
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack
from isoslice.data.volume import Volume
from isoslice.inference.inspection import Inspection, some_planes
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.units import units_of_crops
from isoslice.models.files.bundle import ModelBundle

#: Crops that units are measured on, and sides of the largest and the smallest.
CROPS, SIDES = 256, (64, 16)
#: Normalised intensities beyond which a voxel is hot or dead, and tells nothing of the others.
RANGE = (-1.0, 4.0)
#: Deviations of residuals that networks can be told; of smoother stacks this.
LEAST_DEVIATION = 1e-3

Bundle = TypeVar("Bundle", bound=ModelBundle)


def in_units_of(model: Bundle, volume: Volume, inspection: Inspection) -> Bundle:
    """Return a model in the units of a stack: itself, unless it was made for many specimens.

    Parameters
    ----------
    model
        Whose `ModelConfig.per_stack` says whether units are measured.
    volume
        The stack, its coarse axis called Z. Of several channels the units are those of all.
    inspection
        Of the stack.
    """
    config = model.config
    if not isinstance(config, ModelConfig) or not config.per_stack:
        return model
    planes = inspection.normalization.apply(some_planes(volume, inspection.survey))
    images = np.nan_to_num(planes).clip(*RANGE).reshape(-1, 1, *planes.shape[2:])
    side = min(SIDES[0], min(images.shape[2:]) // SIDES[1] * SIDES[1])
    if side < SIDES[1]:
        return model
    stack = PlaneStack(images, Normalization((0.0,), (1.0,)))
    generator = torch.Generator().manual_seed(0)
    crops = draw_crops([stack], CROPS, side, generator)
    softening, deviation = units_of_crops(crops, config.training, generator)
    scale = max(float(deviation), LEAST_DEVIATION)
    head = copy.copy(model.head)
    if head is not None:
        head.sigma_data = scale
    return replace(model, config=config.updated(softening=softening, sigma_data=scale), head=head)
