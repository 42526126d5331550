"""Standard deviations and samples of restored volumes."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import gaussian_filter

from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.measurement import Measurement
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack
from isoslice.data.profile import Profile
from isoslice.errors import DoubtWarning, SettingsError
from isoslice.inference.detail.patches import reader
from isoslice.inference.model import Model
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.sample_spread import (
    average_of,
    change_sums,
    joined,
    level_of,
    smoothed_variance,
    variance_sums,
)
from isoslice.inference.uncertainty import (
    ErrorEstimator,
    stack_scale,
)
from isoslice.models.config import DistilledSettings, MsdsrConfig
from isoslice.models.networks.error_head import build_head, with_head
from isoslice.models.networks.factory import build_network
from isoslice.models.reliability.calibration import (
    Calibration,
    FactorCalibration,
    RowErrors,
    calibrate,
)
from isoslice.models.reliability.record import Trust
from restoring import with_std
from tiny_head import CPU, TINY, network, random_head

MEAN = ResolvedOptions(mode="mean", steps=2, uncertainty=True)


def specimen(depth=49, side=64, seed=0):
    """White noise, smoothed alike in all directions, in the range 0 to 1."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=(depth, side, side)), 1.2)
    return (0.5 + 0.15 * noise / noise.std()).astype(np.float32)


def planes_of(volume):
    return PlaneStack(volume[:, None], Normalization((0.0,), (1.0,)))


def scale_of(joined, calibration, planes, factor, own=False):
    shape = planes.shape[1:]
    estimator = ErrorEstimator(joined, TINY, calibration)
    return stack_scale(estimator, reader(planes), shape, factor, own=own, device=CPU)


@pytest.fixture(scope="module")
def calibrated():
    """A network that knows nothing (its mean is the interpolation), calibrated all the same."""
    joined = with_head(network(gain=0.0), build_head(TINY))
    found = calibrate(
        joined, TINY, [planes_of(specimen(seed=1))], [planes_of(specimen(seed=2))], CPU
    )
    assert found is not None
    return joined, found


@pytest.fixture(scope="module")
def model(calibrated):
    _, calibration = calibrated
    info = {"sources": ["learned.tif"]}
    return Model(TINY, network(gain=0.3), info, random_head(), Trust(calibration=calibration))


@pytest.fixture(scope="module")
def stack():
    return (100 + 800 * specimen(9)).astype(np.uint16)


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_intervals_of_a_volume_hold_what_they_promise(calibrated, factor):
    joined, calibration = calibrated
    truth = specimen()
    grid = even_grid(len(truth[::factor]), factor)
    estimator = ErrorEstimator(joined, TINY, calibration)
    found, _ = with_std(estimator, truth[None, ::factor], grid, MEAN)
    error = np.abs(found["volume"][0] - truth)[~grid.mask]
    std = found["std"][0][~grid.mask]
    for level, times in zip((0.5, 0.9), (0, 3), strict=True):
        reach = calibration.at(factor).multiples[times] * std
        assert np.mean(error <= reach) == pytest.approx(level, abs=0.04)
    np.testing.assert_array_equal(found["std"][0][grid.mask], 0)
    np.testing.assert_array_equal(found["volume"][0][grid.mask], truth[::factor])


def test_planes_unlike_their_neighbours_widen_intervals(calibrated):
    joined, calibration = calibrated
    planes = specimen()[None, ::4]
    jumps = planes + 0.2 * np.random.default_rng(0).normal(size=(1, planes.shape[1], 1, 1))
    same, worse = (scale_of(joined, calibration, p.astype(np.float32), 4) for p in (planes, jumps))
    assert same.anisotropy[0] == pytest.approx(1, abs=0.15)
    assert worse.total[0] > 1.2 * same.total[0]


@pytest.mark.parametrize(("profile", "noise"), [("gaussian:4.7", 0.0), ("slab:4", 0.03)])
def test_intervals_of_blurred_planes_hold_what_they_promise(profile, noise):
    shape = TINY.network.model_copy(update={"measured": True})
    config = TINY.model_copy(update={"network": shape})
    torch.manual_seed(0)
    one = FactorCalibration(factor=4, ratio=(1.0,), multiples=tuple(range(1, 7)))
    trust = Trust(calibration=Calibration(factors=(one,), held_out=True))
    model = Model(config, build_network(config).eval(), {}, build_head(config).eval(), trust)
    truth = specimen(97, 96)
    kind, width = profile.split(":")
    seen = Measurement(even(25, 4), 97, Profile(kind, float(width)))
    planes = np.einsum("iz,zyx->iyx", seen.matrix, truth)
    planes += noise * np.random.default_rng(1).normal(size=planes.shape)
    found = model.predict(
        planes.astype(np.float32), "ZYX", (4, 1, 1), 4, mode="mean", uncertainty=True,
        slice_profile=profile,
    )  # fmt: skip
    for level in (0.5, 0.9):
        low, high = found.interval(level)
        inside = (truth >= low) & (truth <= high)
        assert inside[8:-8].mean() == pytest.approx(level, abs=0.06)


