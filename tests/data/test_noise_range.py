"""Tests of the range of intensities that planes would have with other noise."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from isoslice.data.noise_range import (
    MOST_EXCESS,
    as_noisy_as,
    differs,
    noise_levels,
    percentile_shifts,
    pieces,
    some_of,
    training_noise,
)
from isoslice.data.normalization import Normalization, percentile_normalization
from isoslice.data.survey import Limits


def specimen(seed=0, shape=(8, 128, 128)):
    """Return air, 0, with tissue of 40 to 180 in it."""
    smooth = gaussian_filter(np.random.default_rng(seed).normal(size=shape), (2, 5, 5))
    smooth /= smooth.std()
    return np.where(smooth > 0, 40 + 50 * np.clip(smooth, 0, 2.8), 0.0).astype(np.float32)


def noisy(planes, deviation, seed=1):
    noise = np.random.default_rng(seed).normal(size=planes.shape)
    return (planes + deviation * noise).astype(np.float32)


def range_of(normalization):
    return normalization.low[0], normalization.high[0]


def test_the_range_of_noisy_planes_is_nearly_that_without_noise():
    clean, planes = specimen(), noisy(specimen(), 6)
    wanted, before = (range_of(percentile_normalization(p[None])) for p in (clean, planes))
    after = range_of(as_noisy_as(percentile_normalization(planes[None]), planes[None], [0.0]))
    assert wanted[0] - before[0] > 15  # three deviations
    assert abs(after[0] - wanted[0]) < 0.3 * (wanted[0] - before[0])
    assert abs(after[1] - wanted[1]) < 0.4 * (before[1] - wanted[1])


@pytest.mark.parametrize("noise", [0.02, 0.05])
def test_less_and_more_noise_of_one_deviation_are_inverse(noise):
    values = np.random.default_rng(2).uniform(size=200_000).astype(np.float32)
    grainy = noisy(values, noise)
    less, more = percentile_shifts(grainy, noise, 0.0), percentile_shifts(values, 0.0, noise)
    np.testing.assert_allclose(less, np.negative(more), atol=0.3 * noise)
    true = np.subtract(*(np.percentile(v, (0.1, 99.9)) for v in (grainy, values)))
    np.testing.assert_allclose(more, true, atol=0.1 * noise)


def test_no_more_noise_is_taken_off_than_networks_are_told_of():
    values = np.random.default_rng(3).normal(0.5, 0.15, 100_000).astype(np.float32)
    most = percentile_shifts(values, MOST_EXCESS, 0.0)
    np.testing.assert_array_equal(percentile_shifts(values, 0.15, 0.0), most)
    assert percentile_shifts(values[:0], 0.03, 0.0) == (0.0, 0.0)


def test_planes_with_noise_added_have_the_range_of_noisy_ones():
    clean = specimen()
    as_is = percentile_normalization(clean[None])
    target = percentile_normalization(noisy(clean, 6)[None])
    wanted = 6 / (target.high[0] - target.low[0])
    grainy = noisy(clean, 0.5)  # planes of which nothing is seen are left as they are
    changed = as_noisy_as(percentile_normalization(grainy[None]), grainy[None], [wanted])
    assert range_of(as_is)[0] == pytest.approx(0, abs=1e-5)
    assert range_of(changed) == pytest.approx(range_of(target), abs=4)


def test_planes_with_about_as_much_noise_keep_their_range():
    planes = noisy(specimen(), 6)[None]
    normalization = percentile_normalization(planes)
    (level,) = training_noise([(planes[0][:, None], normalization)])
    assert level == pytest.approx(6 / np.ptp(range_of(normalization)), rel=0.2)
    for wanted in (level, 1.2 * level, level / 1.2):
        assert as_noisy_as(normalization, planes, [wanted]) == normalization


@pytest.mark.parametrize(
    ("noise", "wanted", "expected"),
    [
        (0.0, 0.05, False),  # nothing was seen of any noise
        (0.03, 0.0, True),
        (0.004, 0.0, False),
        (0.05, 0.045, False),
        (0.009, 0.0, True),
        (0.001, 0.009, False),  # blurred planes show less grain
        (0.001, 0.02, True),
    ],
)
def test_what_counts_as_other_noise(noise, wanted, expected):
    assert differs(noise, wanted) is expected


def test_channels_are_judged_by_themselves():
    clean, planes = specimen(), noisy(specimen(), 6)
    both = np.stack([clean, planes])
    normalization = percentile_normalization(both)
    levels = noise_levels(normalization.apply(both))
    changed = as_noisy_as(normalization, both, [levels[0], 0.0])
    assert (changed.low[0], changed.high[0]) == (normalization.low[0], normalization.high[0])
    assert changed.low[1] > normalization.low[1]


def test_padding_and_missing_voxels_do_not_count():
    planes = noisy(specimen(), 6)
    as_is = percentile_normalization(planes[None])
    expected = as_noisy_as(as_is, planes[None], [0.0])
    padded = planes.copy()
    padded[:, :20] = -3000
    padded[:, 20:40, :50] = np.nan
    limits = (Limits(outside=-3000.0, padding=True),)
    with_holes = Normalization(as_is.low, as_is.high, (0.0,), limits)
    changed = as_noisy_as(with_holes, padded[None], [0.0])
    assert range_of(changed) == pytest.approx(range_of(expected), abs=12)
    assert range_of(changed)[0] > range_of(as_is)[0] + 4
    assert changed.limits == limits


def test_large_planes_are_looked_at_in_pieces():
    assert pieces(1024) == [slice(0, 1024)]
    assert pieces(4000)[0] == slice(0, 256)
    assert pieces(4000)[-1] == slice(4000 - 256, 4000)
    planes = np.arange(20 * 3 * 1100, dtype=np.float32).reshape(20, 1, 3, 1100)
    some = some_of(planes)
    assert some.shape == (1, 8, 3, 4 * 256)
    np.testing.assert_array_equal(some[0, -1, 2, -5:], planes[-1, 0, 2, -5:])
