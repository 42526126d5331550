"""What blurred planes lack of a section's detail."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.lost_detail import FINE, FINE_SHARE, LostDetail, gathered, lost_detail, put_back
from isoslice.data.measurement import Measurement
from isoslice.data.plane_spectra import cubes_of
from isoslice.data.profile import FWHM, Profile


def specimen(seed=0, shape=(97, 128, 128)):
    """A field that is alike in all directions: coarse structure, and grain that is almost white."""
    rng = np.random.default_rng(seed)
    coarse, grain = (
        gaussian_filter(rng.normal(size=shape), sigma, mode="wrap") for sigma in (3, 0.7)
    )
    return coarse / coarse.std() + 0.5 * grain / grain.std()


def planes_of(truth, deviation, noise=0.0, seed=1):
    places = tuple(np.arange(0.0, len(truth), 4).tolist())
    matrix = Measurement(places, len(truth), Profile("gaussian", deviation * FWHM)).matrix
    planes = np.einsum("iz,zyx->iyx", matrix, truth)
    planes += noise * np.random.default_rng(seed).normal(size=planes.shape)
    return planes.astype(np.float32)


def fine_power(images):
    """Mean power of each image above an eighth of a cycle per pixel, below 0.45."""
    y, x = (np.fft.fftfreq(n) for n in images.shape[1:])
    distance = np.hypot(y[:, None], x)
    window = np.hanning(images.shape[1])[:, None] * np.hanning(images.shape[2])
    power = np.abs(np.fft.fft2((images - images.mean((1, 2), keepdims=True)) * window)) ** 2
    return power[:, (distance > 0.125) & (distance < 0.45)].mean()


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("deviation", [1.2, 2.0, 3.0])
def test_planes_are_as_rough_as_sections_again(deviation, noise):
    truth = specimen()
    planes = planes_of(truth, deviation, noise)
    lost = lost_detail([planes[c] for c in cubes_of(planes.shape, 4)], 4, deviation)
    assert lost is not None
    given_back = np.stack([put_back([lost], plane[None])[0] for plane in planes[3:-3]])
    sections = truth[12:-12:4]
    assert fine_power(planes[3:-3]) < 0.75 * fine_power(sections) + noise
    assert fine_power(given_back) == pytest.approx(fine_power(sections), rel=0.25)


def test_sharp_planes_lack_nothing():
    planes = specimen()[::4].astype(np.float32)
    lost = lost_detail([planes[c] for c in cubes_of(planes.shape, 4)], 4, 0.0)
    assert lost is not None
    np.testing.assert_allclose(lost.gain, 1, atol=0.1)


def test_nothing_is_known_of_planes_that_do_not_vary():
    assert lost_detail([np.ones((8, 32, 32), np.float32)], 4, 2.0) is None
    assert lost_detail([], 4, 2.0) is None


def test_a_gain_of_one_changes_nothing():
    image = specimen(shape=(3, 30, 41))[0].astype(np.float32)
    same = LostDetail(np.array([0.0, 0.6]), np.array([1.0, 1.0]))
    np.testing.assert_allclose(same.put_back(image), image, atol=1e-5)
    np.testing.assert_array_equal(put_back([], image[None]), image[None])


def test_the_range_of_an_image_is_kept():
    image = (0.5 + specimen(shape=(3, 40, 40))[0] / 2).clip(0, 1).astype(np.float32)
    sharper = LostDetail(np.array([0.0, 0.1, 0.71]), np.array([1.0, 2.0, 2.0])).put_back(image)
    assert sharper.min() >= 0
    assert sharper.max() <= 1
    assert np.abs(sharper - image).max() > 0.1


def test_the_share_of_white_noise_that_is_fine():
    point = np.zeros((65, 65))
    point[32, 32] = 1
    assert ((point - gaussian_filter(point, FINE)) ** 2).sum() == pytest.approx(
        FINE_SHARE, abs=1e-3
    )


def test_detail_is_taken_to_where_planes_show_structure():
    rng = np.random.default_rng(4)
    grain = gaussian_filter(rng.normal(size=(96, 96)), 0.7)
    clean = np.where(np.arange(96) < 48, 0.0, grain / grain.std())
    noisy = (clean + 0.3 * rng.normal(size=clean.shape)).astype(np.float32)[None]
    twice = LostDetail(np.array([0.0, 0.1, 0.71]), np.array([1.0, 2.0, 2.0]))
    sharp = put_back([twice], noisy)
    moved = gathered(sharp, noisy, [0.3])
    fine = [image[0] - gaussian_filter(image[0].astype(float), FINE) for image in (sharp, moved)]
    empty, full = (slice(8, 40), slice(56, 88))
    power = [[(part[8:-8, side] ** 2).mean() for side in (empty, full)] for part in fine]
    assert power[1][0] < 0.15 * power[0][0]  # of noise alone little is left
    assert power[1][1] > power[0][1]
    assert (fine[1] ** 2).sum() == pytest.approx((fine[0] ** 2).sum(), rel=0.1)


def test_without_noise_or_with_nothing_else_detail_stays_where_it_is():
    rng = np.random.default_rng(5)
    image = rng.normal(size=(2, 40, 40)).astype(np.float32)
    np.testing.assert_allclose(gathered(image, image, [0.0, 0.0]), image, atol=1e-5)
    np.testing.assert_array_equal(gathered(image, image, [10.0, 10.0]), image)
    flat = np.ones((1, 40, 40), np.float32)
    np.testing.assert_array_equal(gathered(flat, flat, [0.1]), flat)
