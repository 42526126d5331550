"""A model of many specimens, adapted to a stack in a few steps."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

import isoslice
from conftest import texture
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack, by_channel
from isoslice.errors import SettingsError
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, OwnPlanes, Profile, TrainingSettings
from isoslice.runtime.progress import Progress
from isoslice.training import adapt as adapting
from isoslice.training import blend
from isoslice.training.adapt import adapt
from isoslice.training.blend import (
    Blend,
)

CPU = torch.device("cpu")
SIZE = (4.0, 1.0, 1.0)
SMALL = TrainingSettings(crop=32, batch=4)


class Heard(Progress):
    """Keeps notes."""

    def __init__(self) -> None:
        self.notes: list[str] = []

    def note(self, text: str) -> None:
        self.notes.append(text)


@pytest.fixture(scope="module")
def pretrained() -> Model:
    return Model.pretrained()


def stripes(planes: int = 6, side: int = 64) -> np.ndarray:
    """Planes that no model of specimens knows: steep stripes of one width, at all angles."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    angles = np.linspace(0, np.pi, planes, endpoint=False)
    waves = [np.sin((x * np.cos(a) + y * np.sin(a)) * 2 * np.pi / 5) for a in angles]
    return np.stack(waves).astype(np.float32)


def weights(model: Model) -> list[np.ndarray]:
    return [each.numpy().copy() for each in model.network.state_dict().values()]


def test_what_is_gained_is_kept_and_told(pretrained: Model):
    heard, before = Heard(), weights(pretrained)
    found = adapt(
        stripes(), axes="ZYX", voxel_size=SIZE, steps=12, device="cpu", settings=SMALL,
        progress=heard,
    )  # fmt: skip
    told = found.info["adaptation"]
    assert told["share"] > 0
    assert told["gain"] > 0.1
    assert told["gain_of_planes"] > 0
    assert told["steps"] == 12
    said = (
        f"{told['gain']:.1f} dB better than before on hidden rows of its planes, "
        f"{told['gain_of_planes']:.1f} dB better on hidden planes"
    )
    assert any(said in note for note in heard.notes)
    assert found.info["continued_from"] == pretrained.fingerprint != found.fingerprint
    assert found.info["sources"] == ["array 0"]
    assert found.trust.calibration is not None
    assert found.trust.calibration.held_out
    assert found.trust.familiar != pretrained.trust.familiar
    assert set(found.info["validation"]) == {"2", "4", "8"}
    # The one that it began with is as it was.
    for one, other in zip(before, weights(pretrained), strict=True):
        np.testing.assert_array_equal(one, other)


def test_it_knows_the_noise_of_the_stack(pretrained: Model):
    """So that the percentiles of noisier planes are not taken as they are."""
    noise = np.random.default_rng(0).normal(0, 4, (6, 64, 64))
    stack = (stripes() * 50 + noise).astype(np.float32)
    found = adapt(stack, axes="ZYX", voxel_size=SIZE, steps=12, device="cpu", settings=SMALL)
    assert found.info["adaptation"]["share"] > 0
    low, high = found.info["intensities"][0][0]
    assert found.config.noise == pytest.approx((4 / (high - low),), rel=0.2)


def test_the_result_restores_saves_and_loads(pretrained: Model, tmp_path):
    stack = texture(5, 48, 48)
    found = adapt(stack, axes="ZYX", voxel_size=SIZE, steps=2, device="cpu", settings=SMALL)
    found.save(tmp_path / "m")
    again = Model.load(tmp_path / "m")
    assert again.info["adaptation"] == found.info["adaptation"]
    assert again.config == found.config
    assert again.config.per_stack  # units are those of whatever is restored
    volume = again.predict(stack, "ZYX", SIZE, mode="mean", device="cpu").volume
    assert volume.shape == (17, 48, 48)
    np.testing.assert_array_equal(volume[::4], stack)


@pytest.mark.parametrize(
    ("stack", "reason"),
    [
        (texture(5, 24, 60), "too small"),
        (texture(1, 48, 48), "too few"),
        (np.stack([texture(1, 48, 48)[0], np.zeros((48, 48), np.uint8)]), "too few"),
    ],
)
def test_what_cannot_be_learned_from_leaves_the_model_as_it_was(pretrained, stack, reason):
    heard = Heard()
    found = adapt(stack, axes="ZYX", voxel_size=SIZE, steps=1, device="cpu", progress=heard)
    assert found.fingerprint == pretrained.fingerprint
    assert found.info["adaptation"]["share"] == 0
    assert reason in found.info["adaptation"]["reason"]
    assert any(reason in note for note in heard.notes)


