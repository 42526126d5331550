"""A model as its user sees it: predict, save, load, refuse."""

from __future__ import annotations

import json
import pickle
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.torch import load, save_file

import isoslice
from conftest import texture
from isoslice import DataError, Model, ModelError, OutputError, SettingsError, Volume
from isoslice.models.files.bundle import is_model_folder
from isoslice.runtime.device import choose_device, named
from isoslice.runtime.progress import Progress

VOXEL = (3.0, 1.0, 1.0)


class Notes(Progress):
    def __init__(self):
        self.lines, self.fractions = [], []

    def note(self, text):
        self.lines.append(text)

    def update(self, task, fraction, detail=""):
        self.fractions.append(fraction)


def stack(*shape, dtype="uint8"):
    return texture(*(shape or (4, 20, 24)), dtype=dtype)


@pytest.mark.parametrize("mode", ["sample", "mean"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
def test_measured_planes_come_back_bit_for_bit(tiny_model, dtype, mode):
    data = stack(dtype=dtype)
    result = tiny_model.predict(data, "ZYX", VOXEL, mode=mode)
    assert result.volume.dtype == data.dtype
    assert result.volume.shape == (10, 20, 24)
    np.testing.assert_array_equal(result.volume[::3], data)
    assert (result.factor, result.voxel_size) == (3, (1.0, 1.0, 1.0))


def test_axes_order_time_and_channels_are_kept(tiny_model):
    data = stack(2, 4, 20, 24).transpose(3, 1, 0, 2)  # X Z T Y
    result = tiny_model.predict(data, "XZTY", VOXEL)
    assert result.volume.shape == (24, 10, 2, 20)
    np.testing.assert_array_equal(result.volume[:, ::3], data)
    again = tiny_model.predict(data.transpose(2, 1, 3, 0), "TZYX", VOXEL)
    np.testing.assert_array_equal(again.volume.transpose(3, 1, 0, 2), result.volume)


def test_a_singleton_channel_axis_is_fine(tiny_model):
    result = tiny_model.predict(stack(4, 20, 24)[:, None], "ZCYX", VOXEL)
    assert result.volume.shape == (10, 1, 20, 24)


def test_factor_comes_from_the_voxel_size_and_is_announced(tiny_model):
    notes = Notes()
    result = tiny_model.predict(stack(), "ZYX", (4.0, 0.83, 0.83), progress=notes)
    assert result.factor == 5
    assert result.voxel_size == pytest.approx((0.8, 0.83, 0.83))
    assert any("factor 5" in line and "4.82" in line for line in notes.lines)
    assert f"computing on {named(choose_device())}" in notes.lines
    assert notes.fractions[-1] == pytest.approx(1)


def test_factor_may_be_given_without_a_voxel_size(tiny_model):
    result = tiny_model.predict(stack(), axes="ZYX", factor=2)
    assert (result.factor, result.voxel_size) == (2, None)
    assert result.volume.shape[0] == 7


@pytest.mark.usefixtures("arithmetic")
def test_same_seed_same_result(tiny_model):
    a, b, other = (tiny_model.predict(stack(), "ZYX", VOXEL, seed=s).volume for s in (0, 0, 1))
    np.testing.assert_array_equal(a, b)
    assert (a != other).any()


@pytest.mark.usefixtures("arithmetic")
def test_intensities_may_be_shifted_and_scaled(tiny_model):
    data = stack(dtype="float32")
    a = tiny_model.predict(data, "ZYX", VOXEL).volume
    b = tiny_model.predict(data * 7 - 300, "ZYX", VOXEL).volume
    np.testing.assert_allclose(b, a * 7 - 300, rtol=1e-3, atol=0.05)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_what_is_restored_lies_hardly_beyond_what_was_measured(tiny_model, dtype):
    """Whatever a network makes of planes unlike all that it learned from."""
    wild = replace(tiny_model, config=tiny_model.config.updated(sigma_data=50.0))
    data = (texture(5, 40, 44).astype(np.int16) - 100).astype(dtype)
    made = wild.predict(data, "ZYX", factor=3, mode="sample").volume
    least, most = int(data.min()), int(data.max())
    room = (most - least) / 4
    assert made.max() == pytest.approx(most + room, abs=1)
    assert made.min() == pytest.approx(least - room, abs=1)
    np.testing.assert_array_equal(made[::3], data)
    blurred = wild.predict(data, "ZYX", factor=3, mode="sample", slice_profile="slab").volume
    assert blurred.max() > most + 2 * room  # blur lowers peaks, by how much nobody knows


def test_prediction_becomes_a_volume(tiny_model):
    source = Volume(stack(), "ZYX", dict(zip("ZYX", VOXEL, strict=True)), "micrometer")
    volume = tiny_model.predict(source).to_volume()
    assert volume.voxel_size == (1.0, 1.0, 1.0)
    assert volume.unit == "micrometer"
    assert volume.provenance["model"] == tiny_model.fingerprint
    assert {"isoslice", "factor", "mode", "steps", "seed"} <= set(volume.provenance)
    json.dumps(dict(volume.provenance))


def test_saved_and_loaded_is_the_same(tiny_model, model_folder):
    loaded = Model.load(model_folder)
    assert loaded.fingerprint == tiny_model.fingerprint
    assert loaded.config == tiny_model.config
    a, b = (m.predict(stack(), "ZYX", VOXEL).volume for m in (tiny_model, loaded))
    np.testing.assert_array_equal(a, b)


def test_the_folder_holds_what_it_should(model_folder):
    names = {path.name for path in model_folder.iterdir()}
    assert names == {
        "config.json", "weights.safetensors", "README.md", "training.json",
        "spread.safetensors", "trust.json",
    }  # fmt: skip
    card = (model_folder / "README.md").read_text(encoding="utf-8")
    for part in ("invented", "pixel size: 1 x 1", "Normalisation", "| 4 |", "array 0"):
        assert part in card
    assert is_model_folder(model_folder)


def test_nothing_is_overwritten_unasked(tiny_model, model_folder):
    with pytest.raises(OutputError, match="exists"):
        tiny_model.save(model_folder)


@pytest.fixture
def copy(model_folder, tmp_path):
    return shutil.copytree(model_folder, tmp_path / "copy")


def test_pickled_weights_are_never_executed(copy, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (open, (str(tmp_path / "executed"), "w"))

    (copy / "weights.safetensors").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(ModelError, match="cannot be read"):
        Model.load(copy)
    assert not (tmp_path / "executed").exists()


@pytest.mark.parametrize(
    "change",
    [
        {"sigma_data": -1},
        {"sigma_data": "much"},
        {"format": 2},
        {"surprise": 1},
        {"network": {"widths": [8, 8], "blocks_down": [1], "blocks_up": [1, 1]}},
        {"network": {"widths": [4096] * 6, "blocks_down": [16] * 6, "blocks_up": [16] * 6}},
    ],
)
def test_tampered_settings_are_refused(copy, change):
    config = json.loads((copy / "config.json").read_text(encoding="utf-8"))
    (copy / "config.json").write_text(json.dumps({**config, **change}), encoding="utf-8")
    with pytest.raises(ModelError, match="settings that cannot be read") as caught:
        Model.load(copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", ["", "{", "[]", "\xff"])
def test_settings_that_are_no_json_are_refused(copy, content):
    (copy / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(ModelError):
        Model.load(copy)


def test_weights_of_another_network_are_refused(copy):
    weights = load((copy / "weights.safetensors").read_bytes())
    name = next(iter(weights))
    save_file({**weights, name: torch.zeros(3)}, copy / "weights.safetensors")
    with pytest.raises(ModelError, match=f"first: {name}"):
        Model.load(copy)
    weights.pop(name)
    save_file(weights, copy / "weights.safetensors")
    with pytest.raises(ModelError, match="do not fit"):
        Model.load(copy)


def test_weights_that_are_not_finite_are_refused(copy):
    weights = load((copy / "weights.safetensors").read_bytes())
    name = next(iter(weights))
    save_file({**weights, name: weights[name] * np.nan}, copy / "weights.safetensors")
    with pytest.raises(ModelError, match="not finite"):
        Model.load(copy)


def test_truncated_weights_are_refused(copy):
    file = copy / "weights.safetensors"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be read"):
        Model.load(copy)


@pytest.mark.parametrize(
    ("data", "options", "error", "words"),
    [
        (stack(), {"axes": None, "voxel_size": VOXEL}, DataError, "without axes"),
        (stack(), {"axes": "ZY", "voxel_size": VOXEL}, DataError, "2 letters"),
        (stack(), {"axes": "ZZX", "voxel_size": VOXEL}, DataError, "repeats"),
        (stack(), {"axes": "ZYX"}, DataError, "no voxel size"),
        (stack(), {"axes": "ZYX", "voxel_size": (1, 1)}, DataError, "three positive"),
        (stack(), {"axes": "ZYX", "voxel_size": (1, 1, 1)}, DataError, "isotropic already"),
        (stack(), {"axes": "CYX", "voxel_size": VOXEL}, DataError, "1 plane"),
        (stack(1, 20, 24), {"axes": "ZYX", "voxel_size": VOXEL}, DataError, "1 plane"),
        (np.full((4, 20, 24), 7), {"axes": "ZYX", "voxel_size": VOXEL}, DataError, "int64"),
        (np.full((4, 20, 24), 7, "uint8"), {"axes": "ZYX", "voxel_size": VOXEL}, DataError,
         "constant"),
        (np.full((4, 20, 24), np.nan), {"axes": "ZYX", "voxel_size": VOXEL}, DataError,
         "no finite"),
        (stack(), {"axes": "ZYX", "factor": 1}, SettingsError, "factor 1"),
        (stack(), {"axes": "ZYX", "factor": 2, "steps": 2}, SettingsError, "steps"),
        (stack(), {"axes": "ZYX", "factor": 2, "mode": "best"}, SettingsError, "mode"),
        (stack(), {"axes": "ZYX", "factor": 2, "seed": -1}, SettingsError, "seed"),
        (stack(), {"axes": "ZYX", "factor": 2, "device": "abacus"}, SettingsError, "abacus"),
    ],
)  # fmt: skip
def test_what_cannot_be_restored_is_refused(tiny_model, data, options, error, words):
    with pytest.raises(error, match=words) as caught:
        tiny_model.predict(data, **options)
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_is_no_model_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(ModelError, match="no isoslice model there"):
            Model.load(path)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_a_path_is_restored_like_its_voxels(tiny_model, stack_file, tmp_path):
    whole = tiny_model.predict(isoslice.read_volume(stack_file))
    np.testing.assert_array_equal(tiny_model.predict(stack_file).volume, whole.volume)
    output = tmp_path / "out.ome.zarr"
    written = tiny_model.predict(str(stack_file), output=str(output))
    np.testing.assert_array_equal(np.asarray(written.volume), whole.volume)
    assert written.voxel_size == whole.voxel_size
    with pytest.raises(OutputError, match="exists"):
        tiny_model.predict(stack_file, output=output)
    tiny_model.predict(stack_file, output=output, overwrite=True)


def test_what_needs_an_output_or_a_path_says_so(tiny_model, stack_file, tmp_path):
    with pytest.raises(SettingsError, match="add output=PATH"):
        tiny_model.predict(stack_file, memory="2GB")
    with pytest.raises(SettingsError, match="expected the path of a stack"):
        tiny_model.predict(isoslice.read_volume(stack_file), output=tmp_path / "a.npy")


def test_measured_data_are_never_replaced(tiny_model, stack_file):
    before = stack_file.read_bytes()
    with pytest.raises(OutputError, match="measured data are never replaced"):
        tiny_model.predict(stack_file, output=stack_file, overwrite=True)
    assert stack_file.read_bytes() == before


def test_outputs_are_checked_before_the_work(tiny_model, stack_file, tmp_path, monkeypatch):
    monkeypatch.setattr("isoslice.inference.engine.predict._predicted", None)  # not called
    with pytest.raises(OutputError, match="unknown suffix"):
        tiny_model.predict(stack_file, output=tmp_path / "out.xyz")
    (tmp_path / "out.tif").touch()
    with pytest.raises(OutputError, match="exists"):
        tiny_model.predict(stack_file, output=tmp_path / "out.tif")
    with pytest.raises(SettingsError, match="expected one or more"):
        tiny_model.predict(stack_file, output=tmp_path / "new.tif", workers=0)


def test_doubts_point_at_the_line_that_predicts(tiny_model, stack_file):
    with pytest.warns(isoslice.DoubtWarning) as doubts:
        tiny_model.predict(isoslice.read_volume(stack_file), voxel_size=(300.0, 100.0, 100.0))
    assert {doubt.filename for doubt in doubts} == {__file__}
