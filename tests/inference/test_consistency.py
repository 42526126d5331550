"""Planes that are blurred: what is restored, seen through the slice profile, gives them again."""

import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from conftest import texture
from isoslice.data.measurement import Measurement
from isoslice.data.profile import FWHM, Profile
from isoslice.errors import DoubtWarning, SettingsError
from isoslice.inference.consistency import (
    DAMPING,
    Correction,
    corrected,
    correction_for,
    damping_of,
    window,
)
from isoslice.models.diffusion.variance_stabilization import stretch, unstretch_slope

SIZE = (4.0, 1.0, 1.0)
pytestmark = pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")


def seen_through(volume, profile, factor=4):
    """Measure planes of a volume."""
    places = tuple(float(z) for z in range(0, len(volume), factor))
    matrix = Measurement(places, len(volume), profile).matrix
    return np.einsum("iz,zyx->iyx", matrix, volume.astype(float)).astype(np.float32)


PROFILES = {
    "slab": Profile("slab", 4),
    "slab:6": Profile("slab", 6),
    "gaussian:5": Profile("gaussian", 5),
}


@pytest.mark.parametrize("options", [{"mode": "mean"}, {"mode": "sample"}, {"detail": 0.5}])
@pytest.mark.parametrize(
    "asked", ["slab", *(pytest.param(n, marks=pytest.mark.slow) for n in ("slab:6", "gaussian:5"))]
)
def test_the_result_gives_the_planes_again(tiny_model, options, asked):
    truth = texture(41, 48, 44)
    planes = seen_through(truth, PROFILES[asked])
    restored = tiny_model.predict(planes, "ZYX", SIZE, slice_profile=asked, **options)
    points = tiny_model.predict(planes, "ZYX", SIZE, **options)
    scale = np.std(planes)
    again = seen_through(restored.volume, PROFILES[asked])
    assert np.sqrt(np.mean((again - planes) ** 2)) < 0.005 * scale
    assert np.abs(seen_through(points.volume, PROFILES[asked]) - planes).mean() > 0.05 * scale
    # And so it is nearer to the truth.
    errors = [np.mean((each.volume - truth) ** 2) for each in (restored, points)]
    assert errors[0] < errors[1]
    record = restored.provenance["slice_profile"]
    assert record["kind"] == asked.partition(":")[0]
    assert record["width_in_output_planes"] == PROFILES[asked].width


def test_points_are_what_they_were(tiny_model):
    """Planes are put back bit for bit, which a profile of next to no width comes close to."""
    planes = texture(6, 48, 44).astype(np.float32)
    points = tiny_model.predict(planes, "ZYX", SIZE, mode="mean")
    np.testing.assert_array_equal(points.volume[::4], planes)
    assert "slice_profile" not in points.provenance
    narrow = tiny_model.predict(planes, "ZYX", SIZE, mode="mean", slice_profile="slab:0.01")
    assert not np.array_equal(narrow.volume[::4], planes)
    np.testing.assert_allclose(narrow.volume, points.volume, atol=0.01 * np.ptp(planes))


def test_voxels_without_data_stay_without(tiny_model):
    planes = texture(6, 48, 44).astype(np.float32)
    planes[2:4, :, :10] = np.nan
    restored = tiny_model.predict(planes, "ZYX", SIZE, slice_profile="slab").volume
    assert np.isnan(restored[8:13, :, :10]).all()
    assert np.isfinite(restored[:, :, 10:]).all()


def test_what_is_undone_is_not_doubted(tiny_model):
    blurred = seen_through(texture(61, 64, 64), Profile("gaussian", 3 * FWHM))
    with pytest.warns(DoubtWarning, match="--slice-profile"):
        tiny_model.predict(blurred, "ZYX", SIZE)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiny_model.predict(blurred, "ZYX", SIZE, slice_profile="gaussian:7")
    assert not any("blurred along Z" in str(each.message) for each in caught)


