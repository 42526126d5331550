"""Scores of one volume, each computed once: against the truth, and against real images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import even_grid
from isoslice.data.psnr import psnr
from isoslice.evaluation.benchmark.realism import Scorer
from isoslice.evaluation.benchmark.store import Store
from isoslice.evaluation.evaluate import mean_scores, score
from isoslice.evaluation.spectra import ShellCorrelation, power_spectrum_ratio, shell_correlation
from suite.cases import CaseData
from suite.store import Restored

TRUTH = "truth"
AXES = "ZYX"


@dataclass(frozen=True)
class Scored:
    """One row of the tables.

    Attributes
    ----------
    method
        Its name.
    restored
        What was scored; None for the truth itself.
    fidelity
        Over the whole volume, or over the blocks where there is no more; empty for the truth.
    blocks
        The same over the blocks.
    realism
        SliceFID of the blocks.
    science
        Agreement of segmentations, for each kind of bodies (`suite.science`).
    """

    method: str
    restored: Restored | None
    fidelity: dict[str, Any]
    blocks: dict[str, Any]
    realism: dict[str, Any]
    science: dict[str, dict[str, Any]] = field(default_factory=dict)


def scored(case: CaseData, scorer: Scorer, store: Store, found: Restored) -> Scored:
    """Score one volume, unless that was done before."""
    truth = case.truth.data
    true_blocks = case.blocks(truth)
    blocks = found.volume if found.blocks_only else case.blocks(found.volume)
    missing = case.missing(found.factor, case.block[0])

    def of_blocks() -> dict[str, Any]:
        return fidelity(list(blocks), list(true_blocks), missing, case.data_range)

    def of_all() -> dict[str, Any]:
        whole = case.missing(found.factor)
        return fidelity([found.volume], [truth], whole, case.data_range)

    on_blocks = store.record(f"scores/blocks/{found.key}", of_blocks)
    return Scored(
        found.method,
        found,
        on_blocks if found.blocks_only else store.record(f"scores/whole/{found.key}", of_all),
        on_blocks,
        realism(scorer, found.key, blocks, found.factor),
    )


def scored_truth(case: CaseData, scorer: Scorer, factor: int) -> Scored:
    """SliceFID of the true blocks: the floor."""
    blocks = case.blocks(case.truth.data)
    return Scored(TRUTH, None, {}, {}, realism(scorer, f"{factor}x/{TRUTH}", blocks, factor))


def realism(scorer: Scorer, name: str, blocks: NDArray[Any], factor: int) -> dict[str, Any]:
    """SliceFID and KID of blocks (B, Z, Y, X); measured planes are left out of XY."""
    known = even_grid((blocks.shape[1] - 1) // factor + 1, factor).known
    return scorer.score(name, lambda: blocks[:, None].astype(np.float32), known, "default")


def fidelity(
    volumes: Sequence[NDArray[Any]],
    truths: Sequence[NDArray[Any]],
    missing: NDArray[np.bool_],
    data_range: float,
) -> dict[str, Any]:
    """Compare volumes of one size with their truths.

    Returns
    -------
    Plain data: ``psnr`` pooled over the missing planes of all volumes; ``ssim``, ``gradient`` and
    ``power`` (fine detail relative to the truth's, per axis) as means over volumes; ``fsc`` and
    ``fsc_z`` (a cone of 30 degrees along Z): cutoffs in cycles a voxel and the mean curves.
    """
    pairs = list(zip(volumes, truths, strict=True))
    scores = mean_scores([score(ours, true, data_range) for ours, true in pairs])
    power = [power_spectrum_ratio(ours, true) for ours, true in pairs]
    return {
        "psnr": psnr(
            np.concatenate([ours[missing] for ours, _ in pairs]),
            np.concatenate([true[missing] for _, true in pairs]),
            data_range,
        ),
        "ssim": scores.ssim,
        "gradient": scores.gradient_ratio,
        "power": {axis: _mean([p[i] for p in power]) for i, axis in enumerate(AXES)},
        "fsc": _correlation(pairs, None),
        "fsc_z": _correlation(pairs, 0),
    }


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _correlation(
    pairs: Sequence[tuple[NDArray[Any], NDArray[Any]]], axis: int | None
) -> dict[str, Any]:
    found = [shell_correlation(ours, true, axis=axis) for ours, true in pairs]
    known = np.stack([one.correlation for one in found])
    # A shell without power, in all of the volumes, stays NaN.
    count = np.isfinite(known).sum(0)
    total = np.nansum(known, axis=0)
    mean = np.divide(total, count, out=np.full(len(count), np.nan), where=count > 0)
    curve = ShellCorrelation(found[0].frequency, mean)
    return {
        "cutoff": _number(curve.cutoff()),
        "frequency": curve.frequency.tolist(),
        "correlation": [_number(value) for value in mean],
    }


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
