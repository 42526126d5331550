"""Damaged planes are found by what neighbours have in common; sound ones are left alone."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from conftest import texture
from isoslice.data import damage, likeness, normalization
from isoslice.data.likeness import LAGS, Comparison, correlation, empty_likeness
from isoslice.data.missing import NONE_MISSING, Missing, parse_missing
from isoslice.data.normalization import measure_in_parts, measure_stack
from isoslice.data.survey import MISSING, lost_planes, lost_reasons
from isoslice.data.volume import Volume
from isoslice.runtime.progress import Progress

PLANES, SIDE = 20, 96


def specimen(seed=0, blur=2.0, noise=3.0):
    """A smooth volume with a little noise, (n, Y, X)."""
    rng = np.random.default_rng(seed)
    smooth = gaussian_filter(rng.normal(size=(PLANES, SIDE, SIDE)), blur)
    smooth = 110 + 25 * smooth / smooth.std()
    return (smooth + rng.normal(0, noise, smooth.shape)).clip(0, 250).round().astype(np.uint8)


def found(stack, missing=Missing()):  # noqa: B008
    return measure_stack(stack[None, None], "stack", None, missing)[1]


def spoil(stack, z, kind):
    plane, rng = stack[z].astype(float), np.random.default_rng(5)
    cut = plane.copy()
    cut[SIDE // 2 :] = 0
    return {
        "frozen": stack[z - 1].astype(float),
        "frozen, noise": stack[z - 1] + rng.normal(0, 1, plane.shape),
        "flash": 1.6 * plane,
        "saturated": 4.0 * plane,
        "shutter": 0.4 * plane,
        "half empty": cut,
        "blurred": gaussian_filter(plane, 3),
        "shifted": np.roll(plane, 15, axis=1),
        "another": stack[(z + PLANES // 2) % PLANES].astype(float),
        "noise": rng.normal(110, 25, plane.shape),
    }[kind]


REASONS = {
    "frozen": damage.FROZEN,
    "frozen, noise": damage.FROZEN,
    "flash": damage.BRIGHT,
    "saturated": damage.SATURATED,
    "shutter": damage.DARK,
    "blurred": damage.BLURRED,
}


@pytest.mark.parametrize(
    "kind",
    [*REASONS, "half empty", "shifted", "another", "noise"],
)
@pytest.mark.parametrize("z", [2, 9, 17])
def test_a_fault_is_found_and_named(kind, z):
    stack = specimen()
    stack[z] = spoil(stack, z, kind).clip(0, 255).round()
    surveyed = found(stack)
    assert lost_planes(surveyed) == (((z,),),)
    assert lost_reasons(surveyed, lost_planes(surveyed)) == (
        ((REASONS.get(kind, damage.UNLIKE),),),
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("blur", [2.0, (0.5, 2, 2), (0, 2, 2), (4, 1, 1)])
def test_sound_stacks_have_none(seed, blur):
    stack = specimen(seed, blur)
    for planes in (stack, stack[::2], stack[:6]):
        assert found(planes).damage.certain == found(planes).damage.doubtful == {}


def test_a_bright_layer_and_a_slow_change_are_no_damage():
    z = np.arange(PLANES)[:, None, None]
    layer = specimen() * (0.3 + 0.7 * np.exp(-(((z - 9) / 2.5) ** 2)))
    bleached = specimen() * 0.9**z
    flickering = specimen() * (1 + 0.2 * np.random.default_rng(0).normal(size=(PLANES, 1, 1)))
    for planes in (layer, bleached, flickering):
        assert found(planes.astype(np.uint8)).damage.certain == {}


def test_labels_and_masks_may_repeat_planes():
    ball = np.indices((30, 40, 40)) - np.array([14.5, 20, 20]).reshape(3, 1, 1, 1)
    assert found((np.square(ball).sum(0) < 120).astype(np.uint8)).damage.certain == {}


def test_several_in_a_row_and_apart():
    stack = specimen()
    stack[5:7] = stack[4]
    stack[12:14] = stack[12:14, ::-1]
    surveyed = found(stack)
    assert lost_planes(surveyed) == (((5, 6, 12, 13),),)


def test_the_later_or_the_earlier_of_two_equal_planes_is_wrong():
    stack = specimen(noise=0)
    later, earlier = stack.copy(), stack.copy()
    later[9], earlier[9] = stack[8], stack[10]
    assert lost_planes(found(later)) == (((9,),),)
    assert lost_planes(found(earlier)) == (((9,),),)


def test_many_seeming_faults_are_only_told():
    stack = specimen()[:18]
    stack[4::4] = stack[3:16:4]
    surveyed = found(stack)
    assert surveyed.damage.certain == {}
    assert surveyed.damage.doubtful == {(0, 0, z): damage.FROZEN for z in (4, 8, 12, 16)}
    repeated = np.repeat(specimen(), 2, axis=0)  # as programs that make voxels cubes do
    assert found(repeated).damage.doubtful == {}


def test_a_noisier_plane_is_told_but_kept():
    stack = specimen()
    stack[9] = (stack[9] + np.random.default_rng(1).normal(0, 15, (SIDE, SIDE))).clip(0, 255)
    surveyed = found(stack)
    assert surveyed.damage.doubtful == {(0, 0, 9): damage.NOISY}
    assert lost_planes(surveyed) == (((),),)


def test_what_is_said_goes_first():
    stack = specimen()
    stack[9] = stack[9, ::-1]
    said = found(stack, parse_missing("4"))
    assert lost_planes(said) == (((4, 9),),)
    assert lost_reasons(said, lost_planes(said)) == (((MISSING, damage.UNLIKE),),)
    assert lost_planes(found(stack, NONE_MISSING)) == (((),),)
    assert lost_planes(found(stack, parse_missing("none,4"))) == (((4,),),)
    stack[12] = 0
    assert lost_planes(found(stack)) == (((9, 12),),)
    assert lost_planes(found(stack, NONE_MISSING)) == (((),),)


def test_percentiles_and_limits_are_those_of_the_other_planes():
    stack = specimen()
    stack[9] = (5.0 * stack[9]).clip(0, 255)
    rest = np.delete(stack, 9, axis=0)
    (low, high), limits = np.percentile(rest, (0.1, 99.9)), found(rest)
    spoilt, surveyed = measure_stack(stack[None, None], "stack", None, Missing())
    assert (spoilt.low, spoilt.high) == ((low,), (high,))
    assert spoilt.limits == measure_stack(rest[None, None], "stack")[0].limits
    assert not surveyed.useless[0, 0, [8, 10]].any()
    assert surveyed.filled_run == (0, slice(10, 20))
    assert limits.damage.certain == {}


class Chunked(np.ndarray):
    """An array of chunks of 5 planes, 7 rows."""

    chunks = (1, 1, 5, 7, SIDE)


def test_the_same_is_found_part_by_part(monkeypatch):
    stack = np.stack([specimen(0), specimen(1)])[None].repeat(2, axis=0).astype(np.float32)
    stack[1, 0, 7] *= 2
    stack[0, 1, 12] = stack[0, 1, 12, ::-1]
    stack[:, :, :, :9, :9] = np.nan
    _, whole = measure_stack(stack, "stack", None, Missing())
    assert set(whole.damage.certain) == {(1, 0, 7), (0, 1, 12)}
    seen = []

    def find(*told):
        seen.append(told)
        return damage.find_damage(*told)

    monkeypatch.setattr(normalization, "MAX_PART_BYTES", SIDE * 4 * 7 * 5)
    monkeypatch.setattr(normalization, "find_damage", find)
    volume = Volume(stack.view(Chunked), "TCZYX")
    _, parts = measure_in_parts(volume, Progress(), None, Missing())
    assert parts.damage == whole.damage
    measure_stack(stack, "stack", None, Missing())
    for one, other in zip(vars(seen[0][1]).values(), vars(seen[1][1]).values(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_likeness_is_the_correlation_of_patches():
    stack = texture(6, 40, 48).astype(np.uint16)
    compared = Comparison(empty_likeness(1, 1, 6))
    for z, plane in enumerate(stack):
        compared.add(0, 0, z, plane[:33], 40)
        compared.add(0, 0, z, plane[33:], 40)
    means = stack.reshape(6, 5, 8, 6, 8).mean(axis=(2, 4))
    rest = stack - means.repeat(8, axis=1).repeat(8, axis=2)
    for lag in range(LAGS):
        for values, name in ((means, "coarse"), (rest, "fine")):
            expected = np.corrcoef(values[5].ravel(), values[4 - lag].ravel())[0, 1]
            assert getattr(compared.likeness, name)[0, 0, 5, lag] == pytest.approx(
                expected, abs=1e-6
            )
    assert np.isnan(compared.likeness.coarse[0, 0, 1, 1])
    assert compared.likeness.level[0, 0, 3] == pytest.approx(stack[3].mean())
    assert compared.likeness.same[0, 0, 3] == pytest.approx((stack[3] == stack[2]).mean())
    assert compared.likeness.change[0, 0, 3] == pytest.approx(
        np.square(stack[3].astype(float) - stack[2]).mean()
    )


@pytest.mark.parametrize("dtype", ["int8", "uint32", "float16", "float32", "float64"])
def test_any_type_any_size(dtype):
    small = np.random.default_rng(0).normal(30, 9, (1, 1, 8, 7, 9)).astype(dtype)
    assert measure_stack(small, "small", None, Missing())[1].damage.certain == {}
    stack = (specimen() // 2).astype(dtype)
    stack[9] = stack[9, ::-1]
    assert lost_planes(found(stack)) == (((9,),),)
    huge = np.random.default_rng(0).normal(0, 1, (1, 1, 8, 40, 40)) * 1e300
    assert measure_stack(huge, "huge", (0.0, 1.0), Missing())[1].damage.certain == {}


def test_few_voxels_are_looked_at_of_large_planes():
    assert len(likeness._places(10_000)) == 24 * 8
    assert likeness._places(48).tolist() == list(range(48))
    assert likeness._places(31).size == 0
    assert np.isnan(correlation(np.ones(5), np.arange(5)))


@pytest.mark.parametrize("holes", [False, True])
def test_correlations_are_those_of_values_less_their_mean(holes):
    """What is subtracted once gives the same bits as for each pair."""
    one, other = np.random.default_rng(0).normal(3, 1, (2, 24, 8, 24, 8)).astype(np.float32)
    if holes:
        one[3, 2] = np.nan
    found = likeness._Values.of(one).correlation(likeness._Values.of(other))
    assert found == correlation(one, other) != 0
    constant = likeness._Values.of(np.ones_like(one))
    assert np.isnan(constant.correlation(likeness._Values.of(other)))
