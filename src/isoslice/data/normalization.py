"""Normalization of intensities to about [0, 1] and back, by percentiles of a whole stack."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.damage import find_damage
from isoslice.data.likeness import Comparison, empty_likeness
from isoslice.data.missing import NONE_MISSING, Missing
from isoslice.data.percentiles import percentiles
from isoslice.data.plane_parts import Part, PlaneParts, parts_to_measure
from isoslice.data.survey import (
    OUTSIDE_SHARE,
    Limits,
    Survey,
    empty_survey,
    find_limits,
    measured_range,
)
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.runtime.progress import Progress

#: Percentiles mapped to 0 and 1; intensities beyond are not clipped.
PERCENTILES = (0.1, 99.9)
#: Bytes that are read at once for the percentiles.
MAX_PART_BYTES = 64 * 2**20

#: How far a restored voxel may lie beyond the measured ones, in parts of their range. Of thinned
#: volumes (FIB-SEM, micro-CT, MRI; 2x to 11x) the planes left out do by 0.1 at most, beads by 0.2.
BEYOND = 0.25


@dataclass(frozen=True)
class Normalization:
    """Intensities mapped to 0 and 1, one pair per channel.

    `invert` undoes `apply` exactly for integers of up to 16 bits, else up to float32 rounding.
    Padding (see `survey.Limits`) becomes 0, as the darkest voxels.

    Attributes
    ----------
    low, high
        Intensities that become 0 and 1.
    fill
        Intensity that replaces non-finite voxels, or None where all are finite.
    limits
        Limits of restored intensities, or None.
    """

    low: tuple[float, ...]
    high: tuple[float, ...]
    fill: tuple[float, ...] | None = None
    limits: tuple[Limits, ...] | None = None

    def _column(self, values: tuple[float, ...], ndim: int) -> NDArray[np.float64]:
        return np.asarray(values).reshape(-1, *([1] * (ndim - 1)))

    def apply(self, data: NDArray[Any]) -> NDArray[np.float32]:
        """Map intensities (C, ...) so that `low` becomes 0 and `high` 1; float32, finite."""
        low = self._column(self.low, data.ndim)
        scale = self._column(self.high, data.ndim) - low
        values: NDArray[np.float32] = ((data - low) / scale).astype(np.float32)
        if self.fill is not None:
            fill = ((self._column(self.fill, data.ndim) - low) / scale).astype(np.float32)
            finite = np.isfinite(values)
            if not finite.all():
                np.copyto(values, fill, where=~finite)
        for limits, normalized, stored in zip(self.limits or (), values, data, strict=False):
            if limits.padding:
                np.copyto(normalized, 0, where=stored == limits.outside)
        return values

    def without_padding(self, data: NDArray[Any]) -> NDArray[Any]:
        """Return a copy of a stack (T, C, ...) with padding replaced by `low`."""
        changed = data.copy()
        for channel, (low, limits) in enumerate(
            zip(self.low, self.limits_of(len(self.low)), strict=True)
        ):
            if limits.padding:
                part = changed[:, channel]
                part[part == limits.outside] = low if data.dtype.kind == "f" else np.rint(low)
        return changed

    def scale_deviations(self, data: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map normalised standard deviations (C, ...) to differences of intensities."""
        scale = self._column(self.high, data.ndim) - self._column(self.low, data.ndim)
        return data * scale.astype(np.float32)

    def invert(self, data: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
        """Undo `apply`: round to integers, clip to the type's range and the limits."""
        inverted = np.empty(data.shape, dtype)
        integer = np.issubdtype(dtype, np.integer)
        kind = np.iinfo(dtype) if integer else np.finfo(dtype)
        limits_of = self.limits_of(len(data))
        for index in np.ndindex(data.shape[: max(1, data.ndim - 2)]):  # planes: saves memory
            low, high = self.low[index[0]], self.high[index[0]]
            values = data[index] * np.float64(high - low) + low
            limits = limits_of[index[0]]
            if integer:
                np.rint(values, out=values)
            least = float(kind.min) if limits.floor is None else max(limits.floor, float(kind.min))
            most = float(kind.max)
            if limits.ceiling is not None:
                most = min(limits.ceiling, most)
            np.clip(values, least, most, out=values)
            inverted[index] = values
        return inverted

    def limits_of(self, channels: int) -> tuple[Limits, ...]:
        """Return the limits of each of `channels` channels, empty ones where unknown."""
        return (Limits(),) * channels if self.limits is None else self.limits

    def bounded(self, surveyed: Survey) -> Normalization:
        """Add limits to channels without: the range of measured voxels, and `BEYOND` it.

        What networks find between planes unlike any that they learned from may lie far beyond.
        """
        known = self.limits_of(len(self.low))
        found = [measured_range(surveyed, channel) for channel in range(len(known))]
        limits = map(_bounded, known, found, self.low)
        return replace(self, limits=tuple(limits))

    def of_channels(self, channels: slice) -> Normalization:
        """Return the normalization of some channels."""
        return Normalization(
            self.low[channels],
            self.high[channels],
            None if self.fill is None else self.fill[channels],
            None if self.limits is None else self.limits[channels],
        )


def _bounded(limits: Limits, measured: tuple[float, float] | None, low: float) -> Limits:
    if measured is None:
        return limits
    least, most = measured
    room = BEYOND * (most - (low if limits.padding else least))
    return replace(
        limits,
        floor=least - room if limits.floor is None else limits.floor,
        ceiling=most + room if limits.ceiling is None else limits.ceiling,
    )


def check_finite(data: NDArray[Any], source: str) -> None:
    """Raise `DataError` if floating-point `data` holds NaN or infinity."""
    if np.issubdtype(data.dtype, np.floating) and not np.isfinite(data).all():
        bad = int(data.size - np.isfinite(data).sum())
        raise DataError(
            f"{source}: got {bad} voxels that are NaN or infinite, expected finite numbers; "
            "replace them first (for example by numpy.nan_to_num)"
        )


def fixed_normalization(low: float, high: float, channels: int) -> Normalization:
    """Map `low` to 0 and `high` to 1 in every channel.

    Raises
    ------
    SettingsError
        If `high` is not above `low`.
    """
    if not (np.isfinite([low, high]).all() and high > low):
        raise SettingsError(f"got intensities {low:g} to {high:g}, expected two rising numbers")
    return Normalization((float(low),) * channels, (float(high),) * channels)


def percentile_normalization(data: NDArray[Any], source: str = "array") -> Normalization:
    """Compute the normalization of an array by the percentiles of each channel.

    Parameters
    ----------
    data
        Shape (C, ...); finite voxels of a channel are pooled, blank planes left out.
    source
        Name for messages.

    Raises
    ------
    DataError
        If every channel is constant. If only some are, their value becomes 0.
    """
    rows = data if data.ndim > 2 else data[:, None]
    planes = rows.reshape(1, len(data), -1, *rows.shape[-2:])
    return measure_stack(planes, source)[0]


def measure_stack(
    planes: NDArray[Any],
    source: str,
    fixed: tuple[float, float] | None = None,
    missing: Missing = NONE_MISSING,
    progress: Progress | None = None,
) -> tuple[Normalization, Survey]:
    """Compute the normalization and the survey of a stack in memory.

    Parameters
    ----------
    planes
        Shape (T, C, n, Y, X).
    source
        Name for messages.
    fixed
        Intensities that become 0 and 1, whatever the stack holds.
    missing
        Planes that are left out, and whether others are looked for.
    progress
        Hears how far it is, of a large stack.

    Raises
    ------
    DataError
        If every channel is constant, or has no finite voxel.
    """
    times, channels, depth = planes.shape[:3]
    deep = max(1, MAX_PART_BYTES // max(1, planes[0, 0, :1].nbytes))
    starts = [(t, z) for t in range(times) for z in range(0, depth, deep)]

    def parts(channel: int) -> PlaneParts:
        def part(t: int, z: int) -> Part:
            return t, z, planes[t, channel, z : z + deep]

        return parts_to_measure(starts, part, channel, channels, progress or Progress())

    every = [parts(c) for c in range(channels)]
    surveyed, dtype = _survey(every, planes.shape[:3], planes.shape[3], source, missing)
    return _normalization(every, surveyed, dtype, source, fixed), surveyed


def measure_in_parts(
    volume: Volume,
    progress: Progress,
    fixed: tuple[float, float] | None = None,
    missing: Missing = NONE_MISSING,
) -> tuple[Normalization, Survey]:
    """Do as `measure_stack` for a volume that is read part by part."""
    times, channels, depth, height, width = (volume.size(axis) for axis in "TCZYX")
    # Whole chunks, up to MAX_PART_BYTES: a chunk that is read in parts is decoded for each.
    chunk = getattr(volume.data, "chunks", None) or volume.data.shape
    deep, high = (chunk[volume.axes.index(axis)] if axis in volume.axes else 1 for axis in "ZY")
    room = max(1, MAX_PART_BYTES // (width * volume.data.dtype.itemsize))
    high = min(height, max(high, room // deep // high * high))
    deep = min(depth, max(deep, room // high // deep * deep))
    starts = [
        (t, z, y)
        for t in range(times)
        for z in range(0, depth, deep)
        for y in range(0, height, high)
    ]

    def parts(channel: int) -> PlaneParts:
        def part(t: int, z: int, y: int) -> Part:
            rows, planes = slice(y, min(y + high, height)), slice(z, min(z + deep, depth))
            return t, z, volume.read((t, channel, planes, rows))

        return parts_to_measure(starts, part, channel, channels, progress)

    every = [parts(c) for c in range(channels)]
    shape = times, channels, depth
    surveyed, dtype = _survey(every, shape, height, volume.source, missing)
    return _normalization(every, surveyed, dtype, volume.source, fixed), surveyed


def _survey(
    channels: Sequence[PlaneParts],
    shape: tuple[int, int, int],
    height: int,
    source: str,
    missing: Missing,
) -> tuple[Survey, np.dtype[Any]]:
    """Survey all planes and find damaged ones; return the type of the voxels, too."""
    surveyed, compared = empty_survey(*shape), Comparison(empty_likeness(*shape))
    dtype = np.dtype(np.uint8)
    for c, parts in enumerate(channels):
        for t, first, part in parts():
            dtype = part.dtype
            for z, plane in enumerate(part):
                surveyed.add(t, c, first + z, plane)
                if missing.find:
                    compared.add(t, c, first + z, plane, height)
    if not surveyed.finite.any():
        raise DataError(
            f"{source}: got no finite voxel at all, expected an image; check that the right file "
            "or channel was given"
        )
    surveyed.damage = find_damage(surveyed, compared.likeness, missing)
    return surveyed, dtype


def _normalization(
    channels: Sequence[PlaneParts],
    surveyed: Survey,
    dtype: np.dtype[Any],
    source: str,
    fixed: tuple[float, float] | None,
) -> Normalization:
    kept = tuple(find_limits(surveyed, c, dtype) for c in range(len(channels)))
    levels = [_percentiles(parts, surveyed, c) for c, parts in enumerate(channels)]
    for c, parts in enumerate(channels):
        unpadded = _percentiles_without_padding(parts, surveyed, c, kept[c].outside)
        if unpadded is not None:
            levels[c] = unpadded
            kept = (*kept[:c], replace(kept[c], padding=True), *kept[c + 1 :])
    if fixed is not None:
        normalization = fixed_normalization(*fixed, len(channels))
    else:
        normalization = _from_percentiles([pair[:2] for pair in levels], surveyed, source)
    fill = tuple(middle for _, _, middle in levels) if surveyed.holes else None
    return replace(normalization, fill=fill, limits=kept)


def _percentiles_without_padding(
    parts: PlaneParts, surveyed: Survey, channel: int, outside: float | None
) -> tuple[float, float, float] | None:
    """Compute a channel's percentiles without its padding; None where it has none.

    The gap between padding and the other intensities is wider than their range, as for -32768
    beside Hounsfield units.
    """
    least = surveyed.least[:, channel]
    if outside is None or np.isnan(least).all() or outside != np.nanmin(least):
        return None
    count = surveyed.at_least[:, channel][least == outside].sum()
    if count / surveyed.finite[:, channel].sum() < OUTSIDE_SHARE:
        return None
    for _, _, part in parts():  # the first part may rule it out
        rest = part[(part != outside) & np.isfinite(part)]
        if rest.size:
            if outside >= 2.0 * float(rest.min()) - float(rest.max()):
                return None
            break
    else:
        return None
    low, high, middle = _percentiles(parts, surveyed, channel, outside)
    return (low, high, middle) if outside < 2 * low - high else None


def _percentiles(
    parts: PlaneParts, surveyed: Survey, channel: int, outside: float | None = None
) -> tuple[float, float, float]:
    """Compute the percentiles of a channel that become 0 and 1, and its median if it has holes.

    Blank and damaged planes and voxels equal to `outside` are left out.
    """
    useless = surveyed.useless[:, channel]
    whole = useless.all()  # a constant channel

    def numbers() -> Iterator[NDArray[Any]]:
        for t, first, part in parts():
            left_out = useless[t, first : first + len(part)]
            voxels = part if whole or not left_out.any() else part[~left_out]
            if voxels.dtype.kind == "f" and surveyed.holes:
                voxels = voxels[np.isfinite(voxels)]
            yield voxels if outside is None else voxels[voxels != outside]

    if not surveyed.finite[:, channel].any():
        return 0.0, 0.0, 0.0
    wanted = (*PERCENTILES, 50.0) if surveyed.holes else PERCENTILES
    low, high, *middle = percentiles(numbers, wanted)
    return low, high, middle[0] if middle else low


def _from_percentiles(
    levels: Sequence[tuple[float, float]], surveyed: Survey, source: str
) -> Normalization:
    """Choose the intensities that become 0 and 1 from each channel's percentiles.

    Raises
    ------
    DataError
        If every channel is constant.
    """
    lows, highs = [], []
    for channel, (low, high) in enumerate(levels):
        if not high > low:  # a sparse signal: almost all voxels are equal
            least, most = surveyed.least[:, channel], surveyed.most[:, channel]
            seen = not np.isnan(least).all()
            low, high = (float(np.nanmin(least)), float(np.nanmax(most))) if seen else (0.0, 0.0)
        lows.append(low)
        highs.append(high)
    if not any(high > low for low, high in zip(lows, highs, strict=True)):
        raise DataError(
            f"{source}: got a constant image (every voxel is {lows[0]:g}), expected structure to "
            "learn from; check that the right file or channel was given"
        )
    return Normalization(
        tuple(lows), tuple(h if h > lo else lo + 1 for lo, h in zip(lows, highs, strict=True))
    )
