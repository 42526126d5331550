"""The model that comes with isoslice: it loads, is small, and restores what it has never seen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from scipy.ndimage import gaussian_filter

import isoslice
from conftest import Cli, texture, write_stack
from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.psnr import psnr_from_mse
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import WEIGHTS
from isoslice.models.pretrained import PRETRAINED, folder, model_path

SIZE = (4.0, 1.0, 1.0)


@pytest.fixture(scope="module")
def pretrained() -> Model:
    return Model.pretrained()


def gain(model: Model, volume: np.ndarray) -> float:
    """Return how far the mean is above linear interpolation at 4x, in dB."""
    found = model.predict(volume[::4], "ZYX", SIZE, mode="mean", device="cpu").volume
    linear = interpolate(volume[::4].astype(np.float32), even_grid(len(volume[::4]), 4))
    ours, theirs = (
        psnr_from_mse(float(np.mean((each.astype(float) - volume) ** 2)))
        for each in (found, linear)
    )
    return ours - theirs


def test_it_is_small_and_says_where_it_is_from(pretrained: Model):
    size = sum(path.stat().st_size for path in folder().iterdir())
    assert size < 6_000_000
    assert isinstance(pretrained.config, ModelConfig)
    assert pretrained.config.per_stack
    assert pretrained.config.network.channels == 1
    assert pretrained.config.network.measured
    assert len(pretrained.info["sources"]) > 20
    assert pretrained.trust.familiar is not None


def dots() -> np.ndarray:
    lit = np.random.default_rng(0).random((8, 96, 96)) > 0.995
    return (lit * 255).astype(np.uint8)


def checkerboard() -> np.ndarray:
    return np.tile((np.indices((96, 96)).sum(0) % 2 * 255).astype(np.uint8), (8, 1, 1))


@pytest.mark.parametrize("made", [dots, checkerboard])
def test_what_is_unlike_all_that_it_knows_is_warned_of(pretrained: Model, made):
    with pytest.warns(isoslice.DoubtWarning, match="unlike the images that the model learned from"):
        pretrained.predict(made(), "ZYX", SIZE, mode="mean", device="cpu")


def test_a_specimen_like_many_is_not_warned_of(pretrained: Model, recwarn):
    blobs = texture(32, 96, 96, seed=5)[::4]
    pretrained.predict(blobs, "ZYX", SIZE, mode="mean", device="cpu")
    assert not [w for w in recwarn if "unlike" in str(w.message)]


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
@pytest.mark.parametrize("contrast", [1, -1])
@pytest.mark.parametrize("scale", [1, 150])
def test_it_restores_what_it_has_never_seen_better_than_linear_interpolation(
    pretrained: Model, contrast: int, scale: int
):
    # Bodies with edges, a little blurred.
    noise = np.random.default_rng(3).normal(size=(33, 64, 64))
    bodies = gaussian_filter((gaussian_filter(noise, 4) > 0).astype(float), 0.7)
    volume = (100 * bodies).astype(np.int32) * contrast * scale
    assert gain(pretrained, volume) > 1.0


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_each_channel_is_restored_by_itself(pretrained: Model):
    channels = np.stack([texture(5, 48, 48, seed=s) for s in (0, 1)])
    found = pretrained.predict(channels, "CZYX", SIZE, device="cpu").volume
    assert found.shape == (2, 17, 48, 48)
    np.testing.assert_array_equal(found[:, ::4], channels)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_by_command_it_needs_no_training(cli: Cli, tmp_path: Path):
    stack = write_stack(tmp_path / "stack.ome.tif", texture(5, 40, 44))
    out = tmp_path / "out.ome.tif"
    assert cli("predict", stack, "-m", PRETRAINED, "-o", out, "-q").code == 0
    assert isoslice.read_volume(out).size("Z") == 13
    told = cli("info", PRETRAINED)
    assert told.code == 0
    assert "channels 1 " in " ".join(told.out.split())


def test_a_folder_called_like_it_is_meant_where_there_is_one(
    tmp_path: Path, tiny_model: Model, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    assert model_path(PRETRAINED) == folder()
    assert model_path(tmp_path / PRETRAINED) == tmp_path / PRETRAINED
    tiny_model.save(PRETRAINED)
    assert model_path(PRETRAINED) == Path(PRETRAINED)
    assert Model.load(PRETRAINED).fingerprint == tiny_model.fingerprint


def test_weights_may_be_stored_in_half_precision(tmp_path: Path, tiny_model: Model):
    tiny_model.save(tmp_path / "model")
    path = tmp_path / "model" / WEIGHTS
    weights = {name: each.clone() for name, each in load_file(path).items()}  # may be mapped
    save_file({name: each.half() for name, each in weights.items()}, path)
    for name, each in Model.load(tmp_path / "model").network.state_dict().items():
        assert each.dtype == torch.float32
        torch.testing.assert_close(each, weights[name].half().float(), rtol=0, atol=0)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_it_knows_its_errors(pretrained: Model):
    noise = np.random.default_rng(4).normal(size=(41, 64, 64))
    bodies = gaussian_filter((gaussian_filter(noise, 4) > 0).astype(float), 0.7)
    volume = (100 * bodies + 4 * noise).astype(np.float32)
    found = pretrained.predict(
        volume[::4], "ZYX", SIZE, mode="mean", uncertainty=True, device="cpu"
    )
    low, high = found.interval(0.9)
    hidden = np.arange(41) % 4 > 0
    inside = (volume >= low) & (volume <= high)
    assert 0.75 < inside[hidden].mean() < 0.99
