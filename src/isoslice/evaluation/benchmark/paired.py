"""The paired task: hide and restore rows of real 2D images (paper, section 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.baselines import interpolate_rows
from isoslice.data.grid import even_grid
from isoslice.data.normalization import fixed_normalization, percentile_normalization
from isoslice.evaluation.benchmark.data import BenchmarkData
from isoslice.evaluation.benchmark.intervals import mean_interval, psnr_interval
from isoslice.evaluation.benchmark.realism import Scorer
from isoslice.evaluation.benchmark.settings import BenchmarkSettings
from isoslice.evaluation.benchmark.store import Store
from isoslice.evaluation.metrics import ssim
from isoslice.evaluation.slicefid.distances import bootstrap_interval
from isoslice.evaluation.slicefid.features import Features
from isoslice.evaluation.slicefid.slices import plane_images
from isoslice.inference.model import Model
from isoslice.inference.recipes.residual import DEFAULT_STEPS
from isoslice.inference.rows import restore_rows
from isoslice.inference.stack_units import in_units, units_of_planes
from isoslice.models.config import ModelConfig
from isoslice.runtime.device import choose_device
from isoslice.runtime.progress import Progress

Crops = NDArray[np.float32]
METHODS_2D = ("nearest", "linear", "cubic")


@dataclass(frozen=True)
class PairedImages:
    """Crops of true planes, normalised, shape (N, C, side, side).

    Only the first `rows` rows are scored; the first and the last of them are known at every factor.
    """

    images: Crops
    rows: int

    @property
    def truth(self) -> Crops:
        """Rows that are scored, shape (N, C, rows, side)."""
        return self.images[:, :, : self.rows]


def paired_images(data: BenchmarkData, settings: BenchmarkSettings) -> PairedImages:
    """Draw crops of the truth's planes, the same for every method."""
    rng = np.random.default_rng(settings.seed)
    truth, side = data.truth, settings.paired_side
    count, channels, depth, height, width = truth.shape
    side = min(side, height // 8 * 8, width // 8 * 8)
    normalization = (
        fixed_normalization(0, 1, channels)
        if settings.srh
        else percentile_normalization(truth.swapaxes(0, 1).reshape(channels, -1))
    )
    # Few planes are each cropped several times.
    planes = np.linspace(0, count * depth - 1, settings.paired_images).round().astype(int)
    tops, lefts = (rng.integers(0, n - side + 1, len(planes)) for n in (height, width))
    crops = [
        truth[z // depth, :, z % depth, y : y + side, x : x + side]
        for z, y, x in zip(planes, tops, lefts, strict=True)
    ]
    step = max(settings.factors)
    return PairedImages(
        np.stack([normalization.apply(crop) for crop in crops]), (side - 1) // step * step + 1
    )


def paired_results(
    pairs: PairedImages,
    factor: int,
    models: Mapping[str, Model],
    settings: BenchmarkSettings,
    store: Store,
    device: str,
    progress: Progress,
) -> dict[str, Crops]:
    """Restore the crops by every method; returns images (N, C, rows, side) by method."""
    rows = pairs.rows
    grid = even_grid((rows - 1) // factor + 1, factor)
    known = pairs.truth[:, :, list(grid.nearest)]
    results = {name: interpolate_rows(known, grid, name) for name in METHODS_2D}
    chosen = choose_device(device)
    mask = torch.zeros(pairs.images.shape[2], dtype=torch.bool)
    mask[list(grid.nearest)] = True
    for entry in settings.models:
        model = models[entry.name]
        has_modes = model.config.recipe == "isoslice"
        for mode in ("mean", "sample") if has_modes else (None,):
            name = f"{entry.name}, {mode}" if mode else entry.name

            def compute(model: Model = model, mode: Any = mode, entry: Any = entry) -> Crops:
                progress.note(f"restoring rows at {factor}x by {name}")  # noqa: B023
                images = torch.from_numpy(pairs.images).to(chosen)
                restored = restore_rows(
                    model.network.to(chosen),
                    _in_units_of(model, pairs).config,
                    images,
                    mask.expand(len(images), -1).to(chosen),
                    mode=mode or "sample",
                    steps=entry.steps or _default_steps(model),
                    seed=settings.seed,
                )
                return restored.cpu().numpy()[:, :, :rows]

            results[name] = store.array(f"paired/{factor}x/{name}", compute)
    return results


def score_pairs(
    pairs: PairedImages, images: Crops, name: str, scorer: Scorer, settings: BenchmarkSettings
) -> dict[str, Any]:
    """Compute L1, PSNR, SSIM and FID against the true crops, with intervals, as plain data.

    L1 and PSNR are over known and hidden rows; PSNR is that of the mean squared error over all
    crops. Intensities as normalised, data range 1.
    """

    def compute() -> dict[str, Any]:
        truth = pairs.truth
        error = images.astype(np.float64) - truth
        # One number for each channel of each crop; NaN where a crop has none.
        alike = np.array(
            [
                [ssim(a, b, 1.0) for a, b in zip(x, y, strict=True)]
                for x, y in zip(images, truth, strict=True)
            ],
            np.float64,
        )
        scores: dict[str, Any] = {
            "l1": mean_interval(np.abs(error).mean((1, 2, 3)), settings.seed),
            "psnr": psnr_interval(np.square(error).mean((1, 2, 3)), settings.seed),
            "ssim": mean_interval(alike.mean(1), settings.seed),
        }
        real = _features(truth, scorer, "paired truth", keep=True)
        fake = _features(images, scorer, f"paired {name}")
        interval = bootstrap_interval(
            "fid",
            real.values,
            fake.values,
            real.groups,
            fake.groups,
            settings.resamples,
            seed=settings.seed,
        )
        scores["fid"] = {"value": interval.estimate, "low": interval.low, "high": interval.high}
        return scores

    return scorer.store.record(f"paired/scores/{name}", compute)


def _features(images: Crops, scorer: Scorer, title: str, keep: bool = False) -> Features:
    """Extract features of the square centres of `images`; intensities 0 to 1 are black to white."""
    mapping = fixed_normalization(0, 1, images.shape[1])
    shown = plane_images(_square(images), "default", mapping)

    def compute() -> NDArray[np.float32]:
        return scorer.features(shown, title).values

    values = scorer.store.array(f"features/{title}", compute) if keep else compute()
    return Features(values, scorer.extractor.name, shown.groups)


def _in_units_of(model: Model, pairs: PairedImages) -> Model:
    """Return a model in the units of the images, as if they were the planes of a stack."""
    config = model.config
    if not isinstance(config, ModelConfig) or not config.per_stack:
        return model
    (units,) = units_of_planes(config, pairs.images.swapaxes(0, 1))
    return in_units(model, units)


def _default_steps(model: Model) -> int:
    sampler = getattr(model.config, "sampler", None)
    return int(getattr(sampler, "steps", DEFAULT_STEPS))


def _square(images: Crops) -> Crops:
    """Crop to the central columns, as many as there are rows."""
    rows, columns = images.shape[2:]
    first = (columns - rows) // 2
    return images[..., first : first + rows]
