"""Paths that begin with ``~/`` and come in quotation marks, which no shell expands."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import isoslice
from conftest import Cli
from isoslice.evaluation.benchmark.settings import read_settings
from isoslice.inference.model import Model

pytestmark = pytest.mark.skipif(os.name == "nt", reason="homes are found otherwise on Windows")


@pytest.fixture(autouse=True)
def home(stack_file: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(stack_file.parent))
    elsewhere = stack_file.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    return stack_file.parent


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_commands_know_the_home_folder(
    cli: Cli, home: Path, stack_file: Path, tiny_model: Model
) -> None:
    tiny_model.save("~/tiny")
    stack = f"~/{stack_file.name}"
    found = cli("predict", stack, "-m", "~/tiny", "-o", "~/out.tif", "--report", "~/out.html")
    assert found.code == 0, found.err
    assert f"restored: {home / 'out.tif'}" in found.out
    assert (home / "out.html").is_file()
    assert not Path("~").exists()
    assert cli("info", "~/out.tif").code == 0
    images = cli("train", stack, "~/*.ome.tif", "-o", "~/own", "--steps", 1)
    assert images.code == 0, images.err
    assert (home / "own" / "config.json").is_file()


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_so_does_python(home: Path, stack_file: Path, tiny_model: Model) -> None:
    stack = f"~/{stack_file.name}"
    tiny_model.save("~/tiny")
    model = isoslice.Model.load("~/tiny")
    read = isoslice.read_volume(stack)
    (image,) = isoslice.read_images([stack])
    np.testing.assert_array_equal(image.data, read.data)
    model.predict(stack, output="~/out.tif")
    isoslice.write_volume("~/copy.tif", isoslice.read_volume("~/out.tif"))
    isoslice.export_bioimageio(isoslice.Model.pretrained(), "~/any.zip", factor=4)
    isoslice.import_bioimageio("~/any.zip")
    made = {"out.tif", "copy.tif", "any.zip", "tiny"}
    assert made <= {path.name for path in home.iterdir()}
    assert not Path("~").exists()


def test_so_do_settings_of_a_benchmark(home: Path) -> None:
    Path("b.toml").write_text('train = ["~/a/*.tif", "b.tif"]\ntest = "~/c.tif"\n[[models]]\n'
                              'name = "m"\npath = "~/m"\n')  # fmt: skip
    settings = read_settings("b.toml")
    assert settings.train == (str(home / "a" / "*.tif"), str(Path("b.tif").resolve()))
    assert settings.test == str(home / "c.tif")
    assert settings.models[0].path == str(home / "m")
