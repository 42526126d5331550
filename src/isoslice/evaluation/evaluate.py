"""Score a restored volume against the truth; scores as data, and as rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid, check_factor, even_grid
from isoslice.data.psnr import pooled_psnr, psnr
from isoslice.data.recorded import (
    are_points,
    recorded_axis,
    recorded_lost,
    recorded_positions,
)
from isoslice.data.units import METRES, convert
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.metrics import (
    SSIM_WINDOW,
    data_range_of,
    gradient_ratio,
    l1,
    mean_known,
    ssim,
)

#: Slice directions, and the array axis of a (Z, Y, X) volume that each one runs along.
SLICES = {"XY": 0, "XZ": 1, "YZ": 2}


@dataclass(frozen=True)
class SliceScores:
    """Mean scores over all slices of one direction.

    Attributes
    ----------
    psnr
        In dB, over the slices that differ from the truth; infinite if none does.
    ssim
        None where slices are smaller than SSIM's window.
    """

    psnr: float
    ssim: float | None


@dataclass(frozen=True)
class Scores:
    """Scores of one volume.

    Attributes
    ----------
    l1
        Mean absolute difference over all voxels, relative to the data range.
    psnr
        Over all voxels, in dB.
    psnr_missing
        Over the planes that were not measured; None where the factor is unknown. Where planes are
        blurred, noisy or between output planes, no output plane was.
    ssim
        Mean over the slices of all three directions.
    slices
        Per direction: ``XY``, ``XZ``, ``YZ``.
    gradient_ratio
        Along ``Z``, ``Y``, ``X``: 1 is as rough as the truth, less is smoother.
    """

    l1: float
    psnr: float
    psnr_missing: float | None
    ssim: float | None
    slices: dict[str, SliceScores]
    gradient_ratio: dict[str, float | None]


@dataclass(frozen=True)
class ChannelScores:
    """Scores of one channel at one time point, with the range they refer to."""

    time: int
    channel: int
    name: str | None
    data_range: float
    scores: Scores


@dataclass(frozen=True)
class Evaluation:
    """Result of `evaluate`; ``dataclasses.asdict`` gives plain data.

    Attributes
    ----------
    truth, restored
        Sources of the two volumes.
    factor
        Output planes per measured plane, or None where unknown.
    shape
        Shape compared, (T, C, Z, Y, X).
    mean
        Mean over time points and channels, see `mean_scores`.
    channels
        Scores of each.
    notes
        What the reader of the scores must know.
    """

    truth: str
    restored: str
    factor: int | None
    shape: tuple[int, ...]
    mean: Scores
    channels: tuple[ChannelScores, ...]
    notes: tuple[str, ...]


def evaluate(
    truth: Volume,
    restored: Volume,
    *,
    factor: int | None = None,
    data_range: float | None = None,
) -> Evaluation:
    """Compare a restored volume with the true one.

    Channels and time points are scored one by one, each with its own data range, then averaged.

    Parameters
    ----------
    truth, restored
        Volumes of the same shape, in any order of axes. With a known factor the truth may have
        planes behind the last measured one; they are left out.
    factor
        Output planes per measured plane; by default what the restored volume's provenance says.
    data_range
        Range that PSNR and SSIM refer to; by default `metrics.data_range_of` each channel.

    Raises
    ------
    DataError
        If shapes don't fit, a voxel is NaN or infinite, or the truth is constant.
    SettingsError
        If `factor` is below 2 or `data_range` not positive.
    """
    if data_range is not None and not (np.isfinite(data_range) and data_range > 0):
        raise SettingsError(f"got a data range of {data_range}, expected a positive number")
    notes: list[str] = []
    factor = recorded_factor(restored, factor, notes)
    along = recorded_axis(restored)
    if along != "Z":
        notes.append(f"restored along {along}: missing planes are those across it")
    axis = "ZYX".index(along)
    true, ours = _aligned(truth, restored, factor, notes, axis + 2)
    for volume, voxels in ((truth, true), (restored, ours)):
        _check_finite(volume.source, voxels)
    _compare_spacing(truth, restored, notes)
    depth, height, width = true.shape[2:]
    for name, sides in {"XY": (height, width), "XZ": (depth, width), "YZ": (depth, height)}.items():
        if min(sides) < SSIM_WINDOW:
            notes.append(
                f"no SSIM of {name} slices: {sides[0]} x {sides[1]} is smaller than its window "
                f"of {SSIM_WINDOW}"
            )
    grid = None if factor is None else measured_grid(restored, factor, true.shape[axis + 2])
    missing = None if grid is None else _missing_planes(restored, grid, true.shape[axis + 2], notes)
    names = truth.channel_names or restored.channel_names
    channels = []
    for t, c in np.ndindex(true.shape[:2]):
        peak = data_range_of(true[t, c]) if data_range is None else float(data_range)
        hidden = missing
        if missing is not None and grid is not None:
            numbers = recorded_lost(restored.provenance, t, c)
            lost = [grid.known[z] for z in numbers if z < len(grid.known)]
            hidden = missing | np.isin(np.arange(len(missing)), lost)
        scores = score(ours[t, c], true[t, c], peak, hidden, axis)
        channels.append(ChannelScores(t, c, names[c] if names else None, peak, scores))
    return Evaluation(
        truth=truth.source,
        restored=restored.source,
        factor=factor,
        shape=true.shape,
        mean=mean_scores([channel.scores for channel in channels]),
        channels=tuple(channels),
        notes=tuple(notes),
    )


def score(
    volume: NDArray[Any],
    truth: NDArray[Any],
    data_range: float,
    missing: NDArray[np.bool_] | None = None,
    along: int = 0,
) -> Scores:
    """Score one volume (Z, Y, X); `missing` marks planes along an axis that were not measured."""
    slices, similarities = {}, []
    for name, axis in SLICES.items():
        pairs = list(zip(np.moveaxis(volume, axis, 0), np.moveaxis(truth, axis, 0), strict=True))
        # Unchanged measured planes have an infinite PSNR, which `_finite_mean` leaves out.
        ratios = [psnr(ours, true, data_range) for ours, true in pairs]
        alike = [ssim(ours, true, data_range) for ours, true in pairs]
        similarities += alike
        slices[name] = SliceScores(_finite_mean(ratios), mean_known(alike))
    return Scores(
        l1=l1(volume, truth) / data_range,
        psnr=psnr(volume, truth, data_range),
        psnr_missing=None
        if missing is None
        else psnr(volume.compress(missing, along), truth.compress(missing, along), data_range),
        ssim=mean_known(similarities),
        slices=slices,
        gradient_ratio=dict(zip("ZYX", gradient_ratio(volume, truth), strict=True)),
    )


def mean_scores(scores: Sequence[Scores]) -> Scores:
    """Average every score; None where it is None for all.

    PSNR is that of the mean squared error, so that one channel without an error does not make it
    infinite; PSNR of slices is the mean over volumes with slices that differ from the truth.
    """
    missing = [s.psnr_missing for s in scores if s.psnr_missing is not None]
    return Scores(
        l1=float(np.mean([s.l1 for s in scores])),
        psnr=pooled_psnr([s.psnr for s in scores]),
        psnr_missing=pooled_psnr(missing) if missing else None,
        ssim=mean_known([s.ssim for s in scores]),
        slices={
            name: SliceScores(
                psnr=_finite_mean([s.slices[name].psnr for s in scores]),
                ssim=mean_known([s.slices[name].ssim for s in scores]),
            )
            for name in SLICES
        },
        gradient_ratio={
            axis: mean_known([s.gradient_ratio[axis] for s in scores]) for axis in ("Z", "Y", "X")
        },
    )


def evaluation_rows(evaluations: Sequence[Evaluation]) -> list[tuple[str, ...]]:
    """Make one row per score: its name, then its value for each evaluation."""

    def row(name: str, values: list[float | None], digits: int) -> tuple[str, ...]:
        return (name, *("-" if value is None else f"{value:.{digits}f}" for value in values))

    means = [evaluation.mean for evaluation in evaluations]
    rows = [
        row("L1, all voxels", [m.l1 for m in means], 4),
        row("PSNR, all voxels (dB)", [m.psnr for m in means], 2),
    ]
    if any(m.psnr_missing is not None for m in means):
        rows.append(row("PSNR, missing planes (dB)", [m.psnr_missing for m in means], 2))
    rows += [
        row(f"PSNR, {name} slices (dB)", [m.slices[name].psnr for m in means], 2) for name in SLICES
    ]
    rows.append(row("SSIM, all slices", [m.ssim for m in means], 4))
    rows += [
        row(f"SSIM, {name} slices", [m.slices[name].ssim for m in means], 4) for name in SLICES
    ]
    rows += [
        row(f"gradient ratio along {axis}", [m.gradient_ratio[axis] for m in means], 3)
        for axis in ("Z", "Y", "X")
    ]
    return rows


def _finite_mean(ratios: Sequence[float]) -> float:
    finite = [ratio for ratio in ratios if np.isfinite(ratio)]
    return float(np.mean(finite)) if finite else float("inf")


def recorded_factor(restored: Volume, given: int | None, notes: list[str]) -> int | None:
    """Return the factor given, else the one in the volume's provenance; note if they differ."""
    recorded = (restored.provenance or {}).get("factor")
    if given is None:
        return None if recorded is None else check_factor(recorded)
    if recorded is not None and recorded != given:
        notes.append(f"factor {given} as asked; {restored.source} says it was made with {recorded}")
    return check_factor(given)


