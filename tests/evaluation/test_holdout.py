"""Measured planes left out and restored: oracles for scores, ratios and verdicts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter, gaussian_filter1d

import isoslice
from conftest import texture
from isoslice.data.coarse import turned
from isoslice.data.grid import crop_to_grid, even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.masking import fill_rows
from isoslice.data.psnr import psnr
from isoslice.data.volume import Volume, from_tczyx
from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.holdout import run as checking
from isoslice.evaluation.holdout.extrapolation import (
    fill_errors,
    interpolation_errors,
    model_ratio,
    pick_crops,
    rows_fit,
)
from isoslice.evaluation.holdout.hide import interpolate_hidden, restore_hidden
from isoslice.evaluation.holdout.result import BIN, METHODS, binned
from isoslice.evaluation.holdout.run import check, middle_of
from isoslice.evaluation.metrics import data_range_of, ssim


def linear_predict(monkeypatch, spoil=lambda planes: planes):
    """Let the model interpolate linearly, and then do what `spoil` does."""
    calls = []

    def predict(self, stack, factor, **options):
        calls.append((stack.data.shape, factor, options["mode"]))
        data = stack.tczyx()
        grid = even_grid(data.shape[2], factor)
        made = np.stack([[interpolate(c, grid) for c in t] for t in data])
        return isoslice.Prediction(
            from_tczyx(spoil(made), stack.axes), stack.axes, None, factor, {}
        )

    monkeypatch.setattr(isoslice.Model, "predict", predict)
    return calls


@given(count=st.integers(3, 12), seed=st.integers(0, 99))
def test_every_plane_but_the_outermost_is_restored_from_its_two_neighbours(count, seed):
    planes = np.random.default_rng(seed).random((2, 1, count, 3, 4))
    seen = []

    def halfway(kept, start):
        seen.append((start, kept.shape[2]))
        return (kept[:, :, :-1] + kept[:, :, 1:]) / 2

    found = restore_hidden(planes, halfway)
    expected = (planes[:, :, :-2] + planes[:, :, 2:]) / 2
    np.testing.assert_allclose(found, expected)
    assert sum(kept for _, kept in seen) <= count
    assert [start for start, _ in seen] == ([0, 1] if count > 3 else [0])
    one = interpolate_hidden(planes[0, 0], "linear")
    np.testing.assert_allclose(one, expected[0, 0], rtol=1e-6)
    before = interpolate_hidden(planes[0, 0], "nearest")
    np.testing.assert_array_equal(before, planes[0, 0, :-2].astype(np.float32))


@pytest.mark.parametrize(
    ("method", "half"),
    [
        ("nearest", [1.0, 0.0]),
        ("linear", [1 / 2, 1 / 2]),
        ("cubic", [-1 / 16, 9 / 16, 9 / 16, -1 / 16]),
        # sinc(x) sinc(x / 3) at 2.5, 1.5 and 0.5, normalised.
        ("lanczos", [0.024457, -0.135870, 0.611413, 0.611413, -0.135870, 0.024457]),
    ],
)
def test_hidden_planes_are_interpolated_by_the_method_that_was_named(method, half):
    planes = np.random.default_rng(0).random((13, 3, 4), np.float32)
    around = planes[7 - len(half) : 6 + len(half) : 2]  # of plane 6, far from the ends
    found = interpolate_hidden(planes, method)[5]
    np.testing.assert_allclose(found, np.tensordot(half, around, 1), atol=1e-5)


def test_an_unknown_interpolation_is_refused():
    with pytest.raises(SettingsError, match="expected one of"):
        interpolate_hidden(np.zeros((5, 3, 4), np.float32), "trilinear-misaligned")


def test_a_stack_that_is_linear_along_z_has_no_error(tiny_model, monkeypatch):
    linear_predict(monkeypatch)
    slope, start = np.random.default_rng(0).integers(1, 9, (2, 40, 44))
    stack = (start + slope * np.arange(7)[:, None, None]).astype(np.float32)
    found = check(stack, tiny_model, "ZYX", (3, 1, 1))
    assert found.psnr["linear"] == found.psnr["model"] == found.predicted["model"] == np.inf
    assert found.gain == found.predicted_gain == 0
    assert (found.tested, found.better) == (5, 0)
    assert not found.error_map.any()
    assert "no better" in found.verdict


def test_scores_are_those_of_the_metrics(tiny_model, monkeypatch):
    calls = linear_predict(monkeypatch)
    stack = texture(6, 40, 44, dtype="float32")
    found = check(stack, tiny_model, "ZYX", (3, 1, 1))
    assert calls == [((3, 40, 44), 6, "mean"), ((3, 40, 44), 6, "mean")]
    made, inner, peak = (stack[:-2] + stack[2:]) / 2, stack[1:-1], data_range_of(stack)
    assert found.psnr["linear"] == pytest.approx(psnr(made, inner, peak), abs=1e-4)
    assert found.psnr["model"] == pytest.approx(found.psnr["linear"], abs=1e-4)
    (channel,) = found.channels
    for i, plane in enumerate(channel.planes):
        assert plane.plane == i + 1
        assert plane.psnr["linear"] == pytest.approx(psnr(made[i], inner[i], peak), abs=1e-4)
        assert plane.ssim["linear"] == pytest.approx(ssim(made[i], inner[i], peak), abs=1e-4)
    rms = np.sqrt(((made - inner) ** 2).mean(0))
    np.testing.assert_allclose(found.error_map[0, 0], rms, rtol=1e-4)
    corner = np.sqrt(((made - inner)[2, :BIN, :BIN] ** 2).mean())
    assert found.errors[0, 0, 2, 0, 0] == pytest.approx(corner, rel=1e-4)
    assert found.errors.shape == (1, 1, 4, 5, 6)


def test_a_plane_that_was_corrupted_is_the_worst(tiny_model, monkeypatch):
    linear_predict(monkeypatch)
    stack = texture(12, 40, 44, dtype="float32")
    stack[7] = stack[7][::-1]
    (channel,) = check(stack, tiny_model, "ZYX", (3, 1, 1), missing="none").channels
    assert min(channel.planes, key=lambda plane: plane.psnr["linear"]).plane == 7


def test_a_model_that_is_worse_or_better_is_called_so(tiny_model, monkeypatch):
    rng = np.random.default_rng(0)
    stack = texture(10, 48, 48, dtype="float32")
    linear_predict(monkeypatch, lambda made: made + 40 * rng.standard_normal(made.shape))
    worse = check(stack, tiny_model, "ZYX", (2, 1, 1))
    assert worse.gain < -1
    assert worse.better == 0
    assert "worse than linear" in worse.verdict
    assert "do not trust it here" in worse.verdict
    truth = np.repeat(stack, 2, axis=0)[:-1]

    def knows(self, kept, factor, **options):
        first = int(np.flatnonzero((stack == kept.data[0]).all((1, 2)))[0])
        grid = even_grid(len(kept.data), factor)
        made = (interpolate(kept.data, grid) + truth[2 * first :][: grid.depth]) / 2
        return isoslice.Prediction(made, "ZYX", None, factor, {})

    monkeypatch.setattr(isoslice.Model, "predict", knows)
    better = check(stack, tiny_model, "ZYX", (2, 1, 1))
    assert better.gain == pytest.approx(20 * np.log10(2), abs=1e-3)
    assert better.better == better.tested == 8
    assert "6.0 dB better" in better.verdict


def test_channels_and_times_are_scored_apart_and_a_constant_one_not_at_all(monkeypatch):
    linear_predict(monkeypatch)
    model = Dummy(2)
    stack = np.stack([texture(5, 2, 15, 14, seed=i, dtype="float32") for i in range(2)])
    stack[1, :, 1] = 9  # channel 1 at time 1
    volume = Volume(stack, "TZCYX", {"Z": 4, "Y": 1, "X": 1}, channel_names=("a", "b"))
    found = check(volume, model)
    assert [(c.time, c.name) for c in found.channels] == [(0, "a"), (0, "b"), (1, "a")]
    assert any("channel b, time point 1 is constant" in note for note in found.notes)
    alone = check(stack[0, :, 1], Dummy(1), "ZYX", (4, 1, 1))
    assert found.channels[1].psnr == alone.psnr
    assert found.errors_volume().axes == "TCZYX"
    assert found.errors_volume().spacing == {"Z": 4, "Y": BIN, "X": BIN}
    errors = [10 ** (-c.psnr["linear"] / 10) for c in found.channels]
    assert found.psnr["linear"] == pytest.approx(-10 * np.log10(np.mean(errors)))


class Dummy(isoslice.Model):
    """A model whose network is never asked: planes are too small, and `predict` is replaced."""

    def __init__(self, channels: int) -> None:
        from isoslice.models.config import ModelConfig, NetworkSettings

        config = ModelConfig(network=NetworkSettings(channels=channels), sigma_data=0.1)
        super().__init__(config, torch.nn.Identity())


@pytest.mark.parametrize("factor", [2, 3, 5])
@pytest.mark.parametrize("method", ["linear", "cubic"])
def test_ratio_of_white_noise_is_the_known_one(factor, method):
    noise = np.random.default_rng(0).normal(size=(1, 30, 120, 130)).astype(np.float32)
    found = interpolation_errors(noise, factor, method)
    if method == "cubic":
        assert found.middle[0] == pytest.approx(1 + 2 * (9 / 16) ** 2 + 2 / 16**2, rel=0.03)
        return
    t = np.arange(1, factor) / factor
    assert found.all_rows[0] == pytest.approx(1 + np.mean(t**2 + (1 - t) ** 2), rel=0.03)
    assert found.middle[0] == pytest.approx(1.5, rel=0.03)


def test_interpolation_and_filling_rows_agree_and_a_model_that_is_linear_has_its_ratio():
    planes = texture(9, 64, 72, dtype="float32")[None]
    exact = interpolation_errors(planes, 3)
    crops = pick_crops(planes)
    assert crops.shape == (9, 1, 64, 72)
    filled = fill_errors(crops, 3, fill_rows)
    np.testing.assert_allclose(filled.all_rows, exact.all_rows, rtol=1e-3)
    np.testing.assert_allclose(filled.middle, exact.middle, rtol=5e-3)
    np.testing.assert_allclose(model_ratio(crops, 3, fill_rows, exact), exact.ratio)


def test_ratio_is_free_of_scale():
    planes = texture(5, 64, 64, dtype="float32")[None]
    ratio = interpolation_errors(planes, 4).ratio
    np.testing.assert_allclose(interpolation_errors(7 * planes + 3, 4).ratio, ratio, rtol=1e-4)


def test_planes_must_be_large_enough_to_hide_rows():
    assert rows_fit(17, 40, 8)
    assert not rows_fit(16, 40, 8)
    assert not rows_fit(17, 40, 8, 8)


@pytest.mark.parametrize("factor", [2, 4])
def test_what_is_foretold_of_interpolation_holds_in_isotropic_texture(
    tiny_model, monkeypatch, factor
):
    """The bar of 1 dB, where the truth is known: a random field, alike in all directions."""
    linear_predict(monkeypatch)
    noise = np.random.default_rng(3).normal(size=(81, 96, 96))
    truth = (gaussian_filter(noise, 2) + 0.02 * noise).astype(np.float32)
    stack = thin(truth, factor)
    found = check(stack, tiny_model, "ZYX", (factor, 1, 1))
    hidden = ~even_grid(len(stack), factor).mask
    for way in METHODS[1:]:
        made = interpolate(stack, even_grid(len(stack), factor), way)
        true = psnr(made[hidden], crop_to_grid(truth, factor)[hidden], data_range_of(truth))
        assert found.psnr[way] < true - 1  # which is not what is foretold
        assert found.predicted[way] == pytest.approx(true, abs=0.6)


def test_small_planes_foretell_nothing_and_say_so(tiny_model):
    found = check(texture(5, 16, 16), tiny_model, "ZYX", factor=8)
    assert set(found.predicted.values()) == {None}
    assert found.predicted_gain is None
    assert any("too small to foretell" in note for note in found.notes)


@pytest.mark.parametrize("mode", [None, "mean", pytest.param("sample", marks=pytest.mark.slow)])
def test_the_model_itself_is_asked(tiny_model, mode):
    stack = texture(6, 40, 44)
    found = check(stack, tiny_model, "ZYX", (2, 1, 1), mode=mode)
    assert found.mode == (mode or "mean")
    kept = tiny_model.predict(stack[::2], "ZYX", factor=4, mode=found.mode).volume
    error = np.subtract(kept[2], stack[1], dtype=np.float64)
    assert found.channels[0].planes[0].psnr["model"] == pytest.approx(
        10 * np.log10(data_range_of(stack) ** 2 / (error**2).mean())
    )
    assert np.isfinite(found.predicted["model"])
    again = check(stack, tiny_model, "ZYX", (2, 1, 1), mode=mode)
    assert again.to_json() == found.to_json()


@pytest.mark.slow
def test_recipes_without_a_mean_or_a_sample_are_checked_too():
    from isoslice.models.config import EndToEndConfig, MaskedTraining, MsdsrConfig, UNetSettings
    from isoslice.models.networks.factory import build_network

    shape = UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4)
    training = MaskedTraining(crop=24, hidden_rows=(2, 16))
    for kind, mode in ((MsdsrConfig, "sample"), (EndToEndConfig, "mean")):
        config = kind(network=shape, training=training)
        model = isoslice.Model(config, build_network(config).eval().requires_grad_(False))
        steps = 3 if kind is MsdsrConfig else None
        found = check(texture(4, 24, 24), model, "ZYX", factor=2, steps=steps)
        assert (found.mode, found.recipe) == (mode, config.recipe)
        assert found.predicted["model"] is not None
        assert any("follow that of linear" in note for note in found.notes)


def test_a_model_of_one_channel_is_checked_on_each_of_several(tiny_model):
    first, second = texture(5, 64, 64), texture(5, 64, 64, seed=1)
    both = check(np.stack([first, second], axis=1), tiny_model, "ZCYX", (2, 1, 1))
    assert [one.channel for one in both.channels] == [0, 1]
    for one, alone in zip(both.channels, (first, second), strict=True):
        expected = check(alone, tiny_model, "ZYX", (2, 1, 1)).channels[0]
        assert one.psnr == pytest.approx(expected.psnr)
        assert one.predicted["linear"] == pytest.approx(expected.predicted["linear"], abs=0.5)
        assert one.predicted["model"] is not None


def test_lost_planes_and_padding_are_not_scored(tiny_model):
    stack = texture(7, 48, 48, dtype="int16")
    stack[3] = 0
    stack[:, :8] = -32768
    stack[3] = 0
    found = check(stack, tiny_model, "ZYX", (2, 1, 1))
    assert [plane.plane for plane in found.channels[0].planes] == [1, 2, 4, 5]
    assert found.lost == (((3,),),)
    assert np.isnan(found.errors[0, 0, 2]).all()
    assert np.isfinite(np.delete(found.errors[0, 0], 2, axis=0)).all()
    assert np.isfinite(found.error_map).all()
    assert found.channels[0].data_range < 300
    with pytest.raises(DataError, match="lost all planes"):
        check(stack[[0, 3, 6]], tiny_model, "ZYX", (2, 1, 1))


def test_errors_lie_as_the_stack_does(tiny_model):
    stack = Volume(texture(5, 40, 48), "ZYX", {"Z": 3.0, "Y": 1.0, "X": 1.0}, "micrometer")
    plain = check(stack, tiny_model).errors_volume()
    found = check(turned(stack, "X"), tiny_model)
    assert found.along == found.to_json()["along"] == "X"
    volume = found.errors_volume()
    assert volume.axes == "XYZ"
    assert volume.spacing == {"X": 3.0, "Y": BIN, "Z": BIN}
    np.testing.assert_array_equal(volume.data, plain.data)


def test_too_few_planes_and_contradictions_are_refused(tiny_model):
    with pytest.raises(DataError, match="at least three"):
        check(texture(2, 40, 44), tiny_model, "ZYX", (2, 1, 1))
    with pytest.raises(DataError, match="voxel size"):
        check(texture(4, 40, 44), tiny_model, "ZYX")
    with pytest.raises(SettingsError, match="mode"):
        check(texture(4, 40, 44), tiny_model, "ZYX", (2, 1, 1), mode="median")


@pytest.mark.parametrize(
    ("sources", "name", "told"),
    [
        (["a.tif", "b.tif"], "folder/b.tif", True),
        (["a.tif"], "b.tif", False),
        (None, "b.tif", False),
        ("b.tif", "b.tif", False),
        (["array"], "array", False),
    ],
)
def test_a_model_that_has_seen_the_hidden_planes_is_told(tiny_model, sources, name, told):
    info = {} if sources is None else {"sources": sources}
    model = isoslice.Model(tiny_model.config, tiny_model.network, info)
    volume = Volume(texture(4, 24, 24), "ZYX", {"Z": 2, "Y": 1, "X": 1}, source=name)
    assert any("optimistic" in note for note in check(volume, model).notes) == told


def test_of_a_large_stack_the_middle_is_read(monkeypatch):
    monkeypatch.setattr(checking, "MAX_VOXELS", 2 * 30 * 300 * 300)
    data = np.random.default_rng(0).integers(0, 255, (40, 400, 300), np.uint8)
    notes: list[str] = []
    found = middle_of(Volume(data, "ZYX"), 2, notes).data
    assert found.size * 2 <= checking.MAX_VOXELS * 1.05
    depth, height, width = found.shape
    z, y, x = (40 - depth) // 2, (400 - height) // 2, (300 - width) // 2
    np.testing.assert_array_equal(found, data[z : z + depth, y : y + height, x : x + width])
    assert notes
    assert f"middle {depth} of {height} x {width}" in notes[0]
    small = Volume(data[:4], "ZYX")
    np.testing.assert_array_equal(middle_of(small, 2, notes).data, small.data)
    assert len(notes) == 1


@given(height=st.integers(1, 30), width=st.integers(1, 30))
def test_bins_keep_the_sum(height, width):
    planes = np.random.default_rng(0).random((2, height, width)).astype(np.float32)
    found = binned(planes)
    assert found.shape == (2, -(-height // BIN), -(-width // BIN))
    sizes = np.outer(*(np.diff([*range(0, side, BIN), side]) for side in (height, width)))
    np.testing.assert_allclose((found * sizes).sum((1, 2)), planes.sum((1, 2)), rtol=1e-5)


def test_it_is_there_at_the_top():
    assert isoslice.check is check


def test_check_tells_the_slice_profile(tiny_model):
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(61, 48, 48)), 1.2)
    blurred = gaussian_filter1d(smooth, 2.5, axis=0)[6:-6:4]
    stack = (128 + 900 * blurred).astype(np.float32)
    found = check(stack, tiny_model, "ZYX", (2.0, 0.5, 0.5), slice_profile="gaussian:3")
    told = [note for note in found.notes if "slice profile of FWHM" in note]
    width = float(told[0].split("FWHM ")[1].split()[0])
    assert width == pytest.approx(2.5 * 2.355 * 0.5, rel=0.15)
    assert any("gaussian:3 agrees with it" in note for note in found.notes)
    other = check(stack, tiny_model, "ZYX", (2.0, 0.5, 0.5), slice_profile="slab:1")
    assert any("slab:1 is narrower than that" in note for note in other.notes)
