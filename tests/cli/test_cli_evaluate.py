"""`isoslice evaluate` and `isoslice info`."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.data.grid import even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.evaluation.evaluate import evaluate
from isoslice.io import read_volume


@pytest.fixture
def volumes(tmp_path: Path) -> tuple[Path, Path, Path]:
    """The truth, and what nearest and linear interpolation make of every third plane."""
    size = (1.0, 1.0, 1.0)
    true = texture(17, 40, 44)
    paths = [write_stack(tmp_path / "truth.ome.tif", true, voxel_size=size)]
    planes = thin(true, 3)
    for method in ("nearest", "linear"):
        data = interpolate(planes, even_grid(len(planes), 3), method).astype(np.float32)
        paths.append(write_stack(tmp_path / f"{method}.ome.tif", data, voxel_size=size))
    return paths[0], paths[1], paths[2]


def test_table_and_json_hold_the_same_scores(
    cli: Cli, volumes: tuple[Path, Path, Path], tmp_path: Path
) -> None:
    truth, nearest, linear = volumes
    scores = tmp_path / "scores.json"
    code, out, err = cli("evaluate", truth, nearest, linear, "--factor", 3, "--json", scores)
    assert (code, err) == (0, [])
    expected = evaluate(read_volume(truth), read_volume(linear), factor=3).mean
    (row,) = [line for line in out.splitlines() if "missing planes" in line]
    assert row.split()[-1] == f"{expected.psnr_missing:.2f}"
    assert "left out the last 1 of the truth's 17 planes" in out
    found = json.loads(scores.read_text(encoding="utf-8"))
    assert [entry["factor"] for entry in found] == [3, 3]
    assert found[1]["mean"]["psnr"] == pytest.approx(expected.psnr)
    assert found[1]["mean"]["psnr"] > found[0]["mean"]["psnr"]


def test_json_on_standard_output_is_all_there_is(
    cli: Cli, volumes: tuple[Path, Path, Path]
) -> None:
    truth, *_ = volumes
    code, out, err = cli("evaluate", truth, truth, "--json", "-")
    assert (code, err) == (0, [])
    assert json.loads(out)[0]["mean"]["psnr"] == "inf"


def test_data_range_is_taken(cli: Cli, volumes: tuple[Path, Path, Path]) -> None:
    truth, nearest, _ = volumes
    arguments = ("evaluate", truth, nearest, "--factor", 3, "--data-range", 255, "--json", "-")
    (found,) = json.loads(cli(*arguments).out)
    assert found["channels"][0]["data_range"] == 255


def test_factor_is_read_from_what_predict_wrote(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.tif"
    assert cli("predict", stack_file, "-q", "-m", model_folder, "-o", out, "--steps", 3).code == 0
    truth = write_stack(tmp_path / "truth.ome.tif", texture(15, 40, 44), voxel_size=(1, 1, 1))
    (found,) = json.loads(cli("evaluate", truth, out, "--json", "-").out)
    assert found["factor"] == 3


def test_info_of_a_stack(cli: Cli, stack_file: Path) -> None:
    code, out, err = cli("info", stack_file)
    assert (code, err) == (0, [])
    lines = [line.split() for line in out.splitlines()]
    assert ["voxel", "size.Z", "3"] in lines
    assert ["factor", "3"] in lines
    found = json.loads(cli("info", stack_file, "--json").out)
    assert found["anisotropy"] == pytest.approx(3)
    assert found["dtype"] == "uint8"
    assert found["intensity"] == {"min": 10, "max": 200}
    assert found["provenance"] is None


def test_info_of_an_isotropic_or_unknown_stack_names_no_factor(cli: Cli, tmp_path: Path) -> None:
    for name, size in [("a", (1.0, 1.0, 1.0)), ("b", None)]:
        path = write_stack(tmp_path / f"{name}.ome.tif", texture(3, 8, 8), voxel_size=size)
        found = json.loads(cli("info", path, "--json").out)
        assert found["factor"] is None


def test_info_of_a_result_shows_how_it_was_made(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.ome.tif"
    cli("predict", stack_file, "-q", "-m", model_folder, "-o", out, "--steps", 3)
    assert json.loads(cli("info", out, "--json").out)["provenance"]["factor"] == 3


def test_info_of_a_model(cli: Cli, model_folder: Path) -> None:
    code, out, err = cli("info", model_folder)
    assert (code, err) == (0, [])
    assert "history" not in out
    found = json.loads(cli("info", model_folder, "--json").out)
    assert found["steps"] == 2
    assert found["channels"] == 1
    assert found["parameters"] > 0
    assert "history" in found
