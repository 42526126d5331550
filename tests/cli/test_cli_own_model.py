"""`isoslice predict` without a model: adapted to the stack, as it comes, or from scratch."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from conftest import Cli, texture, write_stack
from isoslice.inference.model import Model
from isoslice.io import read_volume
from isoslice.io.reading import open_with


@pytest.fixture
def adapting(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What an adaptation, which takes no time, is asked for."""
    options: dict[str, Any] = {}

    def adapt(volume: object, *, model: Model, **given: object) -> Model:
        options.update(given, volume=volume)
        return replace(model, info={**model.info, "adaptation": {"gain": 0.0}})

    monkeypatch.setattr("isoslice.training.adapt.adapt", adapt)
    return options


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_without_a_model_the_pretrained_one_is_adapted_and_kept(
    cli: Cli, stack_file: Path, tmp_path: Path, adapting: dict[str, Any]
) -> None:
    out = tmp_path / "out.ome.tif"
    code, _, err = cli("predict", stack_file, "-o", out, "--mode", "mean", "--seed", 5)
    assert code == 0, err
    assert "adapted for 30 seconds to the stack's own 5 planes" in err[0]
    assert f"reuse it with -m {tmp_path / 'out.model'}" in err[1]
    assert (adapting["minutes"], adapting["seed"], adapting["factor"]) == (0.5, 5, 3)
    kept = Model.load(tmp_path / "out.model")
    assert kept.fingerprint == Model.pretrained().fingerprint
    assert "adaptation" in kept.info


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_what_takes_long_to_open_is_told(
    cli: Cli, stack_file: Path, tmp_path: Path, adapting: dict[str, Any], monkeypatch: Any
) -> None:
    def slowly(*arguments: Any) -> Any:
        time.sleep(2)
        return open_with(*arguments)

    monkeypatch.setattr("isoslice.io.reading.open_with", slowly)
    code, _, err = cli("predict", stack_file, "-o", tmp_path / "out.ome.tif", "--mode", "mean")
    assert code == 0, err
    assert err[0] == f"opening {stack_file}"
    assert "adapted for 30 seconds" in err[1]


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_no_minutes_take_the_pretrained_one_as_it_is(
    cli: Cli, stack_file: Path, tmp_path: Path, adapting: dict[str, Any]
) -> None:
    out = tmp_path / "out.ome.tif"
    found = cli("predict", stack_file, "-o", out, "--mode", "mean", "--minutes", 0)
    assert found.code == 0, found.err
    assert not adapting
    assert not (tmp_path / "out.model").exists()
    again = tmp_path / "again.ome.tif"
    assert cli("predict", stack_file, "-o", again, "--mode", "mean", "-m", "pretrained").code == 0
    np.testing.assert_array_equal(read_volume(out).data, read_volume(again).data)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_it_is_adapted_to_planes_as_they_are_told(
    cli: Cli, tmp_path: Path, adapting: dict[str, Any]
) -> None:
    path = write_stack(tmp_path / "coarse.tif", texture(4, 64, 64), voxel_size=(8.0, 1.0, 1.0))
    options = ("--mode", "mean", "--spacing", 2, "--slice-profile", "slab", "--missing", "1")
    code, _, err = cli("predict", path, "-o", tmp_path / "out.ome.tif", *options)
    assert code == 0, err
    assert "own 3 of 4 planes" in " ".join(err)
    assert (adapting["spacing"], adapting["factor"]) == (2.0, 4)
    own = adapting["settings"].own_planes
    assert (own.distance, own.profile.kind, own.profile.width) == (4.0, "slab", 4.0)
    assert adapting["slice_profile"].profile.width == 8.0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_adapting_for_a_second(cli: Cli, stack_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.ome.tif"
    found = cli("predict", stack_file, "-o", out, "--minutes", 0.02, "--device", "cpu")
    assert found.code == 0, found.err
    told = Model.load(tmp_path / "out.model").info["adaptation"]
    assert told["steps"] >= 1
    assert read_volume(out).size("Z") == 13


@pytest.fixture
def asked(tiny_model: Model, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """What a training, which takes no time, is asked for."""
    options: dict[str, object] = {}

    def train(volume: object, **given: object) -> Model:
        options.update(given)
        return tiny_model

    monkeypatch.setattr("isoslice.training.train.train", train)
    return options


def test_from_scratch_a_model_is_trained_and_kept(
    cli: Cli, stack_file: Path, tmp_path: Path, tiny_model: Model, asked: dict[str, object]
) -> None:
    out = tmp_path / "out.ome.tif"
    options = ("--steps", 3, "--seed", 5, "--minutes", 2)
    code, _, err = cli("predict", stack_file, "-o", out, "--scratch", *options)
    assert code == 0, err
    assert "training a model for 2 minutes on the stack's own 5 planes" in err[0]
    assert err[1].endswith("than linear interpolation on hidden rows of its planes")
    assert f"reuse it with -m {tmp_path / 'out.model'}" in err[2]
    assert (asked["minutes"], asked["seed"]) == (2, 5)
    assert asked["spacing"] is None  # rows as far apart as pixels
    assert Model.load(tmp_path / "out.model").fingerprint == tiny_model.fingerprint


def test_the_model_learns_from_rows_as_far_apart_as_the_result(
    cli: Cli, tmp_path: Path, asked: dict[str, object]
) -> None:
    path = write_stack(tmp_path / "coarse.tif", texture(4, 64, 64), voxel_size=(8.0, 1.0, 1.0))
    spacing = 1.75
    code, _, err = cli("predict", path, "-o", tmp_path / "out.ome.tif", "--scratch",
                       "--spacing", spacing)  # fmt: skip
    assert code == 0, err
    assert asked["spacing"] == pytest.approx(spacing)


def test_interrupted_after_training_the_model_is_kept(
    cli: Cli, stack_file: Path, tmp_path: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("isoslice.training.train.train", lambda *_, **__: tiny_model)
    monkeypatch.setattr("isoslice.inference.recipes.residual.run_pass", stop)
    found = cli("predict", stack_file, "-q", "-o", tmp_path / "out.ome.tif", "--scratch")
    assert found.code == 130
    (line,) = found.err
    assert f"the model is kept; run again with -m {tmp_path / 'out.model'}" in line
    assert not (tmp_path / "out.ome.tif").exists()
