"""Predicted errors against real ones, on 2D images."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack
from isoslice.errors import SettingsError
from isoslice.models.networks.error_head import build_head, with_head
from isoslice.models.reliability.calibration import (
    COVERAGE_LEVELS,
    WINDOW_SIDE,
    Calibration,
    FactorCalibration,
    calibrate,
    multiple,
    row_errors,
    sample_images,
    window,
)
from tiny_head import CPU, TINY, network

#: Multiples of the normal distribution's standard deviation, from tables.
NORMAL = (0.67449, 0.99446, 1.28155, 1.64485, 1.95996, 2.57583)


def white(count, side=64, seed=0, scale=0.1):
    noise = np.random.default_rng(seed).normal(size=(count, 1, side, side)) * scale
    return PlaneStack(noise.astype(np.float32), Normalization((0.0,), (1.0,)))


def untrained():
    """Mean: the interpolation; predicted error: the same everywhere."""
    return with_head(network(gain=0.0), build_head(TINY))


def one(multiples=NORMAL, factor=4, **changes):
    return FactorCalibration(factor=factor, ratio=(1.0,), multiples=multiples, **changes)


def test_white_noise_has_the_errors_that_interpolation_makes_of_it():
    # Hidden row at distance d of factor k: var = s^2 (1 + (1 - d/k)^2 + (d/k)^2), normal.
    images = [image for _, image in sample_images([white(4)])]
    found = row_errors(untrained(), TINY, images, 2, CPU)
    assert found is not None
    assert float(found.rms) == pytest.approx(0.1 * np.sqrt(1.5), rel=0.03)
    assert float(found.ratio) == pytest.approx(float(found.rms) / 0.1, rel=1e-3)  # sigma_data


def test_multiples_of_normal_errors_are_those_in_the_tables():
    found = calibrate(untrained(), TINY, [white(6)], [white(6, seed=1)], CPU)
    assert found is not None
    assert found.held_out
    assert [c.factor for c in found.factors] == [2, 3, 4, 6, 8]
    np.testing.assert_allclose(found.at(2).multiples, NORMAL, rtol=0.04)
    assert found.at(2).optimism == pytest.approx(1, abs=0.03)


def test_planes_that_were_learned_by_heart_are_seen_through():
    # As if errors on planes learned from were half of those on planes held out.
    found = calibrate(untrained(), TINY, [white(6, scale=0.05)], [white(6, seed=1)], CPU)
    assert found is not None
    assert found.at(2).optimism == pytest.approx(2.0, abs=0.1)


def test_without_held_out_planes_it_says_so():
    found = calibrate(untrained(), TINY, [white(2)], [], CPU)
    assert found is not None
    assert not found.held_out
    assert found.at(4).optimism == 1


def test_tiny_planes_cannot_be_calibrated_on():
    assert row_errors(untrained(), TINY, [np.zeros((1, 4, 4), np.float32)], 8, CPU) is None


@given(st.floats(COVERAGE_LEVELS[0], COVERAGE_LEVELS[-1]))
def test_intervals_between_levels_are_as_the_normal_distribution_has_them(level):
    expected = np.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))
    assert multiple(one(), level) == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("level", [0.0, 0.49, 0.999, 1.5, float("nan")])
def test_levels_out_of_range_are_refused(level):
    with pytest.raises(SettingsError, match="expected a share from"):
        multiple(one(), level)


def test_the_nearest_factor_counts():
    calibration = Calibration(held_out=True, factors=(one(factor=2), one(factor=8)))
    assert [calibration.at(k).factor for k in (2, 3, 5, 16)] == [2, 2, 8, 8]


@pytest.mark.parametrize(
    "change",
    [
        {"multiples": NORMAL[::-1]},
        {"multiples": NORMAL[:-1]},
        {"multiples": (*NORMAL[:-1], float("inf"))},
        {"ratio": (float("nan"),)},
        {"ratio": ()},
        {"ratio": (1.0,) * 1000},
        {"factor": 1},
        {"optimism": -1.0},
        {"unknown": 1},
    ],
)
def test_what_isoslice_would_not_write_is_refused(change):
    good = one().model_dump()
    assert FactorCalibration.model_validate(good) == one()
    with pytest.raises(ValidationError):
        FactorCalibration.model_validate(good | change)


@given(st.integers(8, 1000), st.integers(8, 1000), st.integers(0, 10_000))
def test_windows_lie_inside_and_are_as_large_as_they_can_be(height, width, number):
    for part, size in zip(window((height, width), number), (height, width), strict=True):
        assert part.start >= 0
        assert len(range(size)[part]) == min(size, WINDOW_SIDE)


def test_windows_are_spread_over_the_plane():
    starts = [window((1000, 1000), number)[0].start for number in range(12)]
    assert max(np.diff(sorted(starts))) < 0.25 * (1000 - WINDOW_SIDE)


def test_stacks_in_units_of_their_own_count_alike():
    """Of a model of many specimens: errors are told in multiples of each stack's deviation."""
    smooth, rough = (TINY.updated(sigma_data=value) for value in (0.02, 0.2))
    stacks = [white(6, scale=0.02), white(6, seed=1, scale=0.2)]
    found = calibrate(untrained(), [smooth, rough], stacks, stacks, CPU)
    alone = calibrate(untrained(), [rough], stacks[1:], stacks[1:], CPU)
    assert found is not None
    assert alone is not None
    for one, two in zip(found.factors, alone.factors, strict=True):
        assert one.ratio[0] == pytest.approx(two.ratio[0], rel=0.05)
    # In one unit the rough one, alone, would tell.
    mixed = calibrate(untrained(), rough, stacks, stacks, CPU)
    assert mixed is not None
    assert mixed.factors[0].ratio[0] < 0.8 * found.factors[0].ratio[0]