@pytest.mark.parametrize("softening", [None, 0.1])
def test_corrections_of_stretched_intensities(softening):
    """Without damping they are exact, whatever the network works on."""
    measurement = Measurement((0.0, 4.0, 8.0), 9, Profile("slab", 4))
    matrix = torch.from_numpy(measurement.matrix).float()
    gain = torch.from_numpy(measurement.correction()).float()[None]
    correction = Correction(matrix, gain, softening)
    truth, base = torch.rand(2, 3, 1, 9, 5, generator=torch.Generator().manual_seed(0)).unbind(0)
    planes = stretch(matrix @ truth, softening)
    residual = correction(torch.zeros_like(base), stretch(base, softening), planes)
    found = stretch(base, softening) + residual
    again = matrix @ (found if softening is None else torch.sinh(found * np.arcsinh(10)) / 10)
    torch.testing.assert_close(stretch(again, softening), planes, atol=1e-4, rtol=1e-4)


def test_noise_damps():
    planes = texture(4, 32, 32).astype(np.float32) / 255
    quiet, noisy = (damping_of(noise, planes, 0.1, None) for noise in (0.0, 0.035))
    assert (quiet, noisy) == (DAMPING[0], pytest.approx(0.25))
    # Of stretched intensities, errors are those of sigma_data times the slope.
    slopes = unstretch_slope(stretch(torch.from_numpy(planes), 0.08), 0.08)
    expected = 0.25 / float(slopes.square().mean())
    assert damping_of(0.035, planes, 0.1, 0.08) == pytest.approx(expected)


def test_each_channel_has_its_damping():
    measurement = Measurement((0.0, 4.0, 8.0), 9, Profile("slab", 4), damping=(0.001, 0.25))
    correction = correction_for(measurement, None, torch.device("cpu"))
    clean, damped = correction.gain
    assert damped.abs().sum() < 0.9 * clean.abs().sum()
    np.testing.assert_allclose(damped, measurement.correction(0.25), rtol=1e-5)
    assert correction_for(Measurement((0.0, 4.0, 8.0), 9), None, torch.device("cpu")) is None


def test_windows_along_z_correct_as_the_whole():
    """Far from their ends, which they see beyond."""
    measurement = Measurement(
        tuple(map(float, range(0, 401, 4))), 401, Profile("gaussian", 5), (0.01,)
    )
    rng = np.random.default_rng(0)
    volume = rng.random((1, 401, 3, 2), np.float32)
    planes = rng.random((1, 101, 3, 2), np.float32)
    whole = corrected(volume, planes, measurement)
    for rows in (slice(0, 128), slice(128, 256), slice(300, 401)):
        around, seen, part = window(measurement, rows)
        found = corrected(volume[:, around], planes[:, seen], part)
        own = found[:, rows.start - around.start : rows.stop - around.start]
        np.testing.assert_allclose(own, whole[:, rows], atol=2e-3)


@pytest.mark.parametrize(
    "asked", [5, "box", "slab:", "slab:-1", "gaussian", "gaussian:nan", "point:2"]
)
def test_what_is_no_profile_is_refused(tiny_model, asked):
    with pytest.raises(SettingsError, match="expected point, slab"):
        tiny_model.predict(texture(5, 32, 32), "ZYX", SIZE, slice_profile=asked)


def test_lengths_need_a_spacing(tiny_model):
    with pytest.raises(SettingsError, match="--voxel-size"):
        tiny_model.predict(texture(5, 32, 32), "ZYX", factor=4, slice_profile="slab:5")
    tiny_model.predict(texture(5, 32, 32), "ZYX", factor=4, slice_profile="slab")


def test_a_profile_longer_than_the_stack_is_of_another_unit(tiny_model):
    with pytest.raises(SettingsError, match=r"1.25e\+03 planes wide"):
        tiny_model.predict(texture(5, 32, 32), "ZYX", SIZE, slice_profile="slab:5000")


def test_too_many_planes_are_refused(tiny_model, monkeypatch):
    monkeypatch.setattr("isoslice.inference.plan.MAX_PLANES", 4)
    with pytest.raises(SettingsError, match="4 at most"):
        tiny_model.predict(texture(5, 32, 32), "ZYX", SIZE, slice_profile="slab")


def test_blur_and_its_undoing_exclude_each_other(tiny_model):
    with pytest.raises(SettingsError, match="undoes blur"):
        tiny_model.predict(texture(5, 32, 32), "ZYX", SIZE, slice_profile="slab", blur=True)


