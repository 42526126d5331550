"""Every method's volume at every factor, computed once."""

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
from isoslice.inference.options import Direction, Mode
from isoslice.runtime.progress import Progress

Voxels = NDArray[np.float32]
TRUTH = "truth"
BLURRED = ", blurred"


def grid_of(data: BenchmarkData, factor: int) -> PlaneGrid:
    """Where the planes lie that methods get at `factor`."""
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
        Method to blocks (B, C, Z, Y, X), in the order of the tables, the truth first. Measured
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
                    progress=_Quiet(progress),
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
    """Directions of a model by themselves, and everything blurred.

    Returns
    -------
    dict
        ``NAME, XZ only``, ``NAME, YZ only``, ``NAME`` (the average) and ``linear``; the same with
        ``, blurred``: as the paper's code does it, then measured planes put back.
    """
    apart = {
        f"{name}, {direction} only": store.array(f"volumes/{factor}x/{name}, {direction} only", _no)
        for direction in ("XZ", "YZ")
    }
    found = {**apart, name: volumes[name], "linear": volumes["linear"]}
    known = list(grid_of(data, factor).known)
    for method, volume in list(found.items()):
        blurred = np.stack([gaussian_blur3(block, 0.5) for block in volume])
        blurred[:, :, known] = volume[:, :, known]
        found[method + BLURRED] = blurred
    return found


def _no() -> Voxels:
    raise AssertionError("restored before")


class _Quiet(Progress):
    """Passes progress on, but not the notes of every prediction."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def update(self, task: str, fraction: float, detail: str = "") -> None:
        """Show it."""
        self._progress.update(task, fraction, detail)
