"""`--missing`: planes that are left out, on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.io import read_volume

WARNED = pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")


def damaged(path: Path) -> tuple[Path, np.ndarray]:
    """A stack of which plane 9 is turned over."""
    data = texture(16, 40, 44)
    data[9] = data[9, ::-1]
    return write_stack(path, data), data


@WARNED
def test_predict_says_and_records_what_it_leaves_out(
    cli: Cli, model_folder: Path, tmp_path: Path
) -> None:
    stack, data = damaged(tmp_path / "stack.ome.tif")
    for name, options, lost in (
        ("found", (), [9]),
        ("told", ("--missing", "4,6-7"), [4, 6, 7, 9]),
        ("none", ("--missing", "none"), []),
    ):
        out = tmp_path / f"{name}.ome.tif"
        ran = cli("predict", stack, "-m", model_folder, "-o", out, "--mode", "mean", *options)
        assert ran.code == 0, ran.err
        assert any("plane 9 (counted from 0) is unlike" in line for line in ran.err) == bool(lost)
        restored = read_volume(out)
        assert restored.provenance is not None
        assert restored.provenance.get("lost_planes", {"0/0": []}) == {"0/0": lost}
        kept = [z for z in range(16) if z not in lost]
        np.testing.assert_array_equal(restored.tczyx()[0, 0, ::3][kept], data[kept])


@WARNED
@pytest.mark.slow
def test_a_model_of_its_own_does_not_learn_from_missing_planes(cli: Cli, tmp_path: Path) -> None:
    stack, _ = damaged(tmp_path / "stack.ome.tif")
    out = tmp_path / "out.ome.tif"
    ran = cli("predict", stack, "-o", out, "--minutes", "0.02", "--scratch", "--missing", "4,6")
    assert ran.code == 0, ran.err
    assert any("own 14 of 16 planes" in line for line in ran.err)


@WARNED
def test_check_and_train_take_it(cli: Cli, model_folder: Path, tmp_path: Path) -> None:
    stack, _ = damaged(tmp_path / "stack.ome.tif")
    other, _ = damaged(tmp_path / "other.ome.tif")
    ran = cli("check", stack, "-m", model_folder, "-q", "--missing", "4", "--json", "-")
    assert json.loads(ran.out)["tested"] == 12
    for command, words in (
        (
            ("train", stack, "-o", tmp_path / "a.model", "--steps", "1", "--missing", "16"),
            "0 to 15",
        ),
        (
            ("train", stack, other, "-o", tmp_path / "a.model", "--steps", "1", "--missing", "3"),
            "one stack",
        ),
        (("check", stack, "-m", model_folder, "--missing", "4-"), "such as 12,40-42"),
        (
            ("predict", stack, "-o", tmp_path / "o.tif", "--minutes", "0.01", "--missing", "0"),
            "at an end",
        ),
    ):
        ran = cli(*command)
        assert ran.code == 1
        assert words in ran.err[-1]
        assert not list(tmp_path.glob("*.model")) + list(tmp_path.glob("o.*"))