def even(count, factor):
    return tuple(float(factor * i) for i in range(count))


def test_lost_planes_do_not_change_the_factor(calibrated):
    planes = specimen(9)[None]
    kept = [0, 1, 2, 5, 8]  # of nine
    grid = PlaneGrid(tuple(4 * z for z in kept))
    estimator = ErrorEstimator(calibrated[0], TINY, calibrated[1])
    _, numbers = with_std(estimator, planes[:, kept], grid, MEAN)
    assert numbers["factor"] == calibrated[1].at(4).factor != calibrated[1].at(8).factor
    assert numbers["ratio"] == scale_of(calibrated[0], calibrated[1], planes[:, kept], 4).ratio


def test_a_stack_that_was_learned_from_counts_for_less(calibrated):
    joined, calibration = calibrated
    wary = calibration.model_copy(
        update={
            "factors": tuple(f.model_copy(update={"optimism": 1.5}) for f in calibration.factors)
        }
    )
    planes = specimen()[None, ::4]
    totals = [scale_of(joined, wary, planes, 4, own=own).total[0] for own in (False, True)]
    assert totals[1] == pytest.approx(1.5 * totals[0])


def test_planes_too_small_to_measure_on_take_the_models_numbers(calibrated):
    joined, calibration = calibrated
    scale = scale_of(joined, calibration, np.zeros((1, 3, 8, 8), np.float32), 8)
    assert not scale.measured
    assert scale.ratio == pytest.approx(calibration.at(8).ratio)


@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_voxels_are_those_without_uncertainty(model, stack, mode):
    plain = model.predict(stack, axes="ZYX", factor=3, mode=mode, seed=5)
    told = model.predict(stack, axes="ZYX", factor=3, mode=mode, seed=5, uncertainty=True)
    np.testing.assert_array_equal(told.volume, plain.volume)
    assert plain.std is None
    assert told.std is not None
    assert told.std.shape == told.volume.shape
    assert told.std.dtype == np.float32
    np.testing.assert_array_equal(told.std[::3], 0)
    assert (told.std[~even_grid(9, 3).mask] > 0).all()


def test_standard_deviations_are_in_the_volumes_intensities(model, stack):
    once, twice = (
        model.predict(s, axes="ZYX", factor=3, mode="mean", uncertainty=True).std
        for s in (stack.astype(np.float32), 2 * stack.astype(np.float32) + 50)
    )
    assert once is not None
    np.testing.assert_allclose(twice, 2 * once, rtol=1e-3)


def test_samples_give_their_mean_their_spread_and_themselves(model, stack):
    found = model.predict(stack, axes="ZYX", factor=3, samples=3, keep_samples=True, seed=5)
    mean = model.predict(stack, axes="ZYX", factor=3, mode="mean")
    first = model.predict(stack, axes="ZYX", factor=3, seed=5)
    np.testing.assert_array_equal(found.volume, mean.volume)
    np.testing.assert_array_equal(found.samples[0], first.volume)
    assert len(found.samples) == 3
    assert not np.array_equal(found.samples[0], found.samples[1])
    for sample in found.samples:
        np.testing.assert_array_equal(sample[::3], stack)
    again = model.predict(stack, axes="ZYX", factor=3, samples=3, seed=5)
    np.testing.assert_array_equal(again.std, found.std)
    assert again.samples == ()
    assert found.provenance["samples"] == 3
    assert found.provenance["mode"] == "mean"