def test_what_makes_it_worse_is_not_kept(pretrained: Model, monkeypatch):
    monkeypatch.setattr(adapting, "RATE", 3.0)
    monkeypatch.setattr(blend, "SHARES", (1.0,))
    found = adapt(
        texture(6, 48, 48), axes="ZYX", voxel_size=SIZE, steps=3, device="cpu", settings=SMALL
    )
    assert found.fingerprint == pretrained.fingerprint
    assert found.trust == pretrained.trust
    told = found.info["adaptation"]
    assert (told["share"], told["gain"], told["gain_of_planes"]) == (0, 0, None)
    assert "not gain" in told["reason"]


def test_each_channel_counts_by_itself(pretrained: Model, monkeypatch):
    seen = {}
    best = adapting.best_blend

    def look(old, new, judged, *rest) -> Blend:
        seen["judged"] = judged
        return best(old, new, judged, *rest)

    monkeypatch.setattr(adapting, "best_blend", look)
    smooth = gaussian_filter(texture(6, 64, 64).astype(np.float32), (0, 4, 4))
    constant, rough = np.full_like(smooth, 3), 100 + 1000.0 * texture(6, 64, 64, seed=3)
    both = np.stack([smooth, constant, rough])
    found = adapt(both, axes="CZYX", voxel_size=SIZE, steps=2, device="cpu", settings=SMALL)
    assert [each.held_out.data.shape[1] for each in seen["judged"]] == [1, 1]
    assert [each.planes.data.shape for each in seen["judged"]] == [(6, 1, 64, 64)] * 2
    of_smooth, of_rough = (each.config.sigma_data for each in seen["judged"])
    assert of_rough > 1.5 * of_smooth
    assert found.config.network.channels == 1
    assert found.config.noise is None  # there is none that both have
    assert found.predict(both, "CZYX", SIZE, mode="mean", device="cpu").volume.shape[0] == 3


def test_planes_are_judged_as_they_are_restored(pretrained: Model, monkeypatch):
    seen: dict[str, Any] = {}

    def look(old, new, judged, *rest) -> Blend:
        seen.update(training=judged[0].config.training, planes=judged[0].planes)
        return Blend(old, 0.0)

    monkeypatch.setattr(adapting, "best_blend", look)
    options = {"axes": "ZYX", "voxel_size": SIZE, "steps": 1, "device": "cpu"}
    adapt(texture(6, 64, 64), factor=3, settings=SMALL, **options)
    judged = seen["training"]
    assert (judged.factors, judged.even_share, judged.measured_share) == ((3,), 1.0, 0.0)
    assert len(seen["planes"].data) == 6
    own = OwnPlanes(distance=4.0, profile=Profile("slab", 4.0))
    adapt(texture(6, 64, 64), settings=SMALL.updated(own_planes=own), **options)
    judged = seen["training"]
    assert (judged.own_planes, judged.own_share, judged.measured_share) == (own, 1.0, 1.0)
    assert seen["planes"] is None  # hidden ones would be blurred, too


@pytest.mark.parametrize(
    ("blank", "time", "judged"),
    [
        ((), 0, range(7)),
        ((0, 1, 6), 1, range(7)),  # most planes are judged by
        ((7, 8, 13), 0, range(7)),
        ((0, 1, 7, 8, 13), 0, range(2, 7)),
        ((3,), 0, None),
        ((10,), 0, None),
    ],
)
def test_planes_are_judged_if_none_between_others_is_missing(
    pretrained: Model, monkeypatch, blank: tuple[int, ...], time: int, judged: range | None
):
    """Blank planes at the ends, of which MRI and CT have many, do not count."""
    seen: list[PlaneStack | None] = []

    def look(old, new, judged, *_) -> Blend:
        seen.append(judged[0].planes)
        return Blend(old, 0.0)

    monkeypatch.setattr(adapting, "best_blend", look)
    movie = np.stack([texture(7, 64, 64, seed=seed) for seed in (1, 2)])
    movie.reshape(14, 64, 64)[list(blank)] = 0
    adapt(movie, axes="TZYX", voxel_size=SIZE, steps=1, device="cpu", settings=SMALL)
    (planes,) = seen
    if judged is None:
        assert planes is None
        return
    assert planes is not None
    np.testing.assert_array_equal(planes.data[:, 0], movie[time, list(judged)])


