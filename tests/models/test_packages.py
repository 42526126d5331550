"""Packages of bioimage.io: what is in them, and a model that comes back as it went."""

import json
from dataclasses import replace
from hashlib import sha256

import imageio.v3 as iio
import numpy as np
import pytest
import tifffile

import isoslice
from conftest import texture
from isoslice.data.volume import Volume
from isoslice.errors import DataError, ModelError, OutputError, SettingsError
from isoslice.inference.model import Model
from isoslice.models.config import EndToEndConfig, MsdsrConfig, UNetSettings
from isoslice.models.exchange.export import export_bioimageio
from isoslice.models.networks.factory import build_network
from packages import contents, described, model, package, repacked


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize(
    "made",
    [model(), model(head=True), model(measured=True), model(channels=3, softening=0.2)],
    ids=["plain", "head", "told", "channels"],
)
def test_a_model_comes_back_as_it_went(made, tmp_path):
    back = isoslice.import_bioimageio(package(tmp_path, made))
    assert isinstance(back, Model)
    assert back.fingerprint == made.fingerprint
    assert (back.config, back.info, back.trust) == (made.config, made.info, made.trust)
    made.save(tmp_path / "a.model")
    back.save(tmp_path / "b.model")
    assert files_of(tmp_path / "a.model") == files_of(tmp_path / "b.model")


def test_a_trained_model_comes_back_and_predicts(tiny_model, tmp_path):
    back = isoslice.import_bioimageio(package(tmp_path, tiny_model))
    assert back.trust == tiny_model.trust
    stack, options = texture(4, 20, 24), {"voxel_size": (3.0, 1.0, 1.0), "uncertainty": True}
    results = [each.predict(stack, "ZYX", **options) for each in (tiny_model, back)]
    np.testing.assert_array_equal(results[0].volume, results[1].volume)
    np.testing.assert_array_equal(results[0].std, results[1].std)


def test_the_same_model_gives_the_same_file(tmp_path):
    first = package(tmp_path).read_bytes()
    assert package(tmp_path).read_bytes() == first


def test_all_files_are_described(tmp_path):
    path = package(tmp_path, model(head=True), authors=["A. Person"], license="CC-BY-4.0")
    files, told = contents(path), described(path)
    assert next(iter(files)) == "bioimageio.yaml"
    named, hashes = {"bioimageio.yaml", told["documentation"], *told["covers"]}, {}

    def collect(value):
        if isinstance(value, dict):
            if "sha256" in value:
                hashes[value["source"]] = value["sha256"]
            for each in value.values():
                collect(each)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(told)
    assert named | hashes.keys() == files.keys()
    assert all(sha256(files[name]).hexdigest() == digest for name, digest in hashes.items())
    assert {each["source"] for each in told["attachments"]} == {
        "config.json", "training.json", "trust.json", "spread.safetensors",
    }  # fmt: skip
    assert (told["license"], told["authors"]) == ("CC-BY-4.0", [{"name": "A. Person"}])
    readme = files["README.md"].decode()
    for heading in ("Read this first", "Uncertainty", "Training data", "Validation"):
        assert f"\n## {heading}\n" in readme
    assert "a.tif" in readme
    assert "CC-BY-4.0" in readme


def test_nothing_is_said_of_people_that_was_not_told(tmp_path):
    told = described(package(tmp_path))
    assert "license" not in told
    assert "authors" not in told


def test_no_path_of_this_machine_is_in_it(tmp_path):
    (tmp_path / "s.npy").touch()
    stack = Volume(texture(14, 60, 60), "ZYX", source=str(tmp_path / "s.tif"))
    files = contents(package(tmp_path, sample=stack))
    assert not [name for name, content in files.items() if str(tmp_path).encode() in content]


@pytest.mark.parametrize("factor", [2, 3, 4, 7, 64])
def test_sizes_are_those_of_the_program(factor, tmp_path):
    """By the format, size = int(reference size * its scale / scale + offset)."""
    path = package(tmp_path, factor=factor)
    (stack,), (volume,) = described(path)["inputs"], described(path)["outputs"]
    (z, of_volume) = (next(a for a in t["axes"] if a.get("id") == "z") for t in (stack, volume))
    for planes in range(2, 600):
        size = int(planes * z["scale"] / of_volume["scale"] + of_volume["size"]["offset"])
        assert size == (planes - 1) * factor + 1
    files = contents(path)
    given, made = (np.load(_file(files, t["test_tensor"])) for t in (stack, volume))
    assert made.shape == (1, 1, (given.shape[2] - 1) * factor + 1, *given.shape[3:])
    assert given.dtype == made.dtype == np.float32
    np.testing.assert_array_equal(made[:, :, ::factor], given)
    assert tifffile.imread(_file(files, volume["sample_tensor"])).shape == made.shape[2:]
    cover = iio.imread(files["cover.png"])
    assert cover.shape[1] == 2 * cover.shape[0]
    assert len(files["cover.png"]) < 500_000


def _file(files, named):
    import io

    return io.BytesIO(files[named["source"]])


