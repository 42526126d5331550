"""Calibrate predicted errors on 2D images, so that intervals have their nominal coverage.

Rows of images with a known truth are hidden and restored. Two things are kept of the errors: their
size relative to the prediction (`RowErrors.ratio`), and their quantiles in multiples of the
corrected prediction. That is split conformal prediction with errors scaled by a predicted spread
(Lei et al. 2018, arXiv 1604.04173, section 5.2).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Annotated

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor

from isoslice.data.masking import even_rows
from isoslice.data.planes import PlaneStack
from isoslice.data.subsampling import evenly_spaced
from isoslice.errors import SettingsError
from isoslice.models.config import ModelConfig
from isoslice.models.networks.error_head import SpreadNetwork, mean_and_spread
from isoslice.runtime.budget import Deadline

#: Coverages for which quantiles are stored.
COVERAGE_LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)
#: Factors that are calibrated, most important first, in case time runs out.
CALIBRATION_FACTORS = (4, 2, 8, 3, 6)
#: Planes that are used, and side in pixels of the window used of each.
MAX_PLANES, WINDOW_SIDE = 12, 192

_LEVELS = len(COVERAGE_LEVELS)
_Finite = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]


class FactorCalibration(BaseModel):
    """Calibration at one factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: Annotated[int, Field(ge=2, le=64)]
    #: RMS of errors over RMS of predicted errors, for each channel.
    ratio: Annotated[tuple[_Finite, ...], Field(min_length=1, max_length=64)]
    #: Quantiles of errors at `COVERAGE_LEVELS`, in standard deviations.
    multiples: Annotated[tuple[_Finite, ...], Field(min_length=_LEVELS, max_length=_LEVELS)]
    #: RMS of errors on held-out planes over that on training planes; 1 if unknown.
    optimism: _Finite = 1.0

    @model_validator(mode="after")
    def _rises(self) -> FactorCalibration:
        if any(a > b for a, b in zip(self.multiples, self.multiples[1:], strict=False)):
            raise ValueError("multiples have to rise with the level")
        return self


class Calibration(BaseModel):
    """Calibration after training, by increasing factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Whether it was measured on held-out planes.
    held_out: bool
    factors: Annotated[tuple[FactorCalibration, ...], Field(min_length=1, max_length=16)]

    def at(self, factor: int) -> FactorCalibration:
        """Return the calibration at the factor nearest to this one, by their ratio."""
        return min(self.factors, key=lambda one: abs(math.log(one.factor / factor)))


def multiple(calibration: FactorCalibration, level: float) -> float:
    """Return the half-width, in standard deviations, of an interval with coverage `level`.

    Between `COVERAGE_LEVELS` it is interpolated linearly in the normal distribution's quantile.

    Raises
    ------
    SettingsError
        If `level` lies beyond them.
    """
    lowest, highest = COVERAGE_LEVELS[0], COVERAGE_LEVELS[-1]
    if not lowest <= level <= highest:
        raise SettingsError(
            f"got an interval of {level:g}, expected a share from {lowest} to {highest}"
        )
    quantiles = [_normal_quantile(at) for at in COVERAGE_LEVELS]
    return float(np.interp(_normal_quantile(level), quantiles, calibration.multiples))


def _normal_quantile(level: float) -> float:
    """Return the half-width of a normal distribution's central interval, in deviations."""
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))


@dataclass(frozen=True)
class RowErrors:
    """Errors on hidden rows, and the predicted ones, (C, pixels)."""

    error: Tensor
    spread: Tensor

    @property
    def rms(self) -> Tensor:
        """RMS of the errors, (C,)."""
        return self.error.square().mean(dim=1).sqrt()

    @property
    def ratio(self) -> Tensor:
        """`rms` over the RMS of the predicted errors, (C,)."""
        predicted = self.spread.square().mean(dim=1).sqrt()
        return self.rms.clamp(min=1e-6) / predicted.clamp(min=1e-9)

    @property
    def multiples(self) -> tuple[float, ...]:
        """Quantiles of errors at `COVERAGE_LEVELS`, in standard deviations.

        Channels without errors, which are constant, do not count beside others.
        """
        varies = self.rms > 0
        kept = varies if varies.any() else ~varies
        predicted = self.spread[kept] * self.ratio[kept, None]
        deviations = self.error[kept].abs() / predicted.clamp(min=1e-9)
        quantiles = np.quantile(deviations.numpy().ravel(), COVERAGE_LEVELS)
        return tuple(np.maximum(quantiles, 1e-6).tolist())


def row_errors(
    network: SpreadNetwork,
    config: ModelConfig,
    images: Sequence[NDArray[np.float32]],
    factor: int,
    device: torch.device,
) -> RowErrors | None:
    """Hide and restore rows, then columns, of images, and compare with the truth.

    Parameters
    ----------
    network, config
        Denoiser and head on `device`; the model's settings.
    images
        Normalised, each (C, H, W).
    factor
        Every `factor`-th row is kept.
    device
        Where to compute.

    Returns
    -------
    Errors (C, pixels); None if no image is larger than `factor`.
    """
    errors, spreads = [], []
    for image in images:
        for turned in (image, image.swapaxes(1, 2)):
            height = (turned.shape[1] - 1) // factor * factor + 1
            if height <= factor:
                continue
            truth = torch.from_numpy(np.ascontiguousarray(turned[None, :, :height])).to(device)
            masks = even_rows(height, factor)[None].to(device)
            mean, spread = mean_and_spread(network, config, truth, masks)
            hidden = ~masks[0]
            errors.append((mean - truth)[0][:, hidden].flatten(1).cpu())
            spreads.append(spread[0][:, hidden].flatten(1).cpu())
    if not errors:
        return None
    return RowErrors(torch.cat(errors, dim=1), torch.cat(spreads, dim=1))


