"""Rows of images that are measured as planes were."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.grid import even_grid
from isoslice.data.measurement import Measurement
from isoslice.data.profile import Profile
from isoslice.inference.measured_rows import anisotropy_seen, measured, with_rows


def field(*widths, seed=0):
    """Make a random field, smooth over some voxels along each axis, of deviation 1."""
    made = gaussian_filter(np.random.default_rng(seed).normal(size=(121, 96, 96)), widths)
    return made / made.std()


def sections_of(volume):
    return [volume[None, z].astype(np.float32) for z in range(0, len(volume), 10)]


def of_gaussian(noise=0.0, pixels=1.0):
    grid = even_grid(31, 4)
    return Measurement(
        tuple(map(float, grid.known)), grid.depth, Profile("gaussian", 5), (noise,), pixels=pixels
    )


def compared(truth, images, measurement, *, clean=True, seed=1):
    planes = np.einsum("iz,zyx->iyx", measurement.matrix, truth)
    planes += measurement.noise[0] * np.random.default_rng(seed).normal(size=planes.shape)
    pieces = [
        planes[None, 4:-4, :48].astype(np.float32),
        planes[None, 4:-4, 48:].astype(np.float32),
    ]
    return anisotropy_seen(pieces, images, measurement, clean=clean)[0]


@pytest.mark.parametrize("noise", [0.0, 0.1])
def test_planes_of_a_field_that_is_alike_in_all_directions_differ_as_rows_do(noise):
    truth = field(2, 2, 2)
    sections = sections_of(truth)
    assert compared(truth, sections, of_gaussian(noise)) == pytest.approx(1, abs=0.12)


def test_planes_of_a_field_that_is_rougher_along_z_differ_more():
    sections = sections_of(field(4, 4, 4))
    assert compared(field(2, 4, 4), sections, of_gaussian()) > 1.25


def test_rows_as_far_apart_as_output_planes_are_compared():
    coarse = field(2, 2, 2)
    fine = field(2, 4, 4, seed=2)  # its pixels are half as far apart as its planes
    sections = sections_of(fine)
    assert compared(coarse, sections, of_gaussian(pixels=2.0)) == pytest.approx(1, abs=0.25)
    assert compared(coarse, sections, of_gaussian()) > 2


def test_noise_of_images_is_none_of_the_specimens():
    truth = field(2, 2, 2)
    noisy = [
        image + 0.1 * np.random.default_rng(z).normal(size=image.shape).astype(np.float32)
        for z, image in enumerate(sections_of(truth))
    ]
    points = replace(of_gaussian(0.1), profile=Profile())
    assert compared(truth, noisy, points, clean=False) == pytest.approx(1, abs=0.12)


def test_too_few_planes_say_nothing():
    images = sections_of(field(2, 2, 2))
    two = [np.zeros((1, 2, 40, 40), np.float32)]
    assert anisotropy_seen(two, images, of_gaussian()) == 1
    assert compared(field(2, 2, 2), [image[:, :20, :20] for image in images], of_gaussian()) == 1


def test_differences_that_noise_drowns_say_nothing():
    truth = 1e-3 * field(2, 2, 2)
    sections = sections_of(truth)
    assert compared(truth, sections, of_gaussian(0.1)) == 1


def test_rows_are_spaced_as_output_planes():
    ramp = np.arange(10, dtype=np.float32)[None, :, None] + np.zeros((1, 1, 4), np.float32)
    along, across = with_rows([ramp], 2.5)
    np.testing.assert_allclose(along[0, :, 0], [0, 2.5, 5, 7.5], atol=1e-5)
    assert across.shape == (1, 2, 10)
    same, turned = with_rows([ramp], 1.0)
    np.testing.assert_array_equal(same, ramp)
    np.testing.assert_array_equal(turned, ramp.swapaxes(1, 2))


@pytest.mark.parametrize("clean", [False, True])
def test_planes_of_rows_have_the_stacks_noise(clean):
    noise, m = 0.3, of_gaussian(0.3)
    grain = np.random.default_rng(0).normal(size=(1, m.depth, 20000)).astype(np.float32)
    rows = np.zeros_like(grain) if clean else noise * grain
    planes = measured(rows, m, np.random.default_rng(1), clean=clean)
    assert planes[:, 3:-3].std() == pytest.approx(noise, rel=0.02)
