"""Statistics of the training images that isoslice's own recipe needs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from isoslice.data.crops import draw_crops
from isoslice.data.noise_range import training_noise
from isoslice.data.planes import PlaneStack
from isoslice.errors import DataError
from isoslice.models.config import TrainingSettings
from isoslice.models.diffusion.units import units_of_crops


def residual_statistics(stacks: Sequence[PlaneStack], settings: TrainingSettings) -> dict[str, Any]:
    """Measure statistics of the residual on 256 crops, and the noise of the images.

    Returns
    -------
    ``softening`` and ``sigma_data``: see `units_of_crops`. ``noise``: see `ModelConfig`.

    Raises
    ------
    DataError
        If interpolation is exact, or intensities overflow.
    """
    generator = torch.Generator().manual_seed(settings.seed)
    crops = draw_crops(stacks, 256, settings.crop, generator, row_spacing=settings.row_spacing)
    softening, deviation = units_of_crops(crops, settings, generator)
    if not np.isfinite(deviation):
        raise DataError(
            "got images with a few voxels so far beyond all others that nothing can be computed "
            "with them, expected one range of intensities; replace what stands for no data by NaN "
            "or 0"
        )
    if not deviation > 1e-6:
        raise DataError(
            "got images whose hidden rows linear interpolation restores exactly, expected "
            "structure to learn from; check that the right files were given"
        )
    noise = training_noise([(stack.data, stack.normalization) for stack in stacks])
    return {"softening": softening, "sigma_data": deviation, "noise": noise}