@pytest.mark.parametrize(
    ("size", "factor", "planes"),
    [((4.0, 1.0, 1.0), 4, 6), ((8.0, 1.0, 1.0), 8, 6), ((1.0, 1.0, 1.0), 4, None), (None, 4, 6)],
)
def test_planes_are_as_far_apart_as_the_voxel_size_says(
    pretrained: Model, monkeypatch, size, factor: int, planes: int | None
):
    seen: dict[str, Any] = {}

    def look(old, new, judged, *rest) -> Blend:
        seen["judged"] = judged[0]
        return Blend(old, 0.0)

    monkeypatch.setattr(adapting, "best_blend", look)
    adapt(texture(6, 64, 64), axes="ZYX", voxel_size=size, steps=1, device="cpu", settings=SMALL)
    judged = seen["judged"]
    assert (judged.factor, judged.config.training.factors) == (factor, (factor,))
    assert (None if judged.planes is None else len(judged.planes.data)) == planes


def test_most_examples_have_rows_as_far_apart_as_the_planes(pretrained: Model, monkeypatch):
    """Units are measured as ever: they are what the network, and a restoration, count in."""
    learned: list[Any] = []

    class Objective(adapting.ResidualObjective):
        def __init__(self, config, **options):
            learned.append(config.training)
            super().__init__(config, **options)

    monkeypatch.setattr(adapting, "ResidualObjective", Objective)
    options = {"axes": "ZYX", "voxel_size": SIZE, "device": "cpu"}
    found = adapt(stripes(), factor=3, settings=SMALL, steps=12, **options)
    assert found.info["adaptation"]["share"] > 0
    assert found.info["adaptation"]["factor"] == 3
    kept, base = found.config.training, pretrained.config.training
    assert (kept.factors, kept.even_share) == (base.factors, base.even_share)
    (seen,) = learned
    assert (seen.factors, seen.even_share, seen.no_signal_share) == ((3,), 0.9, 0.5)
    assert seen.measured_share == 0.1
    lost = stripes()
    lost[2] = 0
    adapt(lost, settings=SMALL, steps=1, missing="auto", **options)
    assert learned.pop().even_share == base.even_share  # gaps are not alike
    ends = stripes()
    ends[[0, -1]] = 0
    adapt(ends, settings=SMALL, steps=1, missing="auto", **options)
    assert learned.pop().even_share == 0.9  # between other planes, none is missing
    own = OwnPlanes(distance=4.0, profile=Profile("slab", 4.0))
    blurred = SMALL.updated(own_planes=own, measured_share=0.7)
    adapt(stripes(), settings=blurred, steps=1, **options)
    assert learned[1].own_planes == own
    assert (learned[1].factors, learned[1].measured_share) == (blurred.factors, 0.7)
    # Images, and planes as near as pixels, may be restored at any distance.
    for size in (None, (1.0, 1.0, 1.0)):
        found = adapt(stripes(), settings=SMALL, steps=1, **{**options, "voxel_size": size})
        assert (learned.pop().factors, found.info["adaptation"]["factor"]) == (SMALL.factors, None)


def test_it_depends_on_the_seed_alone(pretrained: Model):
    def made(seed: int) -> str:
        options = {"axes": "ZYX", "voxel_size": SIZE, "steps": 4, "device": "cpu"}
        return adapt(stripes(), seed=seed, settings=SMALL, **options).fingerprint

    assert made(1) == made(1) != made(2)


def test_models_of_particular_specimens_are_refused(tiny_model: Model):
    with pytest.raises(SettingsError, match="model of particular specimens to adapt"):
        adapt(texture(6, 48, 48), model=tiny_model, axes="ZYX", voxel_size=SIZE, steps=1)


def test_channels_become_stacks():
    data = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    stack = PlaneStack(data, Normalization((0.0, 1.0, 2.0), (5.0, 6.0, 7.0)))
    found = by_channel([stack, replace(stack, data=data + 1)])
    assert len(found) == 6
    np.testing.assert_array_equal(found[1].data, data[:, 1:2])
    assert found[1].normalization == Normalization((1.0,), (6.0,))
    np.testing.assert_array_equal(found[3].data, data[:, :1] + 1)


def test_it_is_public():
    assert isoslice.adapt is adapt
    assert isinstance(isoslice.Model.pretrained().config, ModelConfig)