def test_a_sample_is_shown(tmp_path):
    data = texture(14, 60, 60)
    path = package(tmp_path, sample=Volume(data, "ZYX"))
    stack = np.load(_file(contents(path), described(path)["inputs"][0]["test_tensor"]))
    np.testing.assert_array_equal(stack[0, 0], data[:13, 6:54, 6:54])
    small = package(tmp_path, sample=Volume(texture(2, 20, 18), "ZYX"))
    assert np.load(_file(contents(small), {"source": "test_output.npy"})).shape == (1, 1, 5, 20, 18)
    three = package(tmp_path, sample=Volume(texture(3, 6, 50, 50), "CZYX"))
    stack = np.load(_file(contents(three), {"source": "test_input.npy"}))
    np.testing.assert_array_equal(stack[0, 0], texture(3, 6, 50, 50)[0, :, 1:49, 1:49])


@pytest.mark.parametrize(
    ("stack", "axes", "message"),
    [
        (texture(1, 40, 40), "ZYX", "single plane"),
        (texture(40, 40), "YX", "single plane"),
        (np.full((3, 40, 40), np.nan, np.float32), "ZYX", "not finite"),
        (texture(3, 4, 40, 40), "CZYX", r"3 channel\(s\), expected the model's 2"),
    ],
)
def test_samples_that_do_not_fit(stack, axes, message, tmp_path):
    made = model(channels=2) if "C" in axes else model()
    with pytest.raises(DataError, match=message):
        package(tmp_path, made, sample=Volume(stack, axes))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (MsdsrConfig, "preset msdsr, which has no mean"),
        (EndToEndConfig, "preset end-to-end, which has a network that depends on its tiles"),
    ],
)
def test_models_of_the_paper_are_refused(config, message, tmp_path):
    shape = config(network=UNetSettings(width=8, multipliers=(1,), blocks=1, attention=()))
    with pytest.raises(ModelError, match=message):
        export_bioimageio(Model(shape, build_network(shape)), tmp_path / "a.zip")


def test_srh_is_refused(tmp_path):
    with pytest.raises(ModelError, match="a model for SRH"):
        package(tmp_path, model(channels=3, srh=True, intensities=(0, 1)))


def test_models_of_nonsense_are_refused(tmp_path):
    made = model()
    made.network.leave_gain.data.fill_(float("nan"))
    with pytest.raises(ModelError, match="voxels that are not finite"):
        package(tmp_path, made)


def test_records_of_nonsense_are_refused(tmp_path):
    """A record may be a stranger's: what is written of it must not fail half-way."""
    made = replace(model(), info={"validation": {"4": "good"}})
    with pytest.raises(ModelError, match="a training record that cannot be told"):
        package(tmp_path, made)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 1}, "got factor 1, expected 2 to 64"),
        ({"factor": 65}, "got factor 65"),
        ({"name": "a/b/c"}, "got name 'a/b/c', expected 5 to 128 letters"),
        ({"name": "abc"}, "got name"),
        ({"authors": ["A/B"]}, "without slashes"),
        ({"authors": [" "]}, "the name of a person"),
        ({"license": "do what you like"}, "spdx.org"),
        ({"tags": ["Two words"]}, "small letters"),
    ],
)
def test_options_out_of_range(options, message, tmp_path):
    with pytest.raises(SettingsError, match=message):
        package(tmp_path, **options)
    assert not list(tmp_path.iterdir())


def test_outputs_are_whole_and_never_replaced_unasked(tmp_path, monkeypatch):
    with pytest.raises(SettingsError, match=r"suffix '.model', expected .zip"):
        export_bioimageio(model(), tmp_path / "m.model")
    path = tmp_path / "m.zip"
    path.write_bytes(b"precious")
    with pytest.raises(OutputError, match="exists"):
        export_bioimageio(model(), path)
    assert path.read_bytes() == b"precious"
    monkeypatch.setattr("zipfile.ZipFile.writestr", _full)
    with pytest.raises(OutputError, match="disk is full"):
        export_bioimageio(model(), path, overwrite=True)
    assert files_of(tmp_path) == {"m.zip": b"precious"}


def _full(*_):
    raise OSError(28, "No space left on device")


def test_what_others_changed_comes_back(tmp_path):
    """Programs of bioimage.io write descriptions anew, and may add weights of other kinds."""

    def change(files):
        files["rdf.yaml"] = b"format_version: 0.5.4\ntype: model\n"
        del files["bioimageio.yaml"], files["trust.json"], files["training.json"]
        files["weights.onnx"] = b"others'"

    back = isoslice.import_bioimageio(repacked(package(tmp_path), change))
    assert back.fingerprint == model().fingerprint
    assert back.info == {}


def test_settings_are_json_and_the_description_too(tmp_path):
    told = described(package(tmp_path, model(), factor=5, tags=["nuclei", "3d"]))
    assert told["config"]["isoslice"]["fingerprint"] == model().fingerprint
    assert told["config"]["isoslice"]["factor"] == 5
    assert told["tags"].count("3d") == told["tags"].count("nuclei") == 1
    assert json.dumps(told, allow_nan=False)