def window(shape: tuple[int, int], number: int) -> tuple[slice, slice]:
    """Return the `number`-th of a sequence of windows that cover a plane (Y, X) evenly."""
    starts = []
    # Roberts' low-discrepancy sequence R2: multiples of two irrational numbers, modulo one.
    for size, step in zip(shape, (0.7548776662, 0.5698402910), strict=True):
        room = max(0, size - WINDOW_SIDE)
        starts.append(round(room * ((0.5 + number * step) % 1)))
    y, x = starts
    return slice(y, y + WINDOW_SIDE), slice(x, x + WINDOW_SIDE)


def sample_images(stacks: Sequence[PlaneStack]) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """Yield windows (C, H, W) of up to `MAX_PLANES` evenly spaced planes, normalised.

    Before each, the number of its stack.
    """
    planes = [(number, i) for number, stack in enumerate(stacks) for i in range(len(stack.data))]
    for number, index in enumerate(evenly_spaced(len(planes), MAX_PLANES)):
        which, plane = planes[index]
        stack = stacks[which]
        height, width = stack.data.shape[2:]
        y, x = window((height, width), number)
        yield which, stack.normalization.apply(stack.data[plane][:, y, x])


def evenly_spread_order(count: int) -> list[int]:
    """Order 0 ... `count` - 1 so that the first few are spread evenly over all."""
    # Multiples of the golden ratio modulo one: a low-discrepancy sequence.
    positions = [(0.5 + number * 0.6180339887) % 1 for number in range(8 * count)]
    return list(dict.fromkeys(int(position * count) for position in positions))


def _concatenated(parts: Mapping[int, RowErrors]) -> RowErrors | None:
    ordered = [parts[index] for index in sorted(parts)]
    if not ordered:
        return None
    errors, spreads = ([getattr(one, name) for one in ordered] for name in ("error", "spread"))
    return RowErrors(torch.cat(errors, dim=1), torch.cat(spreads, dim=1))


def _in_units(
    network: SpreadNetwork,
    config: ModelConfig | Sequence[ModelConfig],
    stack: int,
    image: NDArray[np.float32],
    factor: int,
    device: torch.device,
) -> RowErrors | None:
    """Call `row_errors`, in the units of a stack where each has its own."""
    if isinstance(config, ModelConfig):
        return row_errors(network, config, [image], factor, device)
    own = config[stack]
    network.head.sigma_data = own.sigma_data
    found = row_errors(network, own, [image], factor, device)
    if found is None:
        return None
    return RowErrors(found.error / own.sigma_data, found.spread / own.sigma_data)


def calibrate(
    network: SpreadNetwork,
    config: ModelConfig | Sequence[ModelConfig],
    training: Sequence[PlaneStack],
    held_out: Sequence[PlaneStack],
    device: torch.device,
    seconds: float | None = None,
) -> Calibration | None:
    """Calibrate on held-out planes or, without any, on training planes.

    Parameters
    ----------
    network, config, device
        As in `row_errors`; of a model of many specimens the settings in the units of each stack,
        which then count alike.
    training, held_out
        Planes the network was trained on, and planes it has not seen.
    seconds
        Time limit: where it is short, fewer images and factors are used, at least one.

    Returns
    -------
    None if planes are too small for any factor.
    """
    deadline = Deadline.after(seconds)
    sets = [list(sample_images(held_out))] if held_out else []
    sets.append(list(sample_images(training)))
    # By factor and set, then by index of the image.
    measured: dict[tuple[int, int], dict[int, RowErrors]] = {}
    for indices in zip_longest(*(evenly_spread_order(len(images)) for images in sets)):
        for factor in CALIBRATION_FACTORS:
            if measured and deadline.passed:
                break
            for which, index in enumerate(indices):
                if index is None:
                    continue
                stack, image = sets[which][index]
                one = _in_units(network, config, stack, image, factor, device)
                if one is not None:
                    measured.setdefault((factor, which), {})[index] = one

    factors = []
    for factor in sorted(CALIBRATION_FACTORS):
        errors, of_training = (_concatenated(measured.get((factor, which), {})) for which in (0, 1))
        if errors is None:
            continue
        optimism = 1.0
        if held_out and of_training is not None:
            # Ratios, since some planes are harder than others, which the prediction accounts for.
            optimism = float((errors.ratio / of_training.ratio).mean())
        factors.append(
            FactorCalibration(
                factor=factor,
                ratio=tuple(errors.ratio.tolist()),
                multiples=errors.multiples,
                optimism=min(max(optimism, 1.0), 2.0),
            )
        )
    return Calibration(held_out=bool(held_out), factors=tuple(factors)) if factors else None
