"""Percentile normalisation and its exact inverse."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from conftest import texture
from isoslice.data.normalization import Normalization, percentile_normalization
from isoslice.data.survey import survey
from isoslice.errors import DataError


@given(
    data=st.sampled_from([np.uint8, np.uint16]).flatmap(
        lambda dtype: hnp.arrays(dtype, (2, 3, 4, 5))
    )
)
@settings(deadline=None, max_examples=60)
def test_integers_survive_the_round_trip(data):
    try:
        normalization = percentile_normalization(data)
    except DataError:
        assert data.min() == data.max() or all(len(np.unique(c)) == 1 for c in data)
        return
    back = normalization.invert(normalization.apply(data), data.dtype)
    for own, found, stored in zip(normalization.limits, back, data, strict=True):
        padding = (stored == own.outside) & own.padding
        np.testing.assert_array_equal(found[~padding], stored[~padding])
    assert back.dtype == data.dtype


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_survive_to_rounding(dtype):
    data = np.random.default_rng(0).normal(3, 5, (1, 50, 50)).astype(dtype)
    normalization = percentile_normalization(data)
    back = normalization.invert(normalization.apply(data), data.dtype)
    np.testing.assert_allclose(back, data, rtol=1e-5, atol=1e-5)
    assert back.dtype == dtype


def test_percentiles_map_to_zero_and_one():
    data = np.arange(100_000, dtype=np.float32).reshape(1, 100, 1000)
    normalized = percentile_normalization(data).apply(data)
    assert np.percentile(normalized, 0.1) == pytest.approx(0, abs=1e-5)
    assert np.percentile(normalized, 99.9) == pytest.approx(1, abs=1e-5)


def test_channels_are_scaled_apart():
    data = np.stack([np.linspace(0, 1, 1000), np.linspace(50, 90, 1000)])[:, None]
    normalized = percentile_normalization(data).apply(data)
    np.testing.assert_allclose(normalized[0], normalized[1], atol=1e-5)


def test_sparse_signal_is_not_constant():
    data = np.zeros((1, 100, 100), np.uint8)
    data[0, 3, 4] = 200
    assert percentile_normalization(data).high == (200.0,)


def test_results_are_clipped_to_the_type():
    normalization = Normalization((0.0,), (255.0,))
    data = np.array([[-0.2, 1.3]], np.float32)
    assert normalization.invert(data, np.dtype(np.uint8)).tolist() == [[0, 255]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_counts_for_nothing_and_becomes_the_median(value):
    data = np.arange(101, dtype=np.float32).reshape(1, 101)
    expected = percentile_normalization(data)
    holed = np.concatenate([data, np.full((1, 20), value, np.float32)], axis=1)
    found = percentile_normalization(holed)
    assert (found.low, found.high) == (expected.low, expected.high)
    assert found.fill == (50.0,)
    np.testing.assert_array_equal(found.apply(holed)[0, :101], expected.apply(data)[0])
    assert np.allclose(found.apply(holed)[0, 101:], expected.apply(np.float32([[50]]))[0, 0])


def test_constant_is_refused_unless_another_channel_is_not():
    data = np.full((2, 4, 4), 7, np.uint16)
    with pytest.raises(DataError, match="constant image"):
        percentile_normalization(data)
    data[1] = np.arange(16).reshape(4, 4)
    normalization = percentile_normalization(data)
    np.testing.assert_array_equal(normalization.invert(normalization.apply(data), data.dtype), data)


@pytest.mark.parametrize(
    ("dtype", "padding"), [("int16", -32768), ("float32", -9999.0), ("uint16", 0)]
)
def test_padding_is_no_intensity(dtype, padding):
    rng = np.random.default_rng(0)
    inside = (2000 + 100 * rng.normal(size=(1, 5, 20, 20))).astype(dtype)
    padded = np.full((1, 5, 30, 20), padding, dtype)
    padded[:, :, :20] = inside
    plain, found = percentile_normalization(inside), percentile_normalization(padded)
    assert (found.low, found.high) == (plain.low, plain.high)
    assert found.limits[0].padding
    applied = found.apply(padded)
    np.testing.assert_array_equal(applied[:, :, :20], plain.apply(inside))
    np.testing.assert_array_equal(applied[:, :, 20:], 0)
    stack = found.without_padding(padded[None])[0]
    np.testing.assert_array_equal(stack[:, :, :20], inside)
    assert stack[:, :, 20:].min() >= inside.min()


def test_a_dark_background_is_no_padding():
    data = np.random.default_rng(0).integers(0, 200, (1, 5, 30, 20)).astype("uint8")
    data[:, :, :10] = 0
    found = percentile_normalization(data)
    assert not found.limits[0].padding
    assert found.low == (0.0,)


def test_restored_voxels_keep_to_a_quarter_beyond_the_measured_range():
    data = texture(3, 40, 40).astype(np.float32)
    least, most = data.min(), data.max()
    room = (most - least) / 4
    found, surveyed = percentile_normalization(data[None]), survey(data[None, None])
    assert found.invert(np.full((1, 2, 2), 9.0, np.float32), data.dtype).max() > most + 4 * room
    (limits,) = found.bounded(surveyed).limits_of(1)
    assert (limits.floor, limits.ceiling) == pytest.approx((least - room, most + room))
    far = np.full((1, 2, 2), 9.0, np.float32)
    far[0, 0] *= -1
    made = found.bounded(surveyed).invert(far, data.dtype)
    assert (made.min(), made.max()) == pytest.approx((least - room, most + room))


def test_a_detectors_limits_stay_and_padding_is_no_part_of_the_range():
    data = texture(3, 40, 40).astype(np.int16) - 1000
    data[:, :4] = -32768
    data[0, 0, 20] = 255
    found, surveyed = percentile_normalization(data[None]), survey(data[None, None])
    (limits,) = found.bounded(surveyed).limits_of(1)
    assert limits.floor == -32768
    assert limits.ceiling == 255  # of a camera
    data[0, 0, 20] = 0
    found, surveyed = percentile_normalization(data[None]), survey(data[None, None])
    (limits,) = found.bounded(surveyed).limits_of(1)
    sound = data[data > -32768]
    assert limits.ceiling == pytest.approx(0 + (0 - sound.min()) / 4, rel=0.02)
