"""The measurement model, against integrals, and its projection."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.measurement import Measurement, measured_share
from isoslice.data.profile import FWHM, Profile
from isoslice.errors import DataError, SettingsError

PROFILES = st.one_of(
    st.just(Profile()),
    st.builds(Profile, st.sampled_from(["slab", "gaussian"]), st.floats(0.05, 12)),
)


@st.composite
def measurements(draw):
    depth = draw(st.integers(8, 60))
    count = draw(st.integers(2, 8))
    places = draw(
        st.lists(
            st.floats(0, depth - 1), min_size=count, max_size=count, unique_by=lambda p: round(p, 2)
        )
    )
    places = sorted(places)
    return Measurement(tuple(places), depth, draw(PROFILES))


@given(measurements())
def test_planes_are_weighted_means(measurement):
    matrix = measurement.matrix
    assert matrix.shape == (len(measurement.positions), measurement.depth)
    assert np.all(matrix > -1e-12)
    np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-12)
    far = measurement.profile.reach + 1
    for row, place in zip(matrix, measurement.positions, strict=True):
        if far <= place <= measurement.depth - 1 - far:  # clear of the ends
            assert row @ np.arange(measurement.depth) == pytest.approx(place, abs=1e-3)


@pytest.mark.parametrize(
    "profile",
    [Profile("slab", 4), Profile("slab", 2.7), Profile("gaussian", 4.71), Profile("gaussian", 0.6)],
)
def test_weights_are_those_of_an_integral(profile):
    """Against a fine sum over a volume that is linear between its voxels."""
    measurement = Measurement((10.0, 20.3), 40, profile)
    u = np.linspace(-30, 70, 400_001)
    step = u[1] - u[0]
    for row, place in zip(measurement.matrix, measurement.positions, strict=True):
        if profile.kind == "slab":
            h = (np.abs(u - place) <= profile.width / 2).astype(float)
        else:
            h = np.exp(-0.5 * ((u - place) / profile.deviation) ** 2)
        h /= h.sum() * step
        hats = np.maximum(1 - np.abs(u[None] - np.arange(40)[:, None]), 0)
        np.testing.assert_allclose(row, hats @ h * step, atol=2e-4)


def test_points_on_the_grid_are_rows_of_the_identity():
    measurement = Measurement((0.0, 4.0, 8.0), 9)
    assert measurement.is_points
    np.testing.assert_array_equal(measurement.matrix, np.eye(9)[[0, 4, 8]])
    np.testing.assert_array_equal(measurement.correction(), np.eye(9)[:, [0, 4, 8]])


def test_points_between_planes_are_interpolated():
    measurement = Measurement((0.25, 3.5), 5)
    assert not measurement.is_points
    np.testing.assert_allclose(measurement.matrix, [[0.75, 0.25, 0, 0, 0], [0, 0, 0, 0.5, 0.5]])


@pytest.mark.parametrize("kind", ["slab", "gaussian"])
def test_narrow_profiles_become_points(kind):
    places = (0.0, 3.3, 8.0)
    narrow = Measurement(places, 9, Profile(kind, 1e-3)).matrix
    np.testing.assert_allclose(narrow, Measurement(places, 9).matrix, atol=1e-3)


@given(measurements(), st.integers(0, 99))
def test_what_is_corrected_agrees_with_the_planes(measurement, seed):
    rng = np.random.default_rng(seed)
    matrix = measurement.matrix
    if np.linalg.cond(matrix @ matrix.T) > 1e8:
        return  # planes that say the same
    truth = rng.normal(size=measurement.depth)
    guess, planes = rng.normal(size=measurement.depth), matrix @ truth
    corrected = guess + measurement.correction() @ (planes - matrix @ guess)
    np.testing.assert_allclose(matrix @ corrected, planes, atol=1e-6)
    # It is the nearest of all that agree: nearer to the guess than the truth is, and to the truth.
    assert np.linalg.norm(corrected - guess) <= np.linalg.norm(truth - guess) + 1e-6
    assert np.linalg.norm(corrected - truth) <= np.linalg.norm(guess - truth) + 1e-6


def test_damping_is_the_best_linear_estimate():
    """Against the posterior mean of Gaussian errors and noise, from the joint covariance."""
    measurement, errors, noise = Measurement((0.0, 4.0, 8.0), 9, Profile("slab", 4)), 0.3, 0.1
    a = measurement.matrix
    joint = errors**2 * a @ a.T + noise**2 * np.eye(3)
    expected = errors**2 * a.T @ np.linalg.inv(joint)
    np.testing.assert_allclose(measurement.correction((noise / errors) ** 2), expected)


def test_widths_and_deviations():
    assert Profile("gaussian", FWHM).deviation == pytest.approx(1)
    assert Profile("slab", 12**0.5).deviation == pytest.approx(1)
    assert Profile("slab", 5.0).scaled(0.5) == Profile("slab", 2.5)
    for wrong in (("slab", 0.0), ("gaussian", float("nan")), ("point", 1.0)):
        with pytest.raises(SettingsError):
            Profile(*wrong)


@pytest.mark.parametrize("places", [(0.0,), (0.0, 0.0), (3.0, 1.0), (0.0, 9.5), (-1.0, 4.0)])
def test_positions_off_the_grid_are_refused(places):
    with pytest.raises(DataError, match="increasing"):
        Measurement(places, 9)


def test_points_are_measured_and_what_is_between_is_not():
    share = measured_share(Measurement((0.0, 3.0, 7.0), 8, damping=(0.0, 0.1)))
    np.testing.assert_array_equal(share, [[1, 0, 0, 1, 0, 0, 0, 1]] * 2)


@given(measurements(), st.floats(1e-3, 1))
def test_the_measured_share_is_the_diagonal_of_what_planes_determine(measurement, damping):
    """Of white errors of deviation 1 and noise: the share by which planes lower their variance."""
    noisy = replace(measurement, noise=(0.1,), damping=(damping,))
    (share,) = measured_share(noisy)
    a = noisy.matrix
    left = np.linalg.inv(np.eye(noisy.depth) + a.T @ a / damping)
    np.testing.assert_allclose(share, 1 - np.diagonal(left), atol=1e-6)
    assert share.min() > -1e-9
    assert share.max() < 1
    assert share.sum() < len(noisy.positions)  # no more is told than was measured
