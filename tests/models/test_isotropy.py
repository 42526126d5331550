"""Is a stack alike in all directions?"""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from isoslice.models.reliability.isotropy import (
    BLOCKS_PER_SIDE,
    MAX_JITTER,
    compare_directions,
    limits_at,
    plane_intensity_jitter,
)
from random_fields import field, pieces_of


@pytest.mark.parametrize("factor", [2, 4, 8])
def test_a_field_that_is_alike_in_all_directions_is_found_so(factor):
    (found,) = compare_directions(pieces_of(field(24 * factor, 128, 128)[::factor]), factor)
    assert found.ratio == pytest.approx(1, abs=0.25)
    assert found.flicker < MAX_JITTER / 2
    assert found.message is None


def test_white_noise_is_alike_in_all_directions():
    noise = np.random.default_rng(0).normal(size=(2, 40, 90, 90)).astype(np.float32)
    for found in compare_directions([noise], 4):
        assert found.ratio == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda v: gaussian_filter1d(v.astype(float), 3, axis=0), "blurred along Z"),
        (lambda v: np.repeat(v, 3, axis=0)[: len(v)], "given too large"),
        (lambda v: v[::4], "given too small"),
        (lambda v: np.stack([np.roll(p, 4 * (i % 3), 0) for i, p in enumerate(v)]), "align"),
        (lambda v: v + 20.0 * (np.arange(len(v)) // 2 % 2)[:, None, None], "flicker"),
    ],
    ids=["blur", "stretched", "squeezed", "shifted", "flicker"],
)
def test_what_is_not_is_told(change, words):
    (found,) = compare_directions(pieces_of(change(field(160, 96, 96, sigma=3))[::2]), 2)
    assert words in found.message


def test_known_ratio_of_a_field_that_is_smoother_along_z():
    """The midpoint error of a Gaussian field with correlation r(d) is 1.5 - 2 r(d) + r(2d) / 2."""
    noise = np.random.default_rng(0).normal(size=(120, 160, 160))
    smooth = gaussian_filter(noise, (6, 3, 3))
    smooth = (smooth / smooth.std())[::4]

    def error(distance, sigma):
        r, r2 = (np.exp(-((d / sigma) ** 2) / 4) for d in (distance, 2 * distance))
        return 1.5 - 2 * r + r2 / 2

    (found,) = compare_directions([smooth.astype(np.float32)[None]], 4)
    assert found.ratio == pytest.approx(error(4, 6) / error(4, 3), rel=0.2)
    assert found.ratio < found.limits[0]


def test_limits_narrow_with_the_spacing_and_hold_one():
    limits = [limits_at(factor) for factor in (2, 3, 4, 8, 16, 100)]
    lows, highs = ([pair[i] for pair in limits] for i in (0, 1))
    assert lows == sorted(lows)
    assert highs == sorted(highs, reverse=True)
    assert limits[0] == pytest.approx((0.45, 1.85))
    assert limits[-1] == limits[3] == pytest.approx((0.65, 1.55))


@pytest.mark.parametrize("strength", [0.05, 0.2, 0.5])
def test_flicker_is_measured(strength):
    rng = np.random.default_rng(0)
    planes = rng.normal(size=(400, 32, 32))
    planes += strength * rng.normal(size=(400, 1, 1))
    found = plane_intensity_jitter([planes.astype(np.float32)])
    assert found == pytest.approx(strength / np.sqrt(1 + strength**2), rel=0.15)


def test_structure_that_changes_from_plane_to_plane_is_no_flicker():
    """Blocks whose brightness jumps, each on its own: the whole planes' hardly does."""
    rng = np.random.default_rng(0)
    blocks = rng.normal(size=(400, BLOCKS_PER_SIDE, BLOCKS_PER_SIDE))
    planes = blocks.repeat(8, 1).repeat(8, 2)
    assert planes.mean((1, 2)).std() > 0.2
    assert plane_intensity_jitter([planes.astype(np.float32)]) < 0.1


def test_too_few_or_too_small_planes_tell_nothing():
    for shape in ((1, 2, 60, 60), (1, 9, 7, 7)):
        (found,) = compare_directions([np.random.default_rng(0).random(shape, np.float32)], 4)
        assert (found.ratio, found.flicker, found.message) == (None, None, None)
    (flat,) = compare_directions([np.ones((1, 9, 40, 40), np.float32)], 2)
    assert (flat.ratio, flat.flicker) == (None, None)
