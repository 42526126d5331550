"""The dial between mean and sample."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.ndimage import convolve1d, gaussian_filter1d
from torch.nn import functional as F  # noqa: N812

from isoslice.inference.detail.blend import (
    Gains,
    blend_detail,
    smooth_along_z,
    soften,
    split_detail,
)
from isoslice.runtime.device import VOXELS_AT_ONCE


def volumes(depth=21, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, 2, depth, 5, 6, generator=generator)


def constant(fine, coarse=1.0, depth=21):
    """One gain of fine detail for each of two channels, one of coarse detail for both."""
    return Gains(torch.tensor(fine)[:, None].expand(2, depth), torch.full((2, depth), coarse))


@pytest.mark.parametrize(
    ("coarse", "detail", "expected"),
    [
        (1.0, 0.0, (0, 0)),
        (1.0, 0.25, (0.5, 0)),
        (1.0, 0.5, (1, 0)),
        (1.0, 0.75, (1, 0.5)),
        (1.0, 1.0, (1, 1)),
        (0.5, 0.5, (0.75, 0)),
        (0.5, 0.8, (1, 0.2)),
        (0.5, 1.0, (1, 0.5)),
        (0.0, 0.7, (0.7, 0)),
        (0.0, 1.0, (1, 0)),
    ],
)
def test_the_dial_lets_fine_detail_in_first(coarse, detail, expected):
    fine, slow = Gains(torch.tensor(1.5), torch.tensor(coarse)).at(detail)
    assert (fine.item() / 1.5, slow.item()) == pytest.approx(expected)


@given(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1))
def test_every_part_of_the_dial_lets_more_in(coarse, detail, further):
    gains = Gains(torch.tensor(2.0), torch.tensor(coarse))
    less, more = sorted((detail, further))
    before, after = gains.at(less), gains.at(more)
    assert before.fine <= after.fine
    assert before.coarse <= after.coarse
    if more - less > 1e-3:
        assert before != after


@pytest.mark.parametrize(("depth", "sigma"), [(21, 1.5), (3, 2.0), (40, 0.4)])
def test_smoothing_agrees_with_scipy(depth, sigma):
    data = np.random.default_rng(0).normal(size=(depth, 4))
    reach = max(1, int(np.ceil(3 * sigma)))
    expected = gaussian_filter1d(data, sigma, axis=0, mode="constant", radius=reach)
    found = smooth_along_z(torch.from_numpy(data)[None, :, :, None], sigma)[0, :, :, 0]
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


def test_ends_of_the_dial_are_mean_and_sample():
    mean, sample = volumes()
    torch.testing.assert_close(
        blend_detail(mean, sample.clone(), 0.0, 1.5, constant([1.3, 0.8])), mean
    )
    torch.testing.assert_close(blend_detail(mean, sample.clone(), 1.0, 1.5), sample)

    whole = blend_detail(mean, sample.clone(), 1.0, 1.5, constant([1.3, 0.8]))
    gains = torch.tensor([1.3, 0.8])[:, None, None, None]
    smooth = blend_detail(mean, sample.clone(), 1.0, 1.5, constant([0.0, 0.0]))
    torch.testing.assert_close(whole - smooth, gains * (sample - smooth))


def test_half_way_fine_detail_is_whole_and_coarse_detail_gone():
    """Along Z a constant and a slow wave vanish, the fastest wave stays; XY doesn't matter."""
    z = torch.arange(64.0)
    mean = torch.zeros(1, 64, 2, 2)
    slow, fast = torch.cos(2 * torch.pi * z / 64), torch.cos(torch.pi * z)
    sample = (2 + slow + fast)[None, :, None, None] * torch.tensor([[1.0, 3.0], [0.5, 2.0]])
    kept = blend_detail(mean, sample.clone(), 0.5, 1.5)[0, 8:-8] / sample.new_tensor(
        [[1.0, 3.0], [0.5, 2.0]]
    )
    torch.testing.assert_close(kept, fast[8:-8, None, None].expand(-1, 2, 2), atol=0.04, rtol=0)


def test_the_result_takes_the_place_of_the_sample():
    mean, sample = volumes()
    before = mean.clone()
    assert blend_detail(mean, sample, 0.3, 1.5) is sample
    assert torch.equal(mean, before)


def test_planes_can_have_gains_of_their_own():
    mean, sample = volumes()
    each, slow = torch.rand(2, 2, 21)
    found = blend_detail(mean, sample.clone(), 1.0, 1.5, Gains(each, slow))
    fine, coarse = split_detail(sample - mean, 1.5)
    expected = mean + each[:, :, None, None] * fine + slow[:, :, None, None] * coarse
    torch.testing.assert_close(found, expected)


def test_grain_is_what_a_mean_of_neighbours_takes_off():
    planes = np.random.default_rng(0).normal(size=(3, 8, 9)).astype(np.float32)
    blurred = planes
    for axis in (1, 2):
        blurred = convolve1d(blurred, np.array([1, 2, 1]) / 4, axis=axis, mode="nearest")
    for kept in (1.0, 0.7, 0.0):
        found = torch.from_numpy(planes.copy())
        soften(found, kept)
        expected = kept * planes + (1 - kept) * blurred
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-6)


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_softening_takes_means_of_four_as_pytorch_does(at_once, monkeypatch):
    monkeypatch.setitem(VOXELS_AT_ONCE, "cpu", at_once * 13 * 17)
    planes = torch.randn(3, 13, 17, generator=torch.Generator().manual_seed(0))
    expected = planes.clone()
    for plane in expected:
        around = F.pad(plane[None, None], (1, 1, 1, 1), mode="replicate")
        pairs = F.avg_pool2d(around, 2, stride=1)
        plane.lerp_(F.avg_pool2d(pairs, 2, stride=1)[0, 0], 1 - 0.8)
    soften(planes, 0.8)
    assert torch.equal(planes, expected)


def test_grain_is_taken_off_the_detail_alone():
    mean, sample = volumes()
    detail = sample - mean
    for channel in detail:
        soften(channel, 0.6)
    found = blend_detail(mean, sample.clone(), 1.0, 1.5, grain=0.6)
    torch.testing.assert_close(found, mean + detail)