def test_a_network_that_is_not_told_does_not_know_its_errors(tiny_model):
    with pytest.raises(SettingsError, match="a model of an earlier version"):
        tiny_model.predict(texture(5, 32, 32), "ZYX", SIZE, spacing=0.9, uncertainty=True)


def test_the_papers_models_take_planes_for_points(papers_model):
    with pytest.raises(SettingsError, match="takes planes for points"):
        papers_model.predict(texture(5, 32, 32), "ZYX", SIZE, slice_profile="slab")


@pytest.fixture
def papers_model():
    from tiny_training import quickly

    return quickly("end-to-end", texture(8, 48, 48), steps=1)


def test_auto_finds_the_profile(tiny_model):
    rng = np.random.default_rng(0)
    truth = 128 + 30 * gaussian_filter(rng.normal(size=(81, 64, 64)), 1.2) / 0.1
    planes = seen_through(truth, Profile("gaussian", 5))
    restored = tiny_model.predict(planes, "ZYX", SIZE, mode="mean", slice_profile="auto")
    record = restored.provenance
    assert record["slice_profile"]["kind"] == "gaussian"
    assert record["slice_profile"]["width_in_output_planes"] == pytest.approx(5, rel=0.15)
    assert "±" in record["slice_profile_from"]
    # Without a voxel size it is the factor that tells how far planes are apart.
    again = tiny_model.predict(planes, "ZYX", factor=4, mode="mean", slice_profile="auto")
    np.testing.assert_array_equal(again.volume, restored.volume)


def test_auto_takes_planes_for_points_where_it_cannot_tell(tiny_model):
    planes = texture(4, 48, 44).astype(np.float32)
    with pytest.warns(DoubtWarning, match="cannot tell the slice profile.*--slice-profile"):
        restored = tiny_model.predict(planes, "ZYX", SIZE, mode="mean", slice_profile="auto")
    np.testing.assert_array_equal(restored.volume[::4], planes)
    assert "slice_profile" not in restored.provenance
    assert "cannot tell" in restored.provenance["slice_profile_from"]
    assert any("cannot tell" in message for message in restored.provenance["warnings"])


def test_grain_is_not_damped_as_noise(tiny_model):
    """White grain of the specimen, which planes see through the profile, is no noise."""
    rng = np.random.default_rng(0)
    truth = gaussian_filter(rng.normal(size=(81, 64, 64)), 2) + 0.02 * rng.normal(size=(81, 64, 64))
    planes = seen_through(truth, Profile("gaussian", 5))
    noisy = planes + 0.02 * rng.normal(size=planes.shape).astype(np.float32)
    levels = []
    for each in (planes, noisy):
        restored = tiny_model.predict(each, "ZYX", SIZE, mode="mean", slice_profile="gaussian:5")
        scale = np.subtract(*(restored.provenance["normalization"][k][0] for k in ("high", "low")))
        levels.append(restored.provenance["slice_profile"]["noise"][0] * scale)
    assert levels[0] < 0.003
    assert levels[1] == pytest.approx(0.02, rel=0.15)


def test_noise_that_looks_like_grain_of_a_slab_is_not_all_taken_for_signal(tiny_model, monkeypatch):
    monkeypatch.setattr("isoslice.inference.found_profile.noise_seen", lambda *_: 0.0)
    rng = np.random.default_rng(3)
    planes = 128 + 6 * rng.normal(size=(9, 64, 64)) + 60 * np.sin(np.arange(64) / 9)

    def noise_told(profile, learned):
        model = replace(tiny_model, config=tiny_model.config.updated(noise=learned))
        restored = model.predict(planes, "ZYX", SIZE, mode="mean", slice_profile=profile)
        low, high = (restored.provenance["normalization"][k][0] for k in ("low", "high"))
        return restored.provenance["slice_profile"]["noise"][0] * (high - low)

    assert noise_told("slab", None) == pytest.approx(0.75 * 6, rel=0.1)
    assert noise_told("slab", (0.03,)) == pytest.approx(0.75 * 6, rel=0.1)  # grain, most likely
    assert noise_told("slab", (0.001,)) == pytest.approx(6, rel=0.1)  # the model knows no grain
    assert noise_told("gaussian:7", None) == 0  # planes see each other's grain
    assert noise_told("gaussian:7", (0.001,)) == 0
