"""Noise that depends on the seed and the voxel's position alone."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isoslice.models.diffusion.noise import noise_block


@given(
    origin=st.tuples(*[st.integers(0, 3)] * 4),
    shape=st.tuples(*[st.integers(1, 4)] * 4),
    seed=st.integers(0, 2**62),
)
@settings(deadline=None, max_examples=30)
def test_a_piece_sees_the_noise_of_the_whole(origin, shape, seed):
    whole = noise_block(seed, (7, 7, 7, 7))
    cut = tuple(slice(o, o + n) for o, n in zip(origin, shape, strict=True))
    assert torch.equal(noise_block(seed, shape, origin), whole[cut])


def test_noise_is_standard_normal():
    noise = noise_block(1, (1, 64, 64, 64)).double().ravel()
    assert abs(noise.mean()) < 0.01
    assert abs(noise.std() - 1) < 0.01
    assert abs((noise**4).mean() - 3) < 0.1
    assert abs(float((noise.abs() < 1).double().mean()) - 0.6827) < 0.005


@pytest.mark.parametrize("axis", range(4))
def test_neighbours_are_independent(axis):
    noise = noise_block(5, (8, 32, 32, 32)).numpy()
    a = np.take(noise, range(noise.shape[axis] - 1), axis).ravel()
    b = np.take(noise, range(1, noise.shape[axis]), axis).ravel()
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.01


def test_seeds_are_independent():
    a, b = (noise_block(seed, (1, 16, 64, 64)).numpy().ravel() for seed in (0, 1))
    assert abs(np.corrcoef(a, b)[0, 1]) < 0.02


def test_golden_values():
    np.testing.assert_allclose(
        noise_block(0, (1, 1, 1, 4)).ravel(), GOLDEN, rtol=1e-5, err_msg="noise must never change"
    )


GOLDEN = [0.6584820, -0.5467295, 0.02268972, -0.9483200]
