"""Volumes that do not fit into memory are refused before any work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, texture
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference import memory as fits
from isoslice.inference.memory import NETWORK, check_fits, memory_needed
from isoslice.inference.model import Model
from isoslice.inference.options import ResolvedOptions
from isoslice.io import limits
from isoslice.models.config import EndToEndConfig, UNetSettings
from isoslice.models.networks.factory import build_network

STACK = Volume(np.zeros((2, 3, 11, 20, 30), np.uint16), "TCZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0})
VOXELS = 3 * 41 * 20 * 30


def sampled(**options: bool | int) -> ResolvedOptions:
    return ResolvedOptions(mode="sample", steps=5, **options)


def needed(options: ResolvedOptions) -> float:
    """Bytes a voxel of one time point."""
    return (memory_needed(STACK, 4, options) - NETWORK) / VOXELS


def test_results_are_counted_for_all_time_points_and_work_for_one() -> None:
    mean = ResolvedOptions(mode="mean", steps=2)
    assert needed(mean) == 2 * 2 + fits.MEAN
    mean = ResolvedOptions(mode="mean", steps=2, uncertainty=True)
    assert needed(mean) == 2 * (2 + 4) + fits.MEAN_STD
    assert needed(sampled(uncertainty=True)) == 2 * (2 + 4) + fits.SAMPLE_STD
    assert needed(sampled(samples=8)) == 2 * (2 + 4) + fits.SAMPLES_STD
    kept = sampled(samples=8, keep_samples=True)
    assert needed(kept) == 2 * (9 * 2 + 4) + fits.SAMPLES_STD + 8 * fits.KEPT


def test_what_does_not_fit_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = sampled(uncertainty=True)
    monkeypatch.setattr(fits, "available_memory", lambda: memory_needed(STACK, 4, wanted))
    check_fits(STACK, 4, wanted)
    with pytest.raises(SettingsError, match=r"41 x 20 x 30 voxels.*cut the stack"):
        check_fits(STACK, 4, sampled(samples=2))


def test_predict_refuses_before_training(
    cli: Cli, stack_file: Path, tiny_model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fits, "available_memory", lambda: 1000)
    out = tmp_path / "a.ome.tif"
    code, _, err = cli("predict", stack_file, "-o", out, "--uncertainty", "--minutes", 60)
    assert code == 1
    assert len(err) == 1
    assert "GB to restore in memory" in err[0]
    assert list(tmp_path.iterdir()) == [stack_file]
    with pytest.raises(SettingsError, match="in memory"):
        tiny_model.predict(STACK.data[0, 0], "ZYX", factor=4)


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


def test_the_papers_recipes_whose_memory_was_not_measured_are_not_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fits, "available_memory", lambda: 1000)
    shape = UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4)
    config = EndToEndConfig(network=shape)
    model = Model(config, build_network(config).eval())
    stack = texture(3, 20, 30)
    assert model.predict(stack, "ZYX", factor=2).volume.shape == (5, 20, 30)
