"""Restore volumes by every method at every factor; each is computed once."""

from __future__ import annotations

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from isoslice.data.baselines import BASELINES, gaussian_blur3, interpolate_planes
from isoslice.data.grid import PlaneGrid, even_grid, thin
from isoslice.data.volume import Volume
from isoslice.evaluation.benchmark.data import BenchmarkData
from isoslice.evaluation.benchmark.settings import BenchmarkSettings
from isoslice.evaluation.benchmark.store import Store
from isoslice.inference.model import Model
from isoslice.models.choices import Direction, Mode
from isoslice.runtime.progress import Progress

Voxels = NDArray[np.float32]
TRUTH = "truth"
BLURRED = ", blurred"


def grid_of(data: BenchmarkData, factor: int) -> PlaneGrid:
    """Return the grid of the planes that methods are given at `factor`."""
    return even_grid((data.truth.shape[2] - 1) // factor + 1, factor)


def method_volumes(
    data: BenchmarkData,
    factor: int,
    models: Mapping[str, Model],
    settings: BenchmarkSettings,
    store: Store,
    device: str,
    progress: Progress,
) -> dict[str, Voxels]:
    """Restore the thinned truth by every method.

    Returns
    -------
    dict
        Blocks (B, C, Z, Y, X) by method, in the order of the tables, the truth first. Measured
        planes are exact in all but the misaligned baseline.
    """
    planes, grid = thin(data.truth, factor, axis=2), grid_of(data, factor)
    volumes = {TRUTH: data.truth}
    for name in BASELINES:
        volumes[name] = np.stack([interpolate_planes(block, grid, name) for block in planes])
    steps = {entry.name: entry.steps for entry in settings.models}
    for name, model in models.items():

        def restored(
            key: str,
            direction: Direction = "both",
            mode: Mode | None = None,
            model: Model = model,
            name: str = name,
        ) -> Voxels:
            path = f"volumes/{factor}x/{key}"
            if not store.has(path):
                progress.note(f"restoring {factor}x by {key}")

            def compute() -> Voxels:
                started = time.perf_counter()
                result = model.predict(
                    Volume(planes, "TCZYX", source=f"{factor}x"),
                    factor=factor,
                    steps=steps[name],
                    seed=settings.seed,
                    mode=mode,
                    direction=direction,
                    device=device,
                    progress=_WithoutNotes(progress),
                )
                seconds = time.perf_counter() - started
                store.record(f"seconds/{factor}x/{key}", lambda: {"seconds": seconds})
                return np.asarray(result.volume, np.float32)  # blocks were its time points

            return store.array(path, compute)

        if model.config.recipe == "isoslice":
            volumes[f"{name}, mean"] = restored(f"{name}, mean", mode="mean")
            volumes[f"{name}, sample"] = restored(f"{name}, sample", mode="sample")
        else:
            xz, yz = restored(f"{name}, XZ only", "XZ"), restored(f"{name}, YZ only", "YZ")
            volumes[name] = ((xz + yz) / 2).astype(np.float32)
    return volumes


def ablation_volumes(
    data: BenchmarkData, factor: int, volumes: Mapping[str, Voxels], name: str, store: Store
) -> dict[str, Voxels]:
    """Collect a model's volumes of one direction each and their average, and blur everything.

    Returns
    -------
    dict
        ``NAME, XZ only``, ``NAME, YZ only``, ``NAME`` (the average) and ``linear``; the same with
        ``, blurred``: as the paper's code does, then measured planes are put back.
    """
    apart = {
        f"{name}, {direction} only": store.array(
            f"volumes/{factor}x/{name}, {direction} only", _unexpected
        )
        for direction in ("XZ", "YZ")
    }
    ablated = {**apart, name: volumes[name], "linear": volumes["linear"]}
    known = list(grid_of(data, factor).nearest)
    for method, volume in list(ablated.items()):
        blurred = np.stack([gaussian_blur3(block, 0.5) for block in volume])
        blurred[:, :, known] = volume[:, :, known]
        ablated[method + BLURRED] = blurred
    return ablated


def _unexpected() -> Voxels:
    raise AssertionError("restored before")


class _WithoutNotes(Progress):
    """Forwards progress, but not the notes of every prediction."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Forward it."""
        self._progress.update(task, fraction, detail)
