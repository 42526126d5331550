"""Coarser copies of a volume for viewers: means over blocks of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Levels are added until the longest spatial axis is this short.
SMALL_ENOUGH = 256


@dataclass(frozen=True)
class Level:
    """One resolution of a pyramid.

    Attributes
    ----------
    shape
        Its length along each of the pyramid's axes.
    factors
        How many voxels of the first level one voxel spans, per dimension.
    halved
        Dimensions along which it has half the voxels of the level before.
    """

    shape: tuple[int, ...]
    factors: tuple[int, ...]
    halved: tuple[int, ...] = ()

    @property
    def offset(self) -> tuple[float, ...]:
        """Centre of the first voxel, in voxels of the first level, per dimension.

        The mean of voxels 0 to f - 1 lies at (f - 1) / 2.
        """
        return tuple((f - 1) / 2 for f in self.factors)


def levels(
    shape: Sequence[int], axes: str, spacing: Mapping[str, float], small: int = SMALL_ENOUGH
) -> list[Level]:
    """List a volume's resolutions, finest first.

    The finest axes are halved, and coarser ones once the others have caught up, so that voxels
    become nearly isotropic and then stay so.

    Parameters
    ----------
    shape
        Of the volume, one length per letter of `axes`.
    axes
        Letters of TCZYX.
    spacing
        Spacing by axis; unknown ones count as 1.
    small
        Stop once no spatial axis is longer than this.
    """
    resolutions = [Level(tuple(shape), (1,) * len(axes))]
    while (
        max(n for axis, n in zip(axes, resolutions[-1].shape, strict=True) if axis in "ZYX") > small
    ):
        last = resolutions[-1]
        halved = _halved(last, axes, spacing)
        resolutions.append(
            Level(
                tuple(n // 2 if i in halved else n for i, n in enumerate(last.shape)),
                tuple(f * (2 if i in halved else 1) for i, f in enumerate(last.factors)),
                halved,
            )
        )
    return resolutions


def pyramid(data: NDArray[Any], resolutions: Sequence[Level]) -> Iterator[NDArray[Any]]:
    """Yield `data` and its halvings, as `levels` lists them."""
    for level in resolutions:
        if level.halved:
            data = block_mean(data, level.halved)
        yield data


def block_mean(data: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    """Mean over pairs along each dimension in `halved`; an odd last voxel is dropped.

    Integers are rounded to the nearest, so the type stays. NaN is left out of means, and stays
    where there is nothing else.
    """
    # float32 holds sums of 16 bits exactly, not those of 32; float16 would overflow.
    exact = data.dtype.itemsize < 4 or data.dtype == np.float32
    wide = np.float32 if exact else np.float64
    trimmed = data[tuple(slice(n // 2 * 2 if i in halved else n) for i, n in enumerate(data.shape))]
    shape = [n // 2 if i in halved else n for i, n in enumerate(trimmed.shape)]
    out = np.empty(shape, dtype=data.dtype)
    # Slab by slab along the first dimension, so that no wide copy of all voxels is needed.
    step = 2 if 0 in halved else 1
    for index in range(shape[0]):
        slab = trimmed[index * step : (index + 1) * step].astype(wide)
        mean = _mean(slab, halved)
        out[index : index + 1] = mean if data.dtype.kind == "f" else np.rint(mean)
    return out


def _mean(slab: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    missing = np.isnan(slab)
    with np.errstate(invalid="ignore"):  # opposite infinities, and nothing over nothing
        if not missing.any():
            return _pairs(slab, halved)
        total = _pairs(np.where(missing, 0, slab), halved)
        share = _pairs((~missing).astype(slab.dtype), halved)
        mean: NDArray[Any] = total / share
    return mean


def _pairs(values: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    """Mean of pairs along some dimensions; halved before they are added, so that none overflows."""
    for axis in halved:
        pairs = [slice(None)] * values.ndim
        pairs[axis] = slice(0, None, 2)
        odd = [*pairs[:axis], slice(1, None, 2), *pairs[axis + 1 :]]
        values = values[tuple(pairs)] / 2 + values[tuple(odd)] / 2
    return values


def _halved(level: Level, axes: str, spacing: Mapping[str, float]) -> tuple[int, ...]:
    steps = {
        i: spacing.get(axis, 1.0) * level.factors[i]
        for i, axis in enumerate(axes)
        if axis in "ZYX" and level.shape[i] > 1
    }
    finest = min(steps.values())
    return tuple(i for i, step in steps.items() if step < 1.5 * finest)
