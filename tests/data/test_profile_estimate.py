"""The slice profile and the noise, from planes alone: random volumes that are alike everywhere."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.measurement import Measurement
from isoslice.data.plane_spectra import cubes_of
from isoslice.data.profile import FWHM, POINT, Profile
from isoslice.data.profile_estimate import estimate_profile, noise_seen


def texture(depth=120, side=80, grain=0.0):
    """Make a volume of one spectrum in all directions, of deviation 0.25."""
    rng = np.random.default_rng(0)
    fine, rough = (
        gaussian_filter(rng.normal(size=(depth, side, side)), width) for width in (1.0, 2.5)
    )
    volume = fine / fine.std() + 2 * rough / rough.std()
    return 0.25 * volume / volume.std() + grain * rng.normal(size=volume.shape)


def planes_of(volume, ratio, profile, noise=0.0):
    """See planes a real number of pixels apart, at voxels, through a profile."""
    places = np.arange(12, len(volume) - 12, ratio)
    matrix = Measurement(tuple(places.tolist()), len(volume), profile).matrix
    planes = np.einsum("iz,zyx->iyx", matrix, volume)
    planes += noise * np.random.default_rng(1).normal(size=planes.shape)
    return planes.astype(np.float32)


def gaussian(deviation):
    """Return a profile whose weights on voxels have a deviation: lines between these add 1/6."""
    return Profile("gaussian", np.sqrt(deviation**2 - 1 / 6) * FWHM)


@pytest.mark.parametrize(
    ("ratio", "deviation", "noise"),
    [
        (2, 1.0, 0.0),
        (4, 1.2, 0.02),
        (4, 2.0, 0.03),
        (4, 3.0, 0.01),
        (5.3, 2.5, 0.02),
        (8, 5.0, 0.0),
    ],
)
def test_a_known_blur_is_found_within_its_error(ratio, deviation, noise):
    planes = planes_of(texture(), ratio, gaussian(deviation), noise)
    found = estimate_profile(planes[None], ratio)
    assert found.told
    assert found.sees_blur
    assert found.deviation == pytest.approx(deviation, abs=2 * found.error)
    assert found.deviation == pytest.approx(deviation, rel=0.12)
    assert found.error < 0.15 * ratio
    if deviation >= ratio / 3:  # planes see each other's grain
        assert found.noise == pytest.approx(noise, abs=0.004)


def test_a_slab_is_found_by_its_deviation():
    planes = planes_of(texture(), 4, Profile("slab", 4))
    found = estimate_profile(planes[None], 4)
    assert found.slab == pytest.approx(np.sqrt(4**2 + 12 / 6), rel=0.1)


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize("ratio", [2, 5])
def test_no_blur_gives_none(ratio, noise):
    found = estimate_profile(planes_of(texture(), ratio, POINT, noise)[None], ratio)
    assert found.told
    assert not found.sees_blur
    assert found.deviation < 0.2 * ratio


def test_noise_alone_cannot_tell():
    for seed in range(2):
        noise = np.random.default_rng(seed).normal(size=(1, 24, 96, 96)).astype(np.float32)
        assert not estimate_profile(noise, 4).told


@pytest.mark.parametrize(
    "planes",
    [
        np.ones((1, 20, 64, 64), np.float32),
        np.full((1, 20, 64, 64), np.nan, np.float32),
        texture(4, 64)[None].astype(np.float32),
        texture(20, 20)[None].astype(np.float32),
    ],
    ids=["constant", "unknown", "few", "small"],
)
def test_too_little_cannot_tell(planes):
    found = estimate_profile(planes, 4)
    assert not found.told
    assert found.why_not


def test_channels_are_taken_together():
    planes = planes_of(texture(), 4, gaussian(2.0))
    both = np.stack([planes, 0.5 * planes[:, ::-1]])
    assert estimate_profile(both, 4).deviation == pytest.approx(2.0, rel=0.1)


@pytest.mark.parametrize("grain", [0.0, 0.1])
@pytest.mark.parametrize("noise", [0.0, 0.02, 0.05])
def test_grain_that_planes_share_is_not_noise(grain, noise):
    """White grain of the specimen looks like noise in one plane, not in the next one."""
    planes = planes_of(texture(grain=grain), 4, gaussian(2.0), noise)
    cubes = [planes[region] for region in cubes_of(planes.shape, 4)]
    assert noise_seen(cubes, 4, 2.0) == pytest.approx(noise, rel=0.15, abs=0.004)


def test_cubes_lie_within_the_stack_and_are_few():
    cubes = cubes_of((300, 2000, 1500), 16)
    assert len(cubes) <= 96
    for z, y, x in cubes:
        assert 0 <= z.start < z.stop <= 300
        assert 0 <= y.start < y.stop <= 2000
        assert (z.stop - z.start, y.stop - y.start, x.stop - x.start) == (8, 128, 128)
    assert cubes_of((4, 200, 200), 4) == [] == cubes_of((40, 200, 20), 4)
