"""The standard deviation of every voxel of a restored volume.

The head (`error_head`) predicts the expected error of each slice's mean. Three corrections make a
standard deviation in three dimensions of it:

1. How large errors really are on this stack: rows of its own measured planes are hidden at the
   stack's factor, and restored (`calibration.row_errors`). The calibration stored in the model is
   for where planes are too small for that. If planes are no points, rows are measured as they
   were (`measured_rows`), and what makes intervals of deviations is measured there, too; what a
   profile takes from planes of a section's detail is put back before (`lost_detail`).
2. How much worse planes can be told from planes than rows from rows: `roughness.anisotropy`, and
   `measured_rows.anisotropy_seen` of planes that are no points.
3. If the stack is what the model learned from, how much smaller errors are on planes it has seen:
   `FactorCalibration.optimism`.

What is no correction: XZ and YZ slices estimate the same voxel, but err alike (their difference is
a few percent of the error; docs/explanation/trust.md), so that the average of their predictions
stands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.lost_detail import NOTHING_LOST, LostDetail, gathered, lost_detail, put_back
from isoslice.data.measurement import Measurement
from isoslice.data.plane_spectra import cubes_of
from isoslice.data.roughness import anisotropy
from isoslice.data.subsampling import evenly_spaced
from isoslice.errors import SettingsError
from isoslice.inference.detail.patches import Read
from isoslice.inference.measured_rows import anisotropy_seen, measured_row_errors
from isoslice.inference.passes import WEIGHT
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.variance_stabilization import unstretch_slope
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.networks.error_head import SpreadNetwork, with_head
from isoslice.models.reliability.calibration import (
    COVERAGE_LEVELS,
    MAX_PLANES,
    Calibration,
    FactorCalibration,
    row_errors,
    window,
)

#: Windows that anisotropy is measured in, and planes of each.
ANISOTROPY_WINDOWS, ANISOTROPY_PLANES = 6, 128
#: Limits of what anisotropy may do to the variance.
ANISOTROPY_LIMITS = (0.5, 4.0)
#: The same of blurred planes, which show it of coarse structure alone.
BLURRED_LIMITS = (0.5, 2.0)


@dataclass(frozen=True)
class StackScale:
    """What makes standard deviations of predicted errors, for one stack.

    Attributes
    ----------
    total
        Product of all corrections, of each channel.
    ratio
        Errors over hidden rows against predicted ones, of each channel.
    anisotropy
        Mean squared error between planes against that between rows, of each channel.
    optimism
        See `calibration.FactorCalibration`; 1 for another stack than the model learned from.
    measured
        Whether `ratio` was measured on the stack, not taken from the model.
    calibration
        The stored one; its ``multiples`` make intervals.
    """

    total: tuple[float, ...]
    ratio: tuple[float, ...]
    anisotropy: tuple[float, ...]
    optimism: float
    measured: bool
    calibration: FactorCalibration


class ErrorEstimator(NamedTuple):
    """A denoiser with a head that predicts its errors, and how these are calibrated."""

    network: SpreadNetwork
    config: ModelConfig
    calibration: Calibration


def stack_scale(
    estimator: ErrorEstimator,
    read: Read,
    shape: tuple[int, int, int],
    factor: int,
    measurement: Measurement | None = None,
    *,
    own: bool = False,
    device: torch.device,
) -> StackScale:
    """Measure on a stack what its standard deviations need.

    Parameters
    ----------
    estimator
        On `device`.
    read, shape
        Reads parts of the stack's measured planes, normalised, (C, n, y, x); (n, Y, X) of all.
    factor
        Output planes per measured plane.
    measurement
        How planes were measured; None of points.
    own
        Whether the model learned from this stack.
    device
        Where to compute.
    """
    stored = estimator.calibration.at(factor)
    network, config = estimator.network, estimator.config
    images = [
        read((slice(index, index + 1), *window(shape[1:], number)))[:, 0]
        for number, index in enumerate(evenly_spaced(shape[0], MAX_PLANES))
    ]
    pieces = _neighbours(read, shape)
    if measurement is None or measurement.is_points:
        errors = row_errors(network, config, images, factor, device)
        parts = [torch.from_numpy(piece) for piece in pieces]
        unlike = anisotropy(parts, factor).clamp(*ANISOTROPY_LIMITS).double()
    else:
        lost = _lost_detail(read, shape, measurement)
        if lost:
            noise = np.broadcast_to(np.asarray(measurement.noise), len(images[0])).tolist()
            images = [gathered(put_back(lost, image), image, noise) for image in images]
        errors = measured_row_errors(network, config, images, measurement, device, clean=bool(lost))
        if errors is not None:
            stored = stored.model_copy(update={"multiples": errors.multiples})
        limits = ANISOTROPY_LIMITS if measurement.profile.kind == "point" else BLURRED_LIMITS
        seen = anisotropy_seen(pieces, images, measurement, clean=bool(lost))
        unlike = torch.from_numpy(seen).clamp(*limits)
    ratio = torch.tensor(stored.ratio) if errors is None else errors.ratio
    optimism = stored.optimism if own and errors is not None else 1.0
    total = ratio.double() * unlike.sqrt() * optimism
    return StackScale(
        tuple(total.tolist()),
        tuple(ratio.tolist()),
        tuple(unlike.tolist()),
        optimism,
        errors is not None,
        stored,
    )


def record_of_scales(scales: Sequence[StackScale]) -> dict[str, Any]:
    """Say in provenance how standard deviations were made, of each time point and channel."""
    stored = scales[0].calibration
    return {
        "std": "standard deviation of the error of the mean, in the volume's intensities",
        "interval_multiples": {
            f"{level:.0%}": round(times, 4)
            for level, times in zip(COVERAGE_LEVELS, stored.multiples, strict=True)
        },
        "scale": [[round(x, 5) for x in scale.total] for scale in scales],
        "anisotropy": [[round(x, 4) for x in scale.anisotropy] for scale in scales],
        "optimism": [round(scale.optimism, 4) for scale in scales],
        "measured_on_the_stack": all(scale.measured for scale in scales),
    }


def _lost_detail(
    read: Read, shape: tuple[int, int, int], measurement: Measurement
) -> list[LostDetail]:
    """Find what each channel's planes lack of sections; none of sharp planes, or if unknown.

    Channels in which nothing varies lack nothing.
    """
    if measurement.profile.kind == "point":
        return []
    gap = float(np.median(np.diff(measurement.positions))) * measurement.pixels
    parts = [read(region) for region in cubes_of(shape, gap)]
    deviation = measurement.profile.deviation * measurement.pixels
    channels = [list(each) for each in zip(*parts, strict=True)]
    found = [lost_detail(cubes, gap, deviation) for cubes in channels]
    known = any(each is not None for each in found)
    return [each or NOTHING_LOST for each in found] if known else []


def _neighbours(read: Read, shape: tuple[int, int, int]) -> list[NDArray[np.float32]]:
    """Read neighbouring planes in some windows, each (C, n, y, x)."""
    first = max(0, (shape[0] - ANISOTROPY_PLANES) // 2)
    depth = slice(first, min(first + ANISOTROPY_PLANES, shape[0]))
    return [read((depth, *window(shape[1:], number))) for number in range(ANISOTROPY_WINDOWS)]


def deviation(
    config: ModelConfig, base: Tensor, mean: Tensor, spread: Tensor, total: Sequence[float]
) -> Tensor:
    """Make standard deviations of intensities, normalised, (C, Z, Y, X), in single precision.

    Parameters
    ----------
    config
        The model's settings.
    base
        Linear interpolation, stretched, (C, Z, Y, X).
    mean
        The residual's mean.
    spread
        Sum over both directions, each weighted by `passes.WEIGHT`, of the expected absolute error
        of the mean, stretched; 0 on known planes.
    total
        See `StackScale`.
    """
    slope = unstretch_slope(base + mean, config.softening)
    average = spread / (2 * WEIGHT)
    scale = torch.tensor(total, dtype=torch.float64, device=base.device)[:, None, None, None]
    return (average * slope * scale).float()


def error_estimator(model: ModelBundle) -> ErrorEstimator:
    """Return what a model of the preset isoslice knows of its errors.

    Raises
    ------
    SettingsError
        If it knows nothing.
    """
    if model.head is None or model.trust.calibration is None:
        raise SettingsError(
            "got a model that does not know its errors, of an earlier version or of tiny images, "
            "expected one trained by this version; make one with 'isoslice train IMAGES --from "
            "MODEL -o NEW'"
        )
    # Only a model of this recipe has a head.
    config = cast("ModelConfig", model.config)
    return ErrorEstimator(with_head(model.network, model.head), config, model.trust.calibration)
