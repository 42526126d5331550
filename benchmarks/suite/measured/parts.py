"""What isoslice itself is measured by: points, blurred and uneven planes, and cost."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.profile import FWHM, POINT, Profile
from profiles import interpolated
from suite.measured.bench import Bench, by_isoslice, intervals, predict, restored
from suite.measured.rows import ADAPTED, OWN, SAMPLE, TODAY, TOLD, Row, as_record, profile_name
from suite.measured.scenes import Scene, blurred_scene, uneven_scenes

FACTORS = (2, 4, 8)
#: Profiles of blurred planes, in voxels, 4 from plane to plane; and their noise.
PROFILES = (Profile("slab", 4.0), Profile("gaussian", 2 * FWHM), Profile("gaussian", 3 * FWHM))
NOISES = (0.0, 0.03)
#: Times that each cost is measured, in turn with the others.
TURNS = 3


def points(bench: Bench) -> None:
    """Restore sharp, even planes."""
    for factor in FACTORS:
        scene = blurred_scene(bench.specimen.truth, "points", factor, POINT, 0.0)
        by_interpolation(bench, scene, POINT)
        for method in (TODAY, TOLD):
            by_isoslice(bench, scene, method)
            intervals(bench, scene, method)


def blurred(bench: Bench) -> None:
    """Restore planes that were seen through profiles."""
    for seen in PROFILES:
        for noise in NOISES:
            scene = blurred_scene(
                bench.specimen.truth, "blurred", 4, seen, noise, bench.settings.seed
            )
            by_interpolation(bench, scene, POINT)
            by_interpolation(bench, scene, seen)
            by_isoslice(bench, scene, TODAY)
            by_isoslice(bench, scene, TOLD, scene.given, "sample")
            for told in (scene.given, "auto"):
                by_isoslice(bench, scene, TOLD, told)
                intervals(bench, scene, TOLD, told)


def own(bench: Bench) -> None:
    """Restore planes by models that were trained for planes like these."""
    truth = bench.specimen.truth
    sharp = [blurred_scene(truth, "points", factor, POINT, 0.0) for factor in FACTORS]
    for scene in (*sharp, *uneven_scenes(truth)):
        by_isoslice(bench, scene, OWN)
        intervals(bench, scene, OWN)
    for seen in PROFILES:
        for noise in NOISES:
            scene = blurred_scene(
                bench.specimen.truth, "blurred", 4, seen, noise, bench.settings.seed
            )
            by_isoslice(bench, scene, OWN, scene.given)
            by_isoslice(bench, scene, OWN, scene.given, "sample")
            intervals(bench, scene, OWN, scene.given)


def adapted(bench: Bench) -> None:
    """Restore blurred planes by models that were adapted to planes like these."""
    for seen in PROFILES:
        for noise in NOISES:
            scene = blurred_scene(
                bench.specimen.truth, "blurred", 4, seen, noise, bench.settings.seed
            )
            by_isoslice(bench, scene, ADAPTED, scene.given)
            intervals(bench, scene, ADAPTED, scene.given)


def uneven(bench: Bench) -> None:
    """Restore points that are missing, off their places, or at a fraction of the output's."""
    for scene in uneven_scenes(bench.specimen.truth):
        grid = PlaneGrid(scene.positions or ())

        def linear(
            planes: NDArray[np.float32] = scene.planes, grid: PlaneGrid = grid
        ) -> tuple[NDArray[Any], dict[str, Any]]:
            return interpolate(planes, grid), {}

        restored(bench, scene, "linear", "point", linear)
        by_isoslice(bench, scene, TODAY)
        by_isoslice(bench, scene, TOLD)
        intervals(bench, scene, TOLD)


def by_interpolation(bench: Bench, scene: Scene, told: Profile) -> None:
    """Interpolate linearly and cubically; both are corrected where a profile is told."""
    for number, method in enumerate(("linear", "cubic")):

        def restore(number: int = number) -> tuple[NDArray[Any], dict[str, Any]]:
            found = list(interpolated(scene.planes, scene.case.factor, told))
            return found[number][1], {}

        restored(bench, scene, method, profile_name(told), restore)


def cost(bench: Bench) -> None:
    """Time today's and told networks on points, and told ones on a profile, in turn."""
    scene = blurred_scene(bench.specimen.truth, "cost", 4, POINT, 0.0)
    slab = profile_name(PROFILES[0])
    kinds = [
        (method, told, mode)
        for mode in ("mean", "sample")
        for method, told in ((TODAY, "point"), (TOLD, "point"), (TOLD, slab))
    ]

    def compute() -> dict[str, Any]:
        bench.note("cost")
        taken: list[list[float]] = [[] for _ in kinds]
        for turn in range(TURNS + 1):  # the first warms up
            for (method, told, mode), seconds in zip(kinds, taken, strict=True):
                start = time.perf_counter()
                predict(bench, scene, method, told, mode)
                seconds.extend([time.perf_counter() - start] if turn else [])
        names = [method if mode == "mean" else method + SAMPLE for method, _, mode in kinds]
        return as_record(
            Row(
                bench.specimen.name, scene.case, name, told, seconds=float(np.median(seconds)),
                note="of " + ", ".join(f"{each:.2f}" for each in seconds),
            )
            for name, (_, told, _), seconds in zip(names, kinds, taken, strict=True)
        )  # fmt: skip

    bench.store.record("results/cost", compute)
