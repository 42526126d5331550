"""Distance of volumes from the truth: L1, PSNR, SSIM, which SliceFID does not measure."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.evaluation.benchmark.data import BenchmarkData
from isoslice.evaluation.benchmark.intervals import mean_interval, psnr_interval
from isoslice.evaluation.benchmark.realism import Scorer
from isoslice.evaluation.evaluate import mean_scores, score
from isoslice.evaluation.metrics import data_range_of


def fidelity_of(
    name: str, volume: NDArray[np.float32], data: BenchmarkData, grid: PlaneGrid, scorer: Scorer
) -> dict[str, Any]:
    """Compute L1 and PSNR over unmeasured planes with intervals, SSIM and roughness along Z.

    Returns
    -------
    ``{"l1": {"value": ..., "low": ..., "high": ...}, ...}``; errors in units of the truth's range.
    """

    def compute() -> dict[str, Any]:
        ranges = [data_range_of(channel) for channel in data.truth.swapaxes(0, 1)]
        pairs = [
            (v, t, r)
            for block, true in zip(volume, data.truth, strict=True)
            for v, t, r in zip(block, true, ranges, strict=True)
        ]
        scores = mean_scores([score(v, t, r, ~grid.mask) for v, t, r in pairs])
        error = np.stack([(v - t)[~grid.mask].astype(np.float64) / r for v, t, r in pairs])
        # One number for each unmeasured plane of each block: channels are averaged.
        error = error.reshape(len(volume), len(ranges), *error.shape[1:])
        absolute = np.abs(error).mean((1, 3, 4)).ravel()
        squared = np.square(error).mean((1, 3, 4)).ravel()
        seed = scorer.settings.seed
        return {
            "l1": mean_interval(absolute, seed),
            "psnr": psnr_interval(squared, seed),
            "ssim": {"value": scores.ssim},
            "gradient_z": {"value": scores.gradient_ratio["Z"]},
        }

    return scorer.store.record(f"fidelity/{name}", compute)
