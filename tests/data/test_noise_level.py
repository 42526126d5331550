"""The noise of planes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.noise_level import noise_level


@pytest.mark.parametrize("noise", [0.01, 0.05])
def test_noise_is_told_beside_structure(noise):
    rng = np.random.default_rng(0)
    smooth = gaussian_filter(rng.normal(size=(4, 256, 256)), (0, 6, 6))
    smooth[:, :, 100:] += 1  # an edge
    planes = (smooth + noise * rng.normal(size=smooth.shape)).astype(np.float32)
    assert noise_level(planes) == pytest.approx(noise, rel=0.15)


def test_blank_parts_are_not_looked_at():
    rng = np.random.default_rng(0)
    planes = np.zeros((2, 128, 128), np.float32)
    planes[:, :, 64:] = 0.1 * rng.normal(size=(2, 128, 64))
    assert noise_level(planes) == pytest.approx(0.1, rel=0.15)


def test_nothing_is_known_of_small_or_constant_planes():
    assert noise_level(np.ones((3, 20, 200), np.float32)) == 0
    assert noise_level(np.ones((3, 64, 64), np.float32)) == 0