def _aligned(
    truth: Volume, restored: Volume, factor: int | None, notes: list[str], axis: int
) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return both as (T, C, Z, Y, X) of the same shape; `axis` is the one restored along."""
    true, ours = truth.tczyx(), restored.tczyx()
    if factor is not None and true.shape != ours.shape:
        depth = measured_grid(restored, factor, true.shape[axis]).depth
        cropped = np.take(true, range(depth), axis=axis)
        if cropped.shape == ours.shape:
            notes.append(
                f"left out the last {true.shape[axis] - ours.shape[axis]} of the truth's "
                f"{true.shape[axis]} planes: they lie behind the last measured one"
            )
            return cropped, ours
    if true.shape != ours.shape:
        advice = (
            "crop one of them, or correct --axes"
            if factor is not None
            else "give --factor if the truth has planes behind the last measured one, else crop "
            "one of them or correct --axes"
        )
        raise DataError(
            f"got {truth.source} of shape {true.shape} and {restored.source} of shape "
            f"{ours.shape} (T, C, Z, Y, X), expected equal shapes; {advice}"
        )
    return true, ours


def measured_grid(restored: Volume, factor: int, depth: int) -> PlaneGrid:
    """Return where the planes lie that a volume of `depth` planes was restored from.

    As the volume records it, unless another factor was asked for.

    Raises
    ------
    DataError
        If fewer than two planes lie there.
    """
    places = recorded_positions(restored.provenance)
    if places is not None and (restored.provenance or {}).get("factor") == factor:
        return PlaneGrid(tuple(z for z in places if z <= depth - 1))
    measured = (depth - 1) // factor + 1
    if measured < 2:
        raise DataError(
            f"got {depth} planes and factor {factor}, expected at least {factor + 1} planes; "
            f"give the right one, for example --factor {max(2, depth - 1)}"
        )
    return even_grid(measured, factor)


def _missing_planes(
    restored: Volume, grid: PlaneGrid, depth: int, notes: list[str]
) -> NDArray[np.bool_]:
    """Mark planes that were restored, (depth,): all of them, unless planes are points."""
    # Planes behind the last measured one were not measured either.
    missing = np.ones(depth, dtype=bool)
    if are_points(restored.provenance):
        missing[: grid.depth] = ~grid.mask
    else:
        notes.append(
            "its measured planes are blurred, noisy or between output planes, so that all planes "
            "count as missing"
        )
    return missing


def _check_finite(source: str, voxels: NDArray[Any]) -> None:
    if voxels.dtype.kind == "f" and not np.isfinite(voxels).all():
        count = int((~np.isfinite(voxels)).sum())
        raise DataError(
            f"{source}: got {count} voxels that are NaN or infinite, expected numbers; crop or "
            "fill them first"
        )


def _compare_spacing(truth: Volume, restored: Volume, notes: list[str]) -> None:
    unit, other = truth.unit or "", restored.unit or ""
    for axis in "ZYX":
        true, ours = truth.spacing.get(axis), restored.spacing.get(axis)
        if true and ours and unit in METRES and other in METRES:
            ours = convert(ours, other, unit)
        if true and ours and abs(ours / true - 1) > 0.02:
            notes.append(
                f"voxel sizes disagree along {axis}: {true:g} in the truth, {ours:g} in "
                f"{restored.source}"
            )
