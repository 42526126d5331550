"""Slice profiles of samples, against slabs, Gaussians and integrals."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from isoslice.data.measurement import Measurement
from isoslice.data.profile import FWHM, Profile, sampled_profile
from isoslice.errors import SettingsError

PLACES = (0.0, 7.3, 20.0, 31.5, 39.0)


def matrix(profile):
    return Measurement(PLACES, 40, profile).matrix


@pytest.mark.parametrize("count", [2, 5, 40])
def test_equal_weights_are_a_slab(count):
    """Each sample stands for the stretch half way to its neighbours."""
    z = (np.arange(count) + 0.5) * 4.2 / count + 17
    profile = sampled_profile(z, np.full(count, 3.0), "psf")
    assert profile.deviation == pytest.approx(4.2 / 12**0.5)
    assert profile.reach == pytest.approx(2.1)
    np.testing.assert_allclose(matrix(profile), matrix(Profile("slab", 4.2)), atol=1e-12)


@pytest.mark.parametrize("fwhm", [2.0, 7.5])
def test_samples_of_a_gaussian_are_that_gaussian(fwhm):
    z = np.linspace(-2.2 * fwhm, 1.9 * fwhm, 400)
    profile = sampled_profile(z, np.exp(-0.5 * (z * FWHM / fwhm) ** 2), "psf")
    assert profile.width == pytest.approx(fwhm, rel=1e-3)
    np.testing.assert_allclose(matrix(profile), matrix(Profile("gaussian", fwhm)), atol=2e-4)


def test_weights_are_those_of_an_integral_and_the_centroid_is_the_plane():
    """A profile of one long side, at uneven places, in any order, against a fine sum."""
    z, weights = np.array([3.0, 2.0, 5.0, 4.5, 8.0]), np.array([4.0, 1.0, 1.0, 2.0, 0.5])
    profile = sampled_profile(z, weights, "psf")
    edges = np.array([1.5, 2.5, 3.75, 4.75, 6.5, 9.5])
    heights = np.array([1.0, 4.0, 2.0, 1.0, 0.5])
    u = np.linspace(-10, 50, 600_001)
    step = u[1] - u[0]

    def density(v):
        at = np.clip(np.searchsorted(edges, v, side="right") - 1, 0, 4)
        return np.where((v < edges[0]) | (v >= edges[-1]), 0, heights[at])

    centroid = np.sum(u * density(u)) / np.sum(density(u))
    hats = np.maximum(1 - np.abs(u[None] - np.arange(40)[:, None]), 0)
    row = Measurement((0.0, 20.3, 39.0), 40, profile).matrix[1]
    seen = density(u - 20.3 + centroid)
    np.testing.assert_allclose(row, hats @ seen / seen.sum(), atol=2e-5)
    assert row @ np.arange(40) == pytest.approx(20.3, abs=1e-9)
    variance = np.sum((u - centroid) ** 2 * density(u)) * step / (np.sum(density(u)) * step)
    assert profile.deviation == pytest.approx(variance**0.5, rel=1e-4)


def test_lengths_scale_and_zeros_around_do_not_count():
    plain = sampled_profile([0, 1, 2], [1, 2, 1], "psf")
    wide = sampled_profile([-2, 0, 2, 4, 6, 8], [0, 0, 5, 10, 5, 0], "psf")
    np.testing.assert_allclose(wide.edges, plain.scaled(2).edges)
    np.testing.assert_allclose(wide.weights, plain.scaled(2).weights)
    assert wide.width == pytest.approx(2 * plain.width)


def test_saved_and_read_again_it_is_the_same():
    profile = sampled_profile([0, 0.1, 0.3], [1, 2 / 3, 1e-9], "psf").scaled(1 / 0.7)
    saved = TypeAdapter(Profile)
    assert saved.validate_json(saved.dump_json(profile)) == profile


@pytest.mark.parametrize(
    ("z", "weights", "message"),
    [
        ([0], [1], "got 1 samples"),
        (np.arange(2001), np.ones(2001), "got 2,001 samples"),
        ([0, 1, 2], [1, float("nan"), 1], "no finite numbers"),
        ([0, float("inf")], [1, 1], "no finite numbers"),
        ([0, 1, 2], [1, -0.5, 1], r"weights from -0.5 to 1.*subtract the background"),
        ([0, 1], [0, 0], "weights from 0 to 0"),
        ([0, 1, 1], [1, 1, 1], r"two samples.*at one place.*FILE:STEP"),
    ],
)
def test_what_is_no_profile_is_refused(z, weights, message):
    with pytest.raises(SettingsError, match=f"psf: got .*{message}|psf: {message}"):
        sampled_profile(z, weights, "psf")


@pytest.mark.parametrize(
    "fields",
    [
        ("sampled", 1.0),
        ("slab", 1.0, (0.0, 1.0), (1.0,)),
        ("sampled", 1.0, (0.0, 1.0), ()),
        ("sampled", 1.0, (1.0, 0.0), (1.0,)),
        ("sampled", 1.0, (0.0, 1.0), (-1.0,)),
        ("sampled", 1.0, (0.0, float("inf")), (1.0,)),
    ],
)
def test_a_record_that_is_no_profile_is_refused(fields):
    with pytest.raises(SettingsError, match="slice profile of kind"):
        Profile(*fields)
