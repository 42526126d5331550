"""Intervals that hold what they promise: predicted errors compared with real ones on 2D images.

Rows of images with a known truth are hidden and restored; of the errors that come of it, two
things are kept: how large they are against what the head predicted (`RowErrors.ratio`), and which
multiples of the corrected prediction hold which share of them. That is split conformal prediction
with errors scaled by a predicted spread (Lei et al. 2018, arXiv 1604.04173, section 5.2).
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

#: Shares of errors that intervals are kept for.
LEVELS = (0.5, 0.68, 0.8, 0.9, 0.95, 0.99)
#: Factors that are measured; others take the nearest. Where time is short, the first ones alone.
FACTORS = (4, 2, 8, 3, 6)
#: Planes that are looked at, and pixels of a window of each, along Y and X.
PLANES, SIDE = 12, 192

_Finite = Annotated[float, Field(gt=0, lt=1e6, allow_inf_nan=False)]


class FactorCalibration(BaseModel):
    """What was measured at one factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    factor: Annotated[int, Field(ge=2, le=64)]
    #: Root mean square of errors against that of the predicted ones, of each channel.
    ratio: Annotated[tuple[_Finite, ...], Field(min_length=1, max_length=64)]
    #: For each of `LEVELS`: that share of errors is below this multiple of the standard deviation.
    multiples: Annotated[tuple[_Finite, ...], Field(min_length=len(LEVELS), max_length=len(LEVELS))]
    #: Root mean square of errors on planes held out against planes learned from; 1 if unknown.
    optimism: _Finite = 1.0

    @model_validator(mode="after")
    def _rises(self) -> FactorCalibration:
        if any(a > b for a, b in zip(self.multiples, self.multiples[1:], strict=False)):
            raise ValueError("multiples have to rise with the level")
        return self


