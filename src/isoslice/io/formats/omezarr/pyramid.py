"""Multi-resolution pyramids: means over blocks of two."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Longest spatial side of the coarsest level.
COARSEST_SIDE = 256


@dataclass(frozen=True)
class Level:
    """One resolution of a pyramid.

    Attributes
    ----------
    shape
        Length along each axis.
    factors
        Size of a voxel in voxels of the first level, per dimension.
    halved
        Dimensions that were halved from the previous level.
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
    shape: Sequence[int], axes: str, spacing: Mapping[str, float], small: int = COARSEST_SIDE
) -> list[Level]:
    """List a volume's resolutions, finest first.

    Axes with the finest spacing are halved first, so that voxels become nearly isotropic and stay
    so.

    Parameters
    ----------
    shape
        Shape of the volume, one length per letter of `axes`.
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
    """Yield `data` at each resolution that `levels` lists."""
    for level in resolutions:
        if level.halved:
            data = block_mean(data, level.halved)
        yield data


def block_mean(data: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    """Average pairs along each dimension in `halved`; an odd last voxel is dropped.

    Integers are rounded to the nearest, so the type stays. NaN is ignored, and results where there
    is nothing else.
    """
    # float32 is exact for means of 16-bit integers, not of 32-bit ones; float16 would overflow.
    exact = data.dtype.itemsize < 4 or data.dtype == np.float32
    wide = np.float32 if exact else np.float64
    trimmed = data[tuple(slice(n // 2 * 2 if i in halved else n) for i, n in enumerate(data.shape))]
    shape = [n // 2 if i in halved else n for i, n in enumerate(trimmed.shape)]
    out = np.empty(shape, dtype=data.dtype)
    # Slab by slab along the first dimension, without a wide copy of all voxels.
    step = 2 if 0 in halved else 1
    for index in range(shape[0]):
        slab = trimmed[index * step : (index + 1) * step].astype(wide)
        mean = _mean(slab, halved)
        out[index : index + 1] = mean if data.dtype.kind == "f" else np.rint(mean)
    return out


def _mean(slab: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    missing = np.isnan(slab)
    with np.errstate(invalid="ignore"):  # inf - inf, and 0 / 0
        if not missing.any():
            return _pairs(slab, halved)
        total = _pairs(np.where(missing, 0, slab), halved)
        share = _pairs((~missing).astype(slab.dtype), halved)
        mean: NDArray[Any] = total / share
    return mean


def _pairs(values: NDArray[Any], halved: Sequence[int]) -> NDArray[Any]:
    """Average pairs along some dimensions; halved before adding, to avoid overflow."""
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
