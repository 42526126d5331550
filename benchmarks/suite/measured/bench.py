"""Isoslice's two models of a specimen, and restoring by them: each thing once."""

from __future__ import annotations

import hashlib
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import isoslice
from isoslice.errors import SettingsError
from isoslice.evaluation.benchmark.store import Store, open_store
from isoslice.models.config import NetworkSettings, TrainingSettings
from isoslice.models.files.bundle import is_model_folder
from isoslice.runtime.progress import Progress
from isoslice.training.own_planes import for_planes
from suite.measured.rows import ADAPTED, OWN, SAMPLE, TODAY, TOLD, Row, as_record
from suite.measured.scenes import Scene
from suite.measured.volumes import Specimen
from suite.settings import Peer


@dataclass(frozen=True)
class Settings:
    """How to measure.

    Attributes
    ----------
    minutes
        Of training, for each model.
    seed
        Of trainings, samples and noise.
    threads
        Of every process.
    peers
        Other programs.
    steps
        Of training isoslice's models, in place of `minutes`.
    """

    minutes: float = 3.0
    seed: int = 0
    threads: int = 2
    peers: tuple[Peer, ...] = field(default=())
    steps: int | None = None

    def resolved(self) -> dict[str, Any]:
        """Return what results depend on; runs that differ here need another folder."""
        steps = {} if self.steps is None else {"steps": self.steps}
        return {"minutes": self.minutes, "seed": self.seed, **steps}

    @property
    def budget(self) -> str:
        """What each of isoslice's models is trained for."""
        return f"{self.minutes:g} minutes" if self.steps is None else f"{self.steps:,} steps"


@dataclass(frozen=True)
class Bench:
    """A specimen, the folder of its results, and how to measure."""

    specimen: Specimen
    settings: Settings
    store: Store
    progress: Progress

    def note(self, text: str) -> None:
        """Say what is done now."""
        self.progress.note(f"{time.strftime('%H:%M:%S')} {self.specimen.name}: {text}")


def open_bench(specimen: Specimen, folder: Path, settings: Settings, progress: Progress) -> Bench:
    """Open a specimen's folder; results of other settings or data are refused there."""
    digest = hashlib.sha256()
    for array in (*specimen.learned, specimen.truth):
        digest.update(str((array.shape, array.dtype.str)).encode())
        digest.update(np.ascontiguousarray(array).tobytes())
    resolved = {**settings.resolved(), "data": digest.hexdigest()[:16]}
    store = open_store(folder / specimen.name, resolved)
    return Bench(specimen, settings, store, progress)


def model_folder(bench: Bench, method: str, scene: Scene) -> Path:
    """Train one of isoslice's models unless that was done; return its folder.

    All have the same network but for what it is told, the same seed and the same time.
    """
    settings = own_settings(scene)
    planes = "point" if settings.own_planes is None else f"{scene.given} {scene.case.planes}"
    own = f"own {planes}".replace(":", " ")
    adapted = own.replace("own", "adapted", 1)
    name = {TODAY: "todays", TOLD: "told", OWN: own, ADAPTED: adapted}[method]
    folder = bench.store.path(f"models/{name}", "")
    if not is_model_folder(folder):
        bench.note(f"training {method} for {bench.settings.budget}")
        chosen, learned = bench.settings, list(bench.specimen.learned)
        common: dict[str, Any] = {
            "axes": "ZYX",
            "voxel_size": bench.specimen.size,
            "minutes": None if chosen.steps else chosen.minutes,
            "steps": chosen.steps,
            "seed": chosen.seed,
            "device": "cpu",
        }
        if method == ADAPTED:
            factor = scene.case.factor
            model = isoslice.adapt(learned, settings=settings, factor=factor, **common)
            model.save(folder)
            return folder
        workdir = folder.with_name(folder.name + ".training")
        points: dict[str, Any] = {
            "network": NetworkSettings(measured=False),
            "settings": TrainingSettings(measured_share=0.0),
        }
        options = {TODAY: points, OWN: {"settings": settings}}.get(method, {})
        model = isoslice.train(
            learned, workdir=workdir, resume=workdir.exists(), **common, **options
        )
        if method == TODAY:  # nor was it told of noise when percentiles are taken
            model = replace(model, config=model.config.updated(noise=None))
        model.save(folder)
        shutil.rmtree(workdir, ignore_errors=True)
    return folder


def own_settings(scene: Scene) -> TrainingSettings:
    """Return the settings by which `predict` trains for a scene's planes."""
    even = tuple(float(i * scene.case.factor) for i in range(len(scene.planes)))
    return for_planes(TrainingSettings(), scene.positions or even, scene.seen)


