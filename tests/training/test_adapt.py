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
from isoslice.data.crops import draw_crops
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack, by_channel
from isoslice.errors import SettingsError
from isoslice.inference.model import Model
from isoslice.inference.rows import restore_rows
from isoslice.models.config import ModelConfig, OwnPlanes, Profile, TrainingSettings
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.runtime.progress import Progress
from isoslice.training import adapt as adapting
from isoslice.training import blend
from isoslice.training.adapt import adapt
from isoslice.training.blend import (
    CROPS,
    Blend,
    Judged,
    best_blend,
    blended,
    plane_error,
    row_error,
)
from tiny_head import TINY, let_hear, network

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


def test_blends_lie_between_two_networks():
    old, new = network(gain=0.0), network(gain=0.4)
    let_hear(new)
    for share, other in ((0.0, old), (1.0, new)):
        pairs = zip(
            blended(old, new, share).state_dict().values(), other.state_dict().values(),
            strict=True,
        )  # fmt: skip
        for one, two in pairs:
            torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-5)
    assert float(blended(old, new, 0.5).leave_gain.detach()) == pytest.approx(0.25)


@pytest.fixture
def judged() -> Judged:
    planes = PlaneStack(texture(7, 64, 64)[:, None], Normalization((0.0,), (200.0,)))
    config = TINY.updated(training=SMALL.updated(factors=(4,), even_share=1.0), softening=0.16)
    return Judged(config, planes, planes, 4)


def test_the_better_of_two_is_found_and_no_worse_one(judged: Judged):
    quiet, loud = network(gain=0.0), network(gain=3.0)  # the first one interpolates
    assert best_blend(quiet, loud, [judged], CPU).share == 0
    found = best_blend(loud, quiet, [judged], CPU)
    assert found.share == 1
    assert found.gain == pytest.approx((found.rows + found.planes) / 2)
    assert min(found.rows, found.planes) > 1
    before, after = (
        row_error(net, judged.held_out, judged.config, CROPS, CPU) for net in (loud, quiet)
    )
    assert found.rows == pytest.approx(10 * np.log10(before / after), rel=1e-4)


def test_planes_of_any_width_are_judged_in_bounded_time(judged: Judged, monkeypatch):
    restored, told = [], []

    def restore(network, config, images, masks, mode):
        restored.append(tuple(images.shape))
        return restore_rows(network, config, images, masks, mode=mode)

    class Listen(Progress):
        def update(self, task, fraction, detail=""):
            told.append(fraction)

    monkeypatch.setattr(blend, "restore_rows", restore)
    monkeypatch.setattr(blend, "MOST_COLUMNS", 40)
    best_blend(network(gain=3.0), network(gain=0.0), [judged], CPU, Listen())
    assert set(restored) == {(24, 1, 25, 40)}
    assert told == [0, 0.25, 0.5, 0.75, 1]


def test_larger_shares_than_one_that_restores_worse_are_not_kept(judged: Judged, monkeypatch):
    """As of nuclei, of which few planes say that a quarter is worse, and all of it better."""
    gains = iter([0.1, -0.2, 0.3])  # of a quarter, half and all

    def errors(network, judged, device):
        rows, planes = (0.0, 0.0) if network is old else (0.5, next(gains))
        return [10 ** (-rows / 10)], [10 ** (-planes / 10)]

    old, new = network(gain=0.0), network(gain=0.4)
    monkeypatch.setattr(blend, "_errors", errors)
    found = best_blend(old, new, [judged], CPU)
    assert (found.share, found.rows, found.planes) == pytest.approx((0.25, 0.5, 0.1))
    assert next(gains) == 0.3  # was not tried


@pytest.mark.parametrize(
    ("rows", "planes", "share"),
    [
        ((0.25, 0.42, 0.59), (0.22, 0.27, 0.19), 1.0),  # of mouse_ct_1: the volume gains most
        ((0.25, 0.42, 0.49), (0.22, 0.27, 0.01), 0.5),
        ((0.25, 0.42, 0.59), (0.22, 0.27, -0.01), 0.5),
        ((0.01, 0.015, 0.03), (0.0, 0.0, -0.1), 0.0),  # too little to be worth it
    ],
)
def test_a_share_is_as_good_as_rows_and_planes_together(
    judged: Judged, monkeypatch, rows, planes, share: float
):
    after = zip(rows, planes, strict=True)

    def errors(network, judged, device):
        gains = (0.0, 0.0) if network is old else next(after)
        return tuple([10 ** (-gain / 10)] for gain in gains)

    old, new = network(gain=0.0), network(gain=0.4)
    monkeypatch.setattr(blend, "_errors", errors)
    assert best_blend(old, new, [judged], CPU).share == share


def test_what_helps_rows_alone_is_not_kept(judged: Judged, monkeypatch):
    monkeypatch.setattr(blend, "plane_error", lambda net, *_: 1 + float(net.leave_gain < 2.9))
    quiet, loud = network(gain=0.0), network(gain=3.0)
    assert best_blend(loud, quiet, [judged], CPU).share == 0
    without = replace(judged, planes=None)
    found = best_blend(loud, quiet, [without], CPU)
    assert (found.share, found.gain) == (1, found.rows)
    assert judged.planes is not None
    few = replace(judged, planes=replace(judged.planes, data=judged.planes.data[:4]))
    assert best_blend(loud, quiet, [few], CPU).share == 1


def test_row_errors_of_no_change_are_those_of_interpolation(judged: Judged):
    found = row_error(network(gain=0.0), judged.held_out, judged.config, 128, CPU)
    generator, errors = torch.Generator().manual_seed(0), []
    for _ in range(4):
        images = draw_crops([judged.held_out], 32, 32, generator)
        example = draw_example(images, judged.config, generator)
        base = torch.sinh(example.base * np.arcsinh(1 / 0.16)) * 0.16
        errors.append((base - images)[example.hidden.expand_as(images)])
    assert found == pytest.approx(float(torch.cat(errors).square().mean()), rel=1e-4)


@pytest.mark.parametrize("count", [5, 6, 7, 200])
def test_plane_errors_of_no_change_are_those_of_interpolation(judged: Judged, count: int):
    data = texture(count, 20, 24)[:, None]
    stack = replace(judged.held_out, data=data)
    config = judged.config.updated(softening=None)
    found = plane_error(network(gain=0.0), stack, config, 4, 100, CPU)
    planes = data[:, 0].astype(np.float64) / 200
    if count == 200:  # the middle 65
        planes = planes[67:132]
    planes = planes[: (len(planes) - 1) // 2 * 2 + 1]
    error = (planes[:-2:2] + planes[2::2]) / 2 - planes[1::2]
    assert found == pytest.approx(np.square(error).mean(), rel=1e-4)


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
