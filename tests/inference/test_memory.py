"""Volumes that do not fit into memory are refused before any work."""

from __future__ import annotations

import tracemalloc
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from conftest import Cli
from isoslice.data.measurement import Measurement
from isoslice.data.output_spacing import Wanted, output_spacing
from isoslice.data.profile import Profile
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference import memory as fits
from isoslice.inference.consistency import KEPT, operator_bytes, operators
from isoslice.inference.memory import (
    FIXED,
    MEASURED,
    check_fits,
    may_be_corrected,
    memory_needed,
)
from isoslice.inference.model import Model
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.recipes.residual import ResidualRecipe
from isoslice.inference.stored_profile import ChosenProfile
from isoslice.io import limits, read_volume
from isoslice.models.config import ModelConfig, NetworkSettings

STACK = Volume(np.zeros((2, 3, 11, 20, 30), np.uint16), "TCZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0})
DEPTH = 41
VOXELS = 3 * DEPTH * 20 * 30


def sampled(**options: bool | int) -> ResolvedOptions:
    return ResolvedOptions(mode="sample", steps=5, **options)


RECIPE = ResidualRecipe(ModelConfig(sigma_data=0.1, network=NetworkSettings(channels=3)))


def needed(options: ResolvedOptions) -> int:
    """Bytes a voxel of one time point."""
    planes = VOXELS // DEPTH * 11 * MEASURED
    network = RECIPE.network_bytes(DEPTH * 30, torch.get_num_threads())
    return (memory_needed(STACK, DEPTH, options, RECIPE) - planes - FIXED - network) // VOXELS


def test_results_are_counted_for_all_time_points_and_fields_for_one() -> None:
    assert needed(ResolvedOptions(mode="mean", steps=2)) == 2 * 2 + 2
    assert needed(sampled()) == 2 * 2 + 4  # mean and sample, in half precision
    mean = ResolvedOptions(mode="mean", steps=2, uncertainty=True)
    assert needed(mean) == 2 * (2 + 4) + 4
    assert needed(sampled(uncertainty=True)) == 2 * (2 + 4) + 6
    # Two sums of squares while one is made of the other.
    assert needed(sampled(samples=8)) == 2 * (2 + 4) + 6 + 8
    kept = sampled(samples=8, keep_samples=True)
    assert needed(kept) == 2 * (9 * 2 + 4) + 6 + 8


def test_what_planes_are_corrected_by_is_counted() -> None:
    mean = ResolvedOptions(mode="mean", steps=2)
    more = memory_needed(STACK, DEPTH, mean, RECIPE, corrected=True)
    entries = 11 * DEPTH
    # In double precision and as the network's arithmetic takes it, K of three channels; solved for.
    assert more - memory_needed(STACK, DEPTH, mean, RECIPE) == entries * (8 + 4 * 4 + 16)
    even = output_spacing(STACK, Wanted(4))
    point = ChosenProfile("point")
    assert not may_be_corrected(mean, point, even)
    assert may_be_corrected(mean, ChosenProfile("auto"), even)
    assert may_be_corrected(mean.model_copy(update={"denoise": True}), point, even)
    assert may_be_corrected(mean, point, output_spacing(STACK, Wanted(spacing=0.7)))


@pytest.mark.parametrize("channels", [1, 3])
def test_matrices_take_what_is_counted(channels: int) -> None:
    places = tuple((np.arange(400) * 4).astype(float).tolist())
    noise = (0.1,) * channels
    measurement = Measurement(places, 1600, Profile("slab", 6.0), noise, noise)
    operators.cache_clear()
    tracemalloc.start()
    try:
        kept = operators(measurement)
        held, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(kept[1]) == channels
    counted = operator_bytes([measurement])
    # What LAPACK takes by itself is not traced; a few kilobytes are Python's.
    assert most <= counted + 8_000
    assert most > 0.6 * counted
    entries = 400 * 1600
    assert held == pytest.approx(entries * (8 + 4 * (1 + channels)), rel=0.05)
    # Those of a few frames are kept, of points none.
    others = [replace(measurement, damping=(0.1 * i,) * channels) for i in range(9)]
    assert operator_bytes(others) == counted + (KEPT - 1) * entries * (8 + 4 * (1 + channels))
    assert operator_bytes([measurement, measurement]) == counted
    assert operator_bytes([Measurement(places, 1600)]) == 0


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = sampled(uncertainty=True)
    monkeypatch.setattr(
        fits, "available_memory", lambda: memory_needed(STACK, DEPTH, wanted, RECIPE)
    )
    check_fits(STACK, DEPTH, wanted, RECIPE)
    with pytest.raises(SettingsError, match=r"41 x 20 x 30 voxels.*output="):
        check_fits(STACK, DEPTH, sampled(samples=2), RECIPE)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_files_that_do_not_fit_are_restored_on_the_disk(
    cli: Cli, stack_file: Path, model_folder: Path, tiny_model: Model, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(fits, "available_memory", lambda: 1000)
    out = tmp_path / "a.ome.tif"
    code, _, err = cli("predict", stack_file, "-m", model_folder, "-o", out, "--device", "cpu")
    assert code == 0
    assert any("on the disk beside the output" in line for line in err)
    stack = read_volume(stack_file)
    with pytest.raises(SettingsError, match="in memory"):
        tiny_model.predict(stack)
    monkeypatch.undo()
    np.testing.assert_array_equal(
        read_volume(out).data, tiny_model.predict(stack, device="cpu").volume
    )


def test_files_that_a_container_has_cached_count_as_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "CGROUP", tmp_path)
    (tmp_path / "memory.max").write_text("1000\n", encoding="utf-8")
    (tmp_path / "memory.current").write_text("900\n", encoding="utf-8")
    (tmp_path / "memory.stat").write_text(
        "anon 1\ninactive_file 300\nactive_file 7\n", encoding="utf-8"
    )
    assert limits.available_memory() == 400
    (tmp_path / "memory.max").write_text("max\n", encoding="utf-8")
    assert limits.available_memory() > 10**6
