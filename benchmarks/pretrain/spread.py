"""Error head of a model of many specimens, and its calibration on files that are held out."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from isoslice.data.crops import draw_crops
from isoslice.data.planes import PlaneStack
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.units import Units, units_of_crops
from isoslice.models.networks.error_head import SpreadHead, SpreadNetwork, with_head
from isoslice.models.reliability.calibration import (
    CALIBRATION_FACTORS,
    Calibration,
    FactorCalibration,
    RowErrors,
    row_errors,
    sample_images,
)
from isoslice.runtime.progress import Progress
from isoslice.training.error_head import fit_spread
from isoslice.training.objectives import ResidualObjective
from pretrain.packed import Packed

#: Steps of the head's training, of 16 crops; crops by which units of a held-out stack are measured.
STEPS, CROPS = 3000, 64
CPU = torch.device("cpu")


def learn_spread(
    model: Model, stacks: Sequence[PlaneStack], units: Sequence[Units], progress: Progress
) -> SpreadHead:
    """Train the error head on all stacks, each in its own units."""
    config = model.config
    assert isinstance(config, ModelConfig)
    objective = ResidualObjective(config, units=tuple(units))
    return fit_spread(
        model.network,
        config,
        stacks,
        STEPS,
        CPU,
        progress,
        units_of=lambda which: objective.units_of(which, CPU),
    )


def calibrate_on(model: Model, head: SpreadHead, held_out: Sequence[Packed]) -> Calibration:
    """Calibrate on held-out stacks, each in its own units; all count the same."""
    config = model.config
    assert isinstance(config, ModelConfig)
    network = with_head(model.network, head)
    each = [_errors(network, config, packed.plane_stack()) for packed in held_out]
    factors = []
    for factor in sorted(CALIBRATION_FACTORS):
        found = [errors[factor] for errors in each if factor in errors]
        least = min(one.error.shape[1] for one in found)
        joined = RowErrors(
            torch.cat([_thinned(one.error, least) for one in found], dim=1),
            torch.cat([_thinned(one.spread, least) for one in found], dim=1),
        )
        ratio = tuple(joined.ratio.tolist())
        factors.append(FactorCalibration(factor=factor, ratio=ratio, multiples=joined.multiples))
    return Calibration(held_out=True, factors=tuple(factors))


def _errors(network: SpreadNetwork, config: ModelConfig, stack: PlaneStack) -> dict[int, RowErrors]:
    """Measure errors on hidden rows of one stack, by factor, in multiples of its deviation."""
    generator = torch.Generator().manual_seed(0)
    crops = draw_crops([stack], CROPS, config.training.crop, generator)
    softening, deviation = units_of_crops(crops, config.training, generator)
    network.head.sigma_data = deviation
    own = config.updated(softening=softening, sigma_data=deviation)
    images = [image for _, image in sample_images([stack])]
    found = {}
    for factor in CALIBRATION_FACTORS:
        errors = row_errors(network, own, images, factor, CPU)
        if errors is not None:
            found[factor] = RowErrors(errors.error / deviation, errors.spread / deviation)
    return found


def _thinned(values: torch.Tensor, count: int) -> torch.Tensor:
    """Take so many of (C, pixels), evenly spaced."""
    return values[:, torch.linspace(0, values.shape[1] - 1, count).long()]