def test_channels_and_times_each_have_their_own(model, stack):
    movie = np.stack([stack, stack[::-1] // 2])
    found = model.predict(movie, axes="TZYX", factor=3, mode="mean", uncertainty=True)
    alone = model.predict(stack[::-1] // 2, axes="ZYX", factor=3, mode="mean", uncertainty=True)
    assert found.std is not None
    assert len(found.provenance["uncertainty"]["scale"]) == 2
    assert alone.std is not None
    # Normalised together, so not the same, but about: half the intensities, half the errors.
    ratio = found.std[1][1:3].mean() / alone.std[1:3].mean()
    assert ratio == pytest.approx(1, abs=0.25)


def test_a_distilled_model_tells_it_too(model, stack):
    distilled = replace(model, config=TINY.model_copy(update={"distilled": DistilledSettings()}))
    found = distilled.predict(stack, axes="ZYX", factor=3, samples=2)
    assert found.std is not None
    assert found.std.max() > 0


def test_intervals_lie_around_the_mean(model, stack):
    found = model.predict(stack, axes="ZYX", factor=3, mode="mean", uncertainty=True)
    half, wide = found.interval(0.5), found.interval(0.95)
    assert (wide[0] <= half[0]).all()
    assert (half[1] <= wide[1]).all()
    np.testing.assert_allclose((half[0] + half[1]) / 2, found.volume, atol=0.01)
    for bound in half:
        np.testing.assert_array_equal(bound[::3], stack)


@pytest.mark.parametrize("options", [{"mode": "mean"}, {"mode": "sample", "uncertainty": True}])
def test_there_are_no_intervals_around_a_sample_or_without_deviation(model, stack, options):
    found = model.predict(stack, axes="ZYX", factor=3, **options)
    with pytest.raises(SettingsError, match="samples=8"):
        found.interval()


def test_volumes_to_write_say_what_they_hold(model, stack):
    found = model.predict(stack, axes="ZYX", factor=3, samples=2, keep_samples=True)
    assert found.std_volume().provenance["holds"] == "standard deviation"
    assert [v.provenance["holds"] for v in found.sample_volumes()] == [
        "sample 1 of 2",
        "sample 2 of 2",
    ]
    with pytest.raises(SettingsError, match="uncertainty=True"):
        model.predict(stack, axes="ZYX", factor=3).std_volume()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "got 1 sample"),
        ({"samples": 4, "mode": "mean"}, "mode mean"),
        ({"samples": 4, "detail": 0.0}, "without detail"),
        ({"keep_samples": True}, "none to draw"),
        ({"uncertainty": True, "blur": True}, "leave the blur out"),
    ],
)
def test_contradictions_are_refused(model, stack, options, message):
    with pytest.raises(SettingsError, match=message):
        model.predict(stack, axes="ZYX", factor=3, **options)


def test_models_that_do_not_know_their_errors_say_so(model, stack):
    for ignorant in (replace(model, head=None), replace(model, trust=Trust())):
        with pytest.raises(SettingsError, match="does not know its errors"):
            ignorant.predict(stack, axes="ZYX", factor=3, uncertainty=True)
    other = replace(model, config=MsdsrConfig())
    with pytest.raises(SettingsError, match="msdsr model"):
        other.predict(stack, axes="ZYX", factor=3, samples=4)


def joined_with(std, squares):
    """Join deviations with the squares of four samples, whose sums are taken in two parts."""
    drawn = smoothed_variance(squares, 4)
    halves = [(std[:, :4], drawn[:, :4]), (std[:, 4:], drawn[:, 4:])]
    level = level_of([variance_sums(*half) for half in halves])
    average = average_of([change_sums(*half, level) for half in halves])
    return joined(std, drawn, level, average)


@given(st.integers(0, 1000), st.floats(0.01, 10))
def test_samples_keep_the_calibrated_level(seed, strength):
    random = np.random.default_rng(seed)
    std = random.uniform(0.5, 1.5, (2, 7, 8, 8)).astype(np.float32)
    std[:, ::3] = 0
    squares = (strength * random.chisquare(4, std.shape)).astype(np.float32)
    found = joined_with(std, squares)
    for ours, own in zip(found, std, strict=True):
        hidden = own > 0
        change = np.average(np.log(ours[hidden] / own[hidden]), weights=own[hidden])
        assert change == pytest.approx(0, abs=1e-4)
        np.testing.assert_array_equal(ours[::3], 0)
    # What samples agree about less gets more of it.
    squares[:, :, :4] *= 50
    assert (joined_with(std, squares)[:, 1:3, :3] > found[:, 1:3, :3]).mean() > 0.9


def test_a_model_keeps_what_it_knows(model, tmp_path, stack):
    model.save(tmp_path / "m")
    read = Model.load(tmp_path / "m")
    assert read.trust == model.trust
    assert read.fingerprint == model.fingerprint
    ours, theirs = (
        m.predict(stack, axes="ZYX", factor=3, mode="mean", uncertainty=True).std
        for m in (model, read)
    )
    np.testing.assert_array_equal(ours, theirs)


def test_planes_too_few_to_tell_what_they_lack_are_doubted(stack):
    shape = TINY.network.model_copy(update={"measured": True})
    config = TINY.model_copy(update={"network": shape})
    one = FactorCalibration(factor=4, ratio=(1.0,), multiples=tuple(range(1, 7)))
    trust = Trust(calibration=Calibration(factors=(one,), held_out=True))
    model = Model(config, build_network(config).eval(), {}, random_head(), trust)
    options = {"axes": "ZYX", "factor": 3, "mode": "mean", "uncertainty": True}
    with pytest.warns(DoubtWarning, match="intervals may be far too narrow"):
        model.predict(stack[:4], slice_profile="slab", **options)


def test_a_constant_channel_does_not_narrow_intervals():
    rng = np.random.default_rng(0)
    error, spread = (torch.from_numpy(rng.normal(size=(1, 4000))) for _ in range(2))
    alone = RowErrors(error, spread.abs())
    nothing = torch.zeros_like(error)
    beside = RowErrors(torch.cat([error, nothing]), torch.cat([spread.abs(), nothing + 1]))
    assert beside.multiples == alone.multiples
    assert RowErrors(nothing, nothing + 1).multiples[0] > 0