@lru_cache(maxsize=2)
def loaded(folder: Path) -> isoslice.Model:
    """Load a model."""
    return isoslice.Model.load(folder)


def predict(
    bench: Bench, scene: Scene, method: str, told: str, mode: str, uncertainty: bool = False
) -> isoslice.Prediction:
    """Restore a scene by one of isoslice's models."""
    grid: dict[str, Any] = {"factor": scene.case.factor}
    if scene.positions is not None:
        grid = {"spacing": 1.0, "positions": list(scene.positions)}
    model = loaded(model_folder(bench, method, scene))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.predict(
            scene.planes,
            "ZYX",
            scene.size,
            mode=mode,  # type: ignore[arg-type]
            seed=bench.settings.seed,
            slice_profile=told,
            uncertainty=uncertainty,
            device="cpu",
            **grid,
        )


def restored(
    bench: Bench,
    scene: Scene,
    method: str,
    told: str,
    restore: Callable[[], tuple[NDArray[Any], dict[str, Any]]],
) -> None:
    """Restore and score a scene by any method, unless that was done; `restore` says more of it."""

    def compute() -> dict[str, Any]:
        bench.note(f"{scene.case.name}: {method}, told {told}")
        start = time.perf_counter()
        volume, more = restore()
        seconds = time.perf_counter() - start
        missing = None if scene.missing is None else scene.truth.psnr(volume, scene.missing)
        numbers = {"seconds": seconds, "psnr": scene.truth.psnr(volume), "psnr_missing": missing}
        return as_record([Row(bench.specimen.name, scene.case, method, told, **numbers | more)])

    bench.store.record(record_name(scene, method, told), compute)


def by_isoslice(
    bench: Bench, scene: Scene, method: str, told: str = "point", mode: str = "mean"
) -> None:
    """Restore by one of isoslice's models, in mode mean or sample."""

    def restore() -> tuple[NDArray[Any], dict[str, Any]]:
        found = predict(bench, scene, method, told, mode)
        return found.volume, {**agreement(found.provenance), **training(bench, method, scene)}

    name = method if mode == "mean" else method + SAMPLE
    restored(bench, scene, name, told, restore)


def intervals(bench: Bench, scene: Scene, method: str, told: str = "point") -> None:
    """Measure how much of the truth 90% intervals hold, if isoslice gives any.

    A refusal is not kept, so that a later run measures what a later version accepts.
    """

    def compute() -> dict[str, Any]:
        bench.note(f"{scene.case.name}: intervals of {method}, told {told}")
        found = predict(bench, scene, method, told, "mean", uncertainty=True)
        share = scene.truth.coverage(found.interval(0.9), scene.case.factor, scene.missing)
        return as_record([Row(bench.specimen.name, scene.case, method, told, coverage=share)])

    try:
        bench.store.record(record_name(scene, method, told) + ", intervals", compute)
    except SettingsError as error:
        bench.note(f"intervals are refused: {error}")


def agreement(provenance: Any) -> dict[str, Any]:
    """Take chi squared of planes, and the profile that was used, from a prediction's record."""
    used = provenance.get("slice_profile")
    if used is None:
        return {}
    planes = np.asarray(used.get("chi_squared_of_planes", used["chi_squared"]), float).ravel()
    note = f"{used['kind']}:{used['width_in_output_planes']:.3g}, noise {used['noise'][0]:.3g}"
    return {
        "chi_squared": float(planes.mean()),
        "chi_squared_least": float(planes.min()),
        "chi_squared_most": float(planes.max()),
        "note": note,
    }


def training(bench: Bench, method: str, scene: Scene) -> dict[str, Any]:
    """Say how long a model was trained."""
    info = loaded(model_folder(bench, method, scene)).info
    return {"training_minutes": info.get("minutes"), "training_steps": info.get("steps")}


def record_name(scene: Scene, method: str, told: str) -> str:
    """Name the record of a restoration."""
    return f"results/{scene.case.part}/{scene.case.name}/{method}, {told}".replace(":", " ")


def keep_stack(bench: Bench, name: str, planes: NDArray[Any]) -> Path:
    """Keep planes for other programs; return the path."""
    bench.store.array(name, lambda: planes)
    return bench.store.path(name, ".npy")


def planes_to_learn_from(bench: Bench) -> Sequence[Path]:
    """Keep the planes that isoslice learns from for other programs; return the paths."""
    stacks = enumerate(bench.specimen.learned)
    return [keep_stack(bench, f"stacks/learned {index}", stack) for index, stack in stacks]
