"""The noise of planes."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.noise_level import (
    CHOOSE,
    CORNER,
    PART,
    PATCH,
    SMOOTHEST,
    VARIED,
    noise_level,
)
from isoslice.data.plane_spectra import hann


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


def one_by_one(planes):
    """Do the same patch by patch."""
    window = hann(PATCH)[:, None] * hann(PATCH)
    lowest = np.minimum(np.abs(np.fft.fftfreq(PATCH))[:, None], np.fft.rfftfreq(PATCH))
    corner, choose = lowest >= CORNER, (lowest >= CHOOSE[0]) & (lowest < CHOOSE[1])
    found = []
    for plane in planes:
        rows, columns = (range(0, n - PATCH + 1, PATCH // 2) for n in plane.shape)
        for y, x in ((y, x) for y in rows for x in columns):
            patch = plane[y : y + PATCH, x : x + PATCH]
            shown, varied = 0.0, 0.0
            for part in np.ndindex(PATCH // PART, PATCH // PART):
                place = tuple(slice(n * PART, (n + 1) * PART) for n in part)
                weight = (window[place] ** 2).sum()
                shown, varied = shown + weight, varied + weight * (np.ptp(patch[place]) > 0)
            if np.isfinite(patch).all() and varied >= VARIED * shown:
                centred = patch - patch.mean(dtype=np.float64)
                power = np.abs(np.fft.rfft2(centred * window)) ** 2 / varied
                found.append((power[choose].mean(), power[corner].mean()))
    found.sort()
    return np.sqrt(np.mean([noise for _, noise in found[: round(SMOOTHEST * len(found))]]))


def test_parts_of_patches_are_looked_at_together():
    """Blank parts and holes; sides that are no multiples of a part."""
    planes = np.random.default_rng(0).normal(size=(2, 93, 117)).astype(np.float32)
    planes[0, 20:75, 40:] = 0.5
    planes[1, 50, 60], planes[1, 5, 100], planes[1, :3, :30] = np.nan, np.inf, 2
    assert noise_level(planes) == pytest.approx(one_by_one(planes), rel=1e-12)
