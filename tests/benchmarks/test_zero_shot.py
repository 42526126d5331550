"""Scores of a model on volumes that it never saw: over planes left out, in both modes."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tifffile

from conftest import texture
from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.evaluation.metrics import data_range_of
from pretrain import zero_shot
from pretrain.zero_shot import COLUMNS, score, truth

BENCHMARK = Path(zero_shot.__file__)


def test_scores_are_of_the_planes_that_were_left_out():
    voxels = texture(19, 40, 44)
    whole = voxels[:17]

    def restore(stack, factor, mode):
        assert factor == 4
        np.testing.assert_array_equal(stack, voxels[::4][:5])
        volume = whole.astype(np.float32)
        volume[1::2] += {"mean": 1, "sample": 2}[mode]
        return volume

    found = score("it", voxels, 4, restore)
    assert (found.volume, found.shape) == ("it", (17, 40, 44))
    span = data_range_of(whole)
    # 8 of the 12 planes that were left out are off.
    assert found.mean == pytest.approx(20 * np.log10(span) - 10 * np.log10(8 / 12))
    assert found.sample == pytest.approx(found.mean - 20 * np.log10(2))
    linear = np.rint(interpolate(whole[::4].astype(np.float32), even_grid(5, 4), "linear"))
    error = (linear - whole)[np.arange(17) % 4 != 0]
    assert found.linear == pytest.approx(10 * np.log10(span**2 / np.mean(error**2)))
    assert found.gradient[0] > 1.01
    assert found.gradient[1:] == pytest.approx((1, 1))


def test_volumes_are_cut_from_the_middle(tmp_path):
    (tmp_path / "below").mkdir()
    voxels = texture(40, 20, 300)
    for name in ("fib25_b.tif", "lucchi_train.tif"):
        path = tmp_path / "below" / name
        tifffile.imwrite(path, voxels, imagej=True, metadata={"axes": "ZYX"})
    np.testing.assert_array_equal(truth("fib25_b", tmp_path), voxels[3:36, :, 22:278])
    np.testing.assert_array_equal(truth("lucchi", tmp_path), voxels[21:38, :, 22:278])


def test_tables_have_a_cell_for_each_column(capsys):
    row = score("it", texture(9, 20, 20), 4, lambda stack, k, mode: texture(9, 20, 20))
    lines = list(zero_shot.markdown([row, row]))
    assert [line.count("|") for line in lines[:4]] == [len(COLUMNS) + 1] * 4
    assert "over 2 volumes: inf dB" in lines[-1]


@pytest.mark.slow
def test_it_runs_as_a_script(tmp_path, tiny_model):
    folder = tmp_path / "model"
    tiny_model.save(folder)
    voxels = texture(17, 32, 32)
    tifffile.imwrite(tmp_path / "fib25_b.tif", voxels, imagej=True, metadata={"axes": "ZYX"})
    command = [sys.executable, BENCHMARK, folder, "--data", tmp_path, "--volume", "fib25_b",
               "-o", tmp_path / "out.csv"]  # fmt: skip
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert "| fib25_b | 17x32x32 |" in ran.stdout
    with (tmp_path / "out.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert float(row["linear"]) > 10
    assert float(row["mean"]) > 10