class Calibration(BaseModel):
    """What was measured when training was over, by rising factor."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: Whether it was measured on planes that were held out of the training.
    held_out: bool
    factors: Annotated[tuple[FactorCalibration, ...], Field(min_length=1, max_length=16)]

    def at(self, factor: int) -> FactorCalibration:
        """Return the calibration at the measured factor nearest to this one, by their ratio."""
        return min(self.factors, key=lambda one: abs(math.log(one.factor / factor)))


def multiple(calibration: FactorCalibration, level: float) -> float:
    """How many standard deviations to either side hold a share of the errors.

    Between `LEVELS` interpolated, as the normal distribution's would be.

    Raises
    ------
    SettingsError
        If `level` lies beyond them.
    """
    if not LEVELS[0] <= level <= LEVELS[-1]:
        raise SettingsError(
            f"got an interval of {level:g}, expected a share from {LEVELS[0]} to {LEVELS[-1]}"
        )
    scores = [_normal(at) for at in LEVELS]
    return float(np.interp(_normal(level), scores, calibration.multiples))


def _normal(level: float) -> float:
    """Return the multiple that a normal distribution has."""
    return math.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))


@dataclass(frozen=True)
class RowErrors:
    """Errors over hidden rows, and the predicted ones, (C, pixels)."""

    error: Tensor
    spread: Tensor

    @property
    def rms(self) -> Tensor:
        """Root mean square of the errors, (C,)."""
        return self.error.square().mean(dim=1).sqrt()

    @property
    def ratio(self) -> Tensor:
        """`rms` against that of the predicted errors, (C,)."""
        predicted = self.spread.square().mean(dim=1).sqrt()
        return self.rms.clamp(min=1e-6) / predicted.clamp(min=1e-9)


def row_errors(
    network: SpreadNetwork,
    config: ModelConfig,
    images: Sequence[NDArray[np.float32]],
    factor: int,
    device: torch.device,
) -> RowErrors | None:
    """Hide rows, then columns, of images with a known truth, and compare.

    Parameters
    ----------
    network, config
        Denoiser and head on `device`; the model's settings.
    images
        Normalised, each (C, H, W).
    factor
        One row in so many is kept.
    device
        Where to compute.

    Returns
    -------
    Errors (C, pixels); None if no image has two rows that far apart.
    """
    errors, spreads = [], []
    for image in images:
        for turned in (image, image.swapaxes(1, 2)):
            height = (turned.shape[1] - 1) // factor * factor + 1
            if height <= factor:
                continue
            shown = torch.from_numpy(np.ascontiguousarray(turned[None, :, :height])).to(device)
            masks = even_rows(height, factor)[None].to(device)
            mean, spread = mean_and_spread(network, config, shown, masks)
            hidden = ~masks[0]
            errors.append((mean - shown)[0][:, hidden].flatten(1).cpu())
            spreads.append(spread[0][:, hidden].flatten(1).cpu())
    if not errors:
        return None
    return RowErrors(torch.cat(errors, dim=1), torch.cat(spreads, dim=1))


def windows(shape: tuple[int, int], number: int) -> tuple[slice, slice]:
    """Choose a window of a plane (Y, X): another one for each number, spread over the plane."""
    starts = []
    # Multiples of two irrational numbers fill the plane evenly (Roberts' sequence).
    for size, step in zip(shape, (0.7548776662, 0.5698402910), strict=True):
        room = max(0, size - SIDE)
        starts.append(round(room * ((0.5 + number * step) % 1)))
    y, x = starts
    return slice(y, y + SIDE), slice(x, x + SIDE)


def sample_images(stacks: Sequence[PlaneStack]) -> Iterator[NDArray[np.float32]]:
    """Cut windows out of planes spread evenly over stacks, normalised, (C, H, W)."""
    places = [(stack, i) for stack in stacks for i in range(len(stack.data))]
    chosen = evenly_spaced(len(places), PLANES)
    for number, index in enumerate(chosen):
        stack, plane = places[index]
        height, width = stack.data.shape[2:]
        y, x = windows((height, width), number)
        yield stack.normalization.apply(stack.data[plane][:, y, x])


def spread_order(count: int) -> list[int]:
    """Order 0 ... `count` - 1 so that the first few are spread over all of them."""
    # Multiples of the golden ratio fill an interval evenly, however many of them there are.
    places = [(0.5 + number * 0.6180339887) % 1 for number in range(8 * count)]
    return list(dict.fromkeys(int(place * count) for place in places))


def _joined(parts: Mapping[int, RowErrors]) -> RowErrors | None:
    ordered = [parts[index] for index in sorted(parts)]
    if not ordered:
        return None
    errors, spreads = ([getattr(one, name) for one in ordered] for name in ("error", "spread"))
    return RowErrors(torch.cat(errors, dim=1), torch.cat(spreads, dim=1))


def calibrate(
    network: SpreadNetwork,
    config: ModelConfig,
    training: Sequence[PlaneStack],
    held_out: Sequence[PlaneStack],
    device: torch.device,
    seconds: float | None = None,
) -> Calibration | None:
    """Calibrate on planes that were held out; without any, on those that were learned from.

    Parameters
    ----------
    network, config, device
        As in `row_errors`.
    training, held_out
        Planes that the network learned from, and planes it has not seen.
    seconds
        What it may take: fewer images are looked at then, or fewer factors, one at least.

    Returns
    -------
    None where planes are too small for any factor.
    """
    deadline = Deadline.after(seconds)
    sets = [list(sample_images(held_out))] if held_out else []
    sets.append(list(sample_images(training)))
    # Of each factor and set, by number of the image.
    measured: dict[tuple[int, int], dict[int, RowErrors]] = {}
    for indices in zip_longest(*(spread_order(len(images)) for images in sets)):
        for factor in FACTORS:
            if measured and deadline.passed:
                break
            for which, index in enumerate(indices):
                if index is None:
                    continue
                one = row_errors(network, config, [sets[which][index]], factor, device)
                if one is not None:
                    measured.setdefault((factor, which), {})[index] = one

    found = []
    for factor in sorted(FACTORS):
        errors, seen = (_joined(measured.get((factor, which), {})) for which in (0, 1))
        if errors is None:
            continue
        optimism = 1.0
        if held_out and seen is not None:
            # Planes differ in what they show; the prediction says how hard each is.
            optimism = float((errors.ratio / seen.ratio).mean())
        deviations = errors.error.abs() / (errors.spread * errors.ratio[:, None]).clamp(min=1e-9)
        multiples = np.quantile(deviations.numpy().ravel(), LEVELS)
        found.append(
            FactorCalibration(
                factor=factor,
                ratio=tuple(errors.ratio.tolist()),
                multiples=tuple(np.maximum(multiples, 1e-6).tolist()),
                optimism=min(max(optimism, 1.0), 2.0),
            )
        )
    return Calibration(held_out=bool(held_out), factors=tuple(found)) if found else None
