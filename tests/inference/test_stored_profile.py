"""The slice profile that a model stores of its training stacks, and what becomes of it."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

import isoslice
from conftest import Cli, texture, write_stack
from isoslice.data.measurement import Measurement
from isoslice.data.profile import FWHM, POINT, Profile
from isoslice.data.profile_estimate import ProfileEstimate
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, ModelError, SettingsError
from isoslice.evaluation.holdout.run import check
from isoslice.inference.found_profile import FoundProfile
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.inference.stored_profile import choose_profile, profile_to_store
from isoslice.io import read_volume
from isoslice.models.config import StoredProfile
from isoslice.models.presets import preset_config
from isoslice.runtime.progress import Progress
from tiny_training import NETWORK, SETTINGS, quickly

CONFIG = preset_config("isoslice")
SIZE = {"Z": 3.0, "Y": 1.0, "X": 1.0}
STACK = Volume(texture(6, 40, 44), "ZYX", SIZE, "micrometer")
STORED = StoredProfile(
    profile=Profile("slab", 4.0), spacings=(3.0,), unit="micrometer", told="slab of 4 µm"
)


class Notes(Progress):
    def __init__(self):
        self.notes = []

    def note(self, text):
        self.notes.append(text)


@pytest.fixture
def knowing(tiny_model):
    """A model that stores a profile."""
    return Model(tiny_model.config.updated(slice_profile=STORED), tiny_model.network)


def store(asked, *volumes, config=CONFIG):
    return profile_to_store(asked, volumes, config, Progress())


def blurred_stack(seed=0, fwhm=7.0):
    """Planes of a random volume, 4 apart, seen through a Gaussian."""
    noise = np.random.default_rng(seed).normal(size=(120, 72, 72))
    fine, rough = (gaussian_filter(noise, width) for width in (1.0, 2.5))
    volume = fine / fine.std() + 2 * rough / rough.std()
    places = tuple(map(float, range(12, 109, 4)))
    seen = Measurement(places, 120, Profile("gaussian", fwhm)).matrix
    planes = np.einsum("iz,zyx->iyx", seen, volume).astype(np.float32)
    return Volume(planes, "ZYX", {"Z": 2.0, "Y": 0.5, "X": 0.5}, "micrometer")


def test_auto_is_found_from_the_training_stack():
    notes = Notes()
    found = profile_to_store("auto", [blurred_stack()], CONFIG, notes)
    assert found is not None
    assert found.profile is not None
    assert (found.profile.kind, found.spacings, found.unit) == ("gaussian", (2.0,), "micrometer")
    assert found.error is not None
    assert found.profile.width == pytest.approx(3.5, abs=2 * found.error + 0.2)
    assert notes.notes == [f"the model stores a slice profile: {found.told}"]
    assert f"FWHM {found.profile.width:.3g} ± {found.error:.3g} micrometer" in found.told


def estimates(monkeypatch, *each):
    """Let stacks in turn tell a deviation with its error, in pixels a third of their spacing."""
    left = iter(each)

    def find(stack, *_):
        deviation, error = next(left)
        return FoundProfile(ProfileEstimate(deviation, error, 3.0, 0.01), 1.0, "micrometer")

    monkeypatch.setattr("isoslice.inference.stored_profile.find_profile", find)


def test_stacks_that_agree_give_their_mean(monkeypatch):
    estimates(monkeypatch, (2.0, 0.1), (2.2, 0.1), (5.0, 4.0))
    found = store("auto", STACK, STACK, replace(STACK, spacing={**SIZE, "Z": 4.0}))
    assert found.profile.width == pytest.approx(2.1 * FWHM)
    assert found.error == pytest.approx(0.1 / 2**0.5 * FWHM)
    assert found.spacings == (3.0, 4.0)
    assert "from the training 2 of 3 stacks" in found.told


@pytest.mark.parametrize("other", [(2.6, 0.1), (0.1, 0.1)])
def test_of_stacks_that_differ_the_user_is_told(monkeypatch, other):
    estimates(monkeypatch, (2.0, 0.1), other)
    with pytest.warns(DoubtWarning, match="profiles of different widths"):
        found = store("auto", STACK, STACK)
    assert found.profile is None
    assert "the training stacks differ: FWHM 4.71 ± 0.235" in found.told


def test_what_cannot_be_told_and_no_blur_are_stored_as_such(monkeypatch):
    estimates(monkeypatch, (2.0, 4.0))
    with pytest.warns(DoubtWarning, match="cannot tell"):
        found = store("auto", STACK)
    assert (found.profile, found.told) == (None, "the training stacks cannot tell")
    estimates(monkeypatch, (0.2, 0.1))
    found = store("auto", STACK)
    assert found.profile == POINT
    assert "no blur" in found.told


def test_what_is_given_is_stored_in_the_stacks_unit(tmp_path):
    assert store(None, STACK) is None
    assert store("point", STACK) is None
    assert store("slab", STACK).profile == Profile("slab", 3.0)
    assert store("gaussian:4", STACK).profile == Profile("gaussian", 4.0)
    (tmp_path / "psf.txt").write_text("-1 1\n0 2\n1 1\n", encoding="utf-8")
    found = store(str(tmp_path / "psf.txt"), STACK)
    assert found.profile.edges == (-1.5, -0.5, 0.5, 1.5)
    assert "psf.txt has 3 samples" in found.told
    image = Volume(texture(40, 44), "YX", {"Y": 1.0, "X": 1.0}, "micrometer")
    assert store("slab:4", image, STACK).spacings == (3.0,)


@pytest.mark.parametrize(
    ("asked", "volumes", "message"),
    [
        ("slab", [Volume(texture(40, 44), "YX", {})], r"whose planes have a spacing.*\(got none\)"),
        ("auto", [replace(STACK, spacing={})], "--voxel-size"),
        ("slab:2", [STACK, replace(STACK, unit="millimeter")], "micrometer and millimeter"),
        ("slab", [STACK, replace(STACK, spacing={**SIZE, "Z": 5.0})], "3 and 5 apart"),
        ("slab:90", [STACK], "planes wide, for a stack of 6"),
        ("none.txt", [STACK], "no file of that name"),
    ],
)
def test_what_does_not_fit_is_refused(asked, volumes, message):
    with pytest.raises(SettingsError, match=message):
        store(asked, *volumes)


def test_only_isoslices_own_recipe_stores_one():
    with pytest.raises(SettingsError, match="msdsr model, which takes planes for points"):
        quickly("msdsr", STACK, steps=1, slice_profile="slab")


def test_a_stack_like_the_training_one_has_its_profile(knowing, tiny_model):
    notes = Notes()
    asked = {"mode": "mean", "device": "cpu"}
    found = knowing.predict(STACK, progress=notes, **asked)
    expected = tiny_model.predict(STACK, slice_profile="slab:4", **asked)
    np.testing.assert_array_equal(found.volume, expected.volume)
    assert found.provenance["slice_profile"]["kind"] == "slab"
    (told,) = [note for note in notes.notes if "slice profile" in note]
    assert "(slab of 4 µm), which is undone; --slice-profile point" in told
    assert found.provenance["slice_profile_from"] == told
    points = knowing.predict(STACK, slice_profile="point", **asked)
    np.testing.assert_array_equal(points.volume[::3], STACK.data)
    other = knowing.predict(STACK, slice_profile="slab:2", **asked)
    assert other.provenance["slice_profile"]["width_in_output_planes"] == 2


@pytest.mark.parametrize(
    ("changes", "options", "reason"),
    [
        ({"spacing": {**SIZE, "Z": 4.0}}, {}, "its planes are 3 µm apart, the stack's 4"),
        ({"unit": None}, {}, "does not say how far its planes are apart"),
        ({"spacing": {}}, {"factor": 3}, "does not say how far its planes are apart"),
        ({}, {"blur": True}, "which undoes blur"),
        ({"data": STACK.data[:2]}, {}, "planes wide, for a stack of 2 planes"),
    ],
)
@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_other_stacks_and_options_take_planes_for_points(knowing, changes, options, reason):
    config = knowing.config
    asked = {name: value for name, value in options.items() if name != "factor"}
    chosen = choose_profile(PredictOptions(**asked), config, replace(STACK, **changes))
    assert not chosen.blurred
    assert reason in chosen.told
    assert "planes are taken for points" in chosen.told
    notes = Notes()
    found = knowing.predict(
        replace(STACK, **changes), mode="mean", device="cpu", progress=notes, **options
    )
    assert chosen.told in notes.notes
    assert "slice_profile" not in found.provenance


def test_lengths_are_converted_to_the_stacks_unit(knowing):
    nanometers = replace(STACK, spacing={a: 1000 * s for a, s in SIZE.items()}, unit="nanometer")
    chosen = choose_profile(PredictOptions(), knowing.config, nanometers)
    assert chosen.asked == Profile("slab", 4000.0)


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_check_takes_it_as_well(knowing):
    found = check(STACK, knowing, device="cpu")
    assert found.profile == Profile("slab", 4.0)
    assert any("which is undone" in note for note in found.notes)
    points = check(STACK, knowing, device="cpu", slice_profile="point")
    assert points.profile == POINT


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_trained_saved_continued_and_distilled(tmp_path):
    options = {"steps": 1, "device": "cpu", "network": NETWORK, "settings": SETTINGS}
    model = isoslice.train(STACK, slice_profile="gaussian:3.5", **options)
    stored = model.config.slice_profile
    assert stored.profile == Profile("gaussian", 3.5)
    model.save(tmp_path / "m.model")
    assert Model.load(tmp_path / "m.model").config.slice_profile == stored
    card = (tmp_path / "m.model" / "README.md").read_text(encoding="utf-8")
    assert "- slice profile: gaussian of 3.5 µm, as it was given" in card
    # What is learned of other images says nothing of it; a student sees the same stacks.
    again = isoslice.train(STACK, start=model, steps=1, device="cpu")
    assert again.config.slice_profile is None
    assert isoslice.train(STACK, **options).config.slice_profile is None
    student = isoslice.distill(model, STACK, steps=1, device="cpu")
    assert student.config.slice_profile == stored


def test_a_model_without_one_is_read_and_a_damaged_one_refused(knowing, tmp_path):
    knowing.save(tmp_path / "m.model")
    path = tmp_path / "m.model" / "config.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content["slice_profile"]["profile"]["width"] = -1.0
    path.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(ModelError, match="settings that cannot be read"):
        Model.load(tmp_path / "m.model")
    del content["slice_profile"]
    path.write_text(json.dumps(content), encoding="utf-8")
    assert Model.load(tmp_path / "m.model").config.slice_profile is None


@pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")
def test_by_command(cli: Cli, tmp_path, monkeypatch):
    stack, out = write_stack(tmp_path / "a.ome.tif", STACK.data), tmp_path / "b.model"
    train = isoslice.train
    small = {"network": NETWORK, "settings": SETTINGS}
    monkeypatch.setattr(
        "isoslice.training.train.train",
        lambda *a, **k: train(*a, **{**k, **small, "minutes": None, "steps": 1}),
    )
    ran = cli("train", stack, "-o", out, "--slice-profile", "slab:4", "--device", "cpu")
    assert ran.code == 0, ran.err
    assert any("the model stores a slice profile: slab of 4 µm" in line for line in ran.err)
    assert "slab of 4 µm, as it was given" in cli("info", out).out
    assert json.loads(cli("info", out, "--json").out)["slice_profile"]["spacings"] == [3.0]
    ran = cli("predict", stack, "-m", out, "-o", tmp_path / "c.tif", "--mode", "mean")
    assert any("which is undone" in line for line in ran.err)
    assert read_volume(tmp_path / "c.tif").provenance["slice_profile"]["kind"] == "slab"
    # Trained on the way, it is stored, too.
    ran = cli("predict", stack, "-o", tmp_path / "d.tif", "--mode", "mean", "--scratch",
              "--slice-profile", "gaussian:3")  # fmt: skip
    assert ran.code == 0, ran.err
    stored = Model.load(tmp_path / "d.model").config.slice_profile
    assert stored.profile == Profile("gaussian", 3.0)
    assert Model.load(out).config.slice_profile.profile == Profile("slab", 4.0)


@pytest.mark.parametrize("asked", ["Slab:4", Path("psf.txt")])
def test_profiles_are_stored_however_they_are_written(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("psf.txt").write_text("-1 1\n0 2\n1 1\n", encoding="utf-8")
    assert store(asked, STACK).profile is not None
    assert store(" Point ", STACK) is None


def test_spacings_that_differ_by_rounding_are_one():
    near = replace(STACK, spacing={**STACK.spacing, "Z": STACK.spacing["Z"] * (1 + 1e-8)})
    assert store("slab", STACK, near).profile.kind == "slab"
