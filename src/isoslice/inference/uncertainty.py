"""The standard deviation of every voxel of a restored volume, and how samples spread.

The head (`error_head`) predicts the expected error of each slice's mean. Three corrections make a
standard deviation in three dimensions of it:

1. How large errors really are on this stack: rows of its own measured planes are hidden at the
   stack's factor, and restored (`calibration.row_errors`). The calibration stored in the model is
   for where planes are too small for that.
2. How much worse planes can be told from planes than rows from rows: `roughness.anisotropy`.
3. If the stack is what the model learned from, how much smaller errors are on planes it has seen:
   `FactorCalibration.optimism`.

What is no correction: XZ and YZ slices estimate the same voxel, but err alike (their difference is
a few percent of the error; docs/trust.md), so that the average of their predictions stands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from torch import Tensor

from isoslice.data.box import whole
from isoslice.data.grid import PlaneGrid
from isoslice.data.roughness import anisotropy
from isoslice.data.subsampling import evenly_spaced
from isoslice.errors import SettingsError
from isoslice.inference.detail.blend import Gains
from isoslice.inference.detail.patches import reader
from isoslice.inference.detail.strength import find_gains
from isoslice.inference.interpolated import Base, make_base
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.passes import WEIGHT
from isoslice.inference.sampler import Drawn, compose, draw
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
#: Deviation, in voxels, of the Gaussian that smooths the variance of samples; its weight.
SMOOTHED, SAMPLED = 1.0, 0.25
#: Share of the predicted variance that is left where samples do not differ at all.
LEAST = 0.01
#: Limits of what anisotropy may do to the variance.
ANISOTROPY_LIMITS = (0.5, 4.0)


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


def stack_scale(
    network: SpreadNetwork,
    config: ModelConfig,
    calibration: Calibration,
    planes: NDArray[np.float32],
    factor: int,
    *,
    own: bool = False,
    device: torch.device,
) -> StackScale:
    """Measure on a stack what its standard deviations need.

    Parameters
    ----------
    network, config, calibration
        Denoiser with head on `device`; the model's settings; what was measured after training.
    planes
        The stack's measured planes, normalised, (C, n, Y, X).
    factor
        Output planes per measured plane.
    own
        Whether the model learned from this stack.
    device
        Where to compute.
    """
    stored = calibration.at(factor)
    chosen = evenly_spaced(planes.shape[1], MAX_PLANES)
    lateral = (planes.shape[2], planes.shape[3])
    images = [
        planes[(slice(None), index, *window(lateral, number))]
        for number, index in enumerate(chosen)
    ]
    errors = row_errors(network, config, images, factor, device)
    ratio = torch.tensor(stored.ratio) if errors is None else errors.ratio
    unlike = _anisotropy(planes, factor)
    optimism = stored.optimism if own and errors is not None else 1.0
    total = ratio.double() * unlike.double().sqrt() * optimism
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


def _anisotropy(planes: NDArray[np.float32], factor: int) -> Tensor:
    depth = planes.shape[1]
    first = max(0, (depth - ANISOTROPY_PLANES) // 2)
    lateral = (planes.shape[2], planes.shape[3])
    pieces = [
        torch.from_numpy(
            np.ascontiguousarray(
                planes[(slice(None), slice(first, first + ANISOTROPY_PLANES), *window(lateral, i))]
            )
        )
        for i in range(ANISOTROPY_WINDOWS)
    ]
    return anisotropy(pieces, factor).clamp(*ANISOTROPY_LIMITS)


def predicted_spread(
    network: SpreadNetwork,
    config: ModelConfig,
    base: Base,
    *,
    device: torch.device,
    report: Callable[[float], None] = lambda fraction: None,
) -> Tensor:
    """Predict the expected absolute error of the mean, (C, Z, Y, X), stretched; 0 on known planes.

    The average of what XZ and YZ slices say.
    """
    drawn = draw(network, config, base, mode="mean", device=device, report=report)
    assert drawn.mean is not None
    return drawn.mean.div_(2 * WEIGHT)  # `draw` adds up WEIGHT times each


def deviation(
    config: ModelConfig, base: Base, mean: Tensor, spread: Tensor, scale: StackScale
) -> NDArray[np.float32]:
    """Make standard deviations of intensities, normalised, (C, Z, Y, X).

    Parameters
    ----------
    config, base
        The model's settings; the interpolated volume.
    mean
        The residual's mean, (C, Z, Y, X).
    spread
        From `predicted_spread`.
    scale
        Of the stack.
    """
    total = torch.tensor(scale.total)[:, None, None]
    found = np.empty(spread.shape, np.float32)
    depth, _, _ = base.shape
    for z in range(depth):  # plane by plane, for memory
        plane = (slice(z, z + 1), slice(None), slice(None))
        restored = base.part(plane)[:, 0] + mean[:, z].float()
        slope = unstretch_slope(restored, config.softening)
        found[:, z] = (spread[:, z].float() * slope).cpu() * total
    return found


def with_samples(
    std: NDArray[np.float32], squares: NDArray[np.float32], samples: int
) -> NDArray[np.float32]:
    """Put what samples show of the spread together with what the head predicts.

    Samples show where the network wavers, but their spread as a whole is set by how detail was
    strengthened, and that of a few is noisy. So their variance is smoothed, a geometric mean of
    both variances is taken, theirs with a quarter of the weight, and brought back to the calibrated
    level: on an average of logarithms, each voxel weighted with its standard deviation, nothing
    changes.

    Parameters
    ----------
    std
        From `deviation`.
    squares
        Sum of the samples' squared distances from the mean, of the same shape.
    samples
        How many there were.
    """
    found = np.zeros_like(std)
    for c, (own, summed) in enumerate(zip(std, squares, strict=True)):
        drawn = gaussian_filter(summed / samples, SMOOTHED)
        hidden = own > 0
        weight, variance = own[hidden], own[hidden] ** 2
        level = np.mean(variance, dtype=np.float64) / max(float(np.mean(drawn[hidden])), 1e-30)
        # Where samples agree entirely they still say no more than that it is little.
        change = SAMPLED / 2 * np.log((level * drawn[hidden] + LEAST * variance) / variance)
        change -= np.average(change, weights=weight)
        found[c][hidden] = weight * np.exp(change)
    return found


@dataclass(frozen=True)
class RestorationWithStd:
    """A volume with what is known of its errors, all normalised, (C, Z, Y, X).

    Attributes
    ----------
    volume
        Restored.
    std
        Standard deviation of the error of the mean; 0 on measured planes.
    samples
        Those that were drawn and asked for.
    scale
        What the standard deviations were made with.
    """

    volume: NDArray[np.float32]
    std: NDArray[np.float32]
    samples: tuple[NDArray[np.float32], ...]
    scale: StackScale


class ErrorEstimator(NamedTuple):
    """A denoiser with a head that predicts its errors, and how these are calibrated."""

    network: SpreadNetwork
    config: ModelConfig
    calibration: Calibration


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


@torch.inference_mode()
def restore_with_std(
    estimator: ErrorEstimator,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    options: ResolvedOptions,
    *,
    own: bool = False,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> RestorationWithStd:
    """Fill in planes like `sampler.restore`, and estimate the error of each voxel.

    Parameters
    ----------
    estimator
        Denoiser with head, in evaluation mode; the model's settings; its calibration.
    planes, grid, device, report
        As in `sampler.restore`.
    options
        Resolved. With `samples`, the volume is the samples' mean, and their spread goes into the
        standard deviation; without, the head's prediction alone makes it.
    own
        Whether the model learned from this stack.
    """
    device = device or torch.device("cpu")
    config, samples, mode = estimator.config, options.samples, options.mode
    network = estimator.network.to(device)
    # Lost planes leave wider gaps; most of them are of the factor.
    factor = max(2, int(np.diff(grid.known).min()))
    scale = stack_scale(
        network, config, estimator.calibration, planes, factor, own=own, device=device
    )
    base = make_base(planes, grid, config.softening, device)
    known = list(grid.known)
    parts = _Share(report, 2 + (samples or mode == "sample") + max(0, samples - 1))
    mean = draw(network.denoiser, config, base, mode="mean", device=device, report=parts).mean
    assert mean is not None
    spread = predicted_spread(network, config, base, device=device, report=parts.next())
    std = deviation(config, base, mean, spread, scale)
    del spread

    def composed(drawn: Drawn, gains: Gains | None) -> NDArray[np.float32]:
        volume = np.empty((len(planes), *base.shape), np.float32)
        place = whole(base.shape).slices()
        for rows, part in compose(config, base, drawn, place, options.detail, gains):
            volume[:, :, rows] = part.cpu().numpy()
        volume[:, known] = planes
        return volume

    expected = composed(Drawn(mean, None), None)
    if not samples and mode == "mean":
        return RestorationWithStd(expected, std, (), scale)
    squares, kept, gains = np.zeros_like(expected), [], None
    for number in range(max(1, samples)):
        drawn = draw(
            network.denoiser,
            config,
            base,
            evaluations=options.steps,
            seed=options.seed + number,
            mean=mean,
            device=device,
            report=parts.next(),
        )
        if gains is None:  # of the first one for all, so that they are alike
            shape = (planes.shape[1], planes.shape[2], planes.shape[3])
            gains = find_gains(config, reader(planes), shape, grid, drawn)
            gains = gains.of_planes(torch.from_numpy(grid.distances))
        sample = composed(drawn, gains)
        if not samples:
            return RestorationWithStd(sample, std, (), scale)
        squares += (sample - expected) ** 2
        if options.keep_samples:
            kept.append(sample)
    return RestorationWithStd(expected, with_samples(std, squares, samples), tuple(kept), scale)


class _Share:
    """Tells a caller how far several equal parts of a work are."""

    def __init__(self, report: Callable[[float], None], parts: int) -> None:
        self._report, self._parts, self._done = report, parts, 0

    def __call__(self, fraction: float) -> None:
        self._report((self._done + fraction) / self._parts)

    def next(self) -> _Share:
        """Begin the next part."""
        self._done += 1
        return self
