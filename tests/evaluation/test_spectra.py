"""Spectra: known answers for sines, shifts, noise and blur."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.spectra import (
    ShellCorrelation,
    power_spectrum,
    power_spectrum_ratio,
    shell_correlation,
)

RNG = np.random.default_rng(0)
NOISE = RNG.normal(size=(24, 30, 33))


def wave(shape, axis, frequency, amplitude=1.0):
    line = amplitude * np.sin(2 * np.pi * frequency * np.arange(shape[axis]) + 0.3)
    return np.broadcast_to(line.reshape([-1 if i == axis else 1 for i in range(3)]), shape)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_wave_of_half_the_amplitude_has_a_quarter_of_the_power(axis):
    truth, half = wave((32, 32, 32), axis, 0.3), wave((32, 32, 32), axis, 0.3, 0.5)
    ratios = power_spectrum_ratio(half, truth)
    assert ratios[axis] == pytest.approx(0.25)
    assert all(ratio is None for i, ratio in enumerate(ratios) if i != axis)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_the_density_of_white_noise_is_flat_and_sums_up_to_its_variance(axis):
    noise = np.random.default_rng(3).normal(scale=3.0, size=(64, 65, 66))
    frequency, density = power_spectrum(noise, axis, spacing=0.5)
    assert density[2:-1] == pytest.approx(2 * 0.5 * 9.0, rel=0.1)
    step = frequency[1] - frequency[0]
    assert np.sum(density) * step == pytest.approx(9.0, rel=0.05)
    assert frequency[-1] == pytest.approx(1.0, abs=step)  # half a cycle a voxel of 0.5


def test_the_density_of_slow_structure_does_not_depend_on_how_finely_it_is_sampled():
    fine = wave((240, 8, 8), 0, 0.05) + wave((240, 8, 8), 0, 0.02)
    f, dense = power_spectrum(fine, 0, spacing=2.0)
    g, coarse = power_spectrum(fine[::4], 0, spacing=8.0)
    np.testing.assert_allclose(g, f[: len(g)])
    peaks = [5 - 1, 12 - 1]  # cycles in all of it
    assert (dense[peaks] > 1).all()
    np.testing.assert_allclose(coarse[peaks], dense[peaks], rtol=0.03)


def test_only_the_band_counts():
    slow = wave((32, 32, 32), 0, 0.05, 10.0)
    fast = wave((32, 32, 32), 0, 0.4)
    ratio = power_spectrum_ratio(fast + slow, fast)[0]
    assert ratio == pytest.approx(1, abs=0.02)
    assert power_spectrum_ratio(fast + slow, fast, (0.0, 0.2))[0] > 100


def test_blur_along_one_axis_is_seen_along_that_axis():
    blurred = (NOISE + np.roll(NOISE, 1, 0)) / 2
    z, y, x = power_spectrum_ratio(blurred, NOISE)
    # Two taps let 2 cos(pi f)^2 - 1 ... through: on average over 1/4 ... 1/2 cos(pi f)^2 = 0.18.
    assert z == pytest.approx(0.18, abs=0.04)
    assert y == pytest.approx(0.5, abs=0.05)
    assert x == pytest.approx(0.5, abs=0.05)


def test_any_type_and_any_number_of_axes():
    image = RNG.integers(0, 255, (16, 20), dtype=np.uint8)
    assert power_spectrum_ratio(image, image) == pytest.approx((1, 1))
    assert power_spectrum_ratio(image[0], image[0]) == pytest.approx((1,))
    assert power_spectrum_ratio(NOISE[:4], NOISE[:4])[0] is None  # too few planes


def test_a_volume_correlates_with_itself_whatever_its_scale():
    found = shell_correlation(3 * NOISE + 7, NOISE)
    np.testing.assert_allclose(found.correlation, 1)
    assert found.frequency[0] == pytest.approx(1 / 24)
    assert found.frequency[-1] == pytest.approx(0.5)
    assert found.cutoff() == pytest.approx(0.5)
    np.testing.assert_allclose(shell_correlation(-NOISE, NOISE).correlation, -1)


def test_independent_noise_does_not_correlate():
    other = np.random.default_rng(1).normal(size=NOISE.shape)
    assert np.all(np.abs(shell_correlation(other, NOISE).correlation[4:]) < 0.15)


def test_agreement_up_to_a_frequency_is_found():
    spectrum = np.fft.rfftn(NOISE)
    grid = np.meshgrid(np.fft.fftfreq(24), np.fft.fftfreq(30), np.fft.rfftfreq(33), indexing="ij")
    radius = np.sqrt(sum(g**2 for g in grid))
    other = np.fft.rfftn(np.random.default_rng(2).normal(size=NOISE.shape))
    mixed = np.fft.irfftn(np.where(radius < 0.25, spectrum, other), NOISE.shape, axes=(0, 1, 2))
    assert shell_correlation(mixed, NOISE).cutoff() == pytest.approx(0.25, abs=0.04)


def test_cones_tell_axes_apart():
    planes = NOISE[::4]
    coarse = np.repeat(planes, 4, axis=0)
    along = [shell_correlation(coarse, NOISE, axis=axis).cutoff(0.3) for axis in range(3)]
    assert along[0] < along[1]
    assert along[0] < along[2]


def test_agrees_with_a_plain_loop_over_shells():
    a, b = NOISE[:10, :12, :14], NOISE[10:20, 12:24, 14:28]
    window = np.ones(a.shape)
    for axis, n in enumerate(a.shape):
        window = window * np.hanning(n + 2)[1:-1].reshape(
            [-1 if i == axis else 1 for i in range(3)]
        )
    fa, fb = (np.fft.fftn((v - v.mean()) * window) for v in (a, b))
    found = shell_correlation(a, b)
    for shell in range(1, 6):
        cross = power_a = power_b = 0.0
        for z, y, x in np.ndindex(a.shape):
            f = [np.fft.fftfreq(n)[i] for n, i in zip(a.shape, (z, y, x), strict=True)]
            radius = np.sqrt(np.square(f).sum())
            if radius <= 0.5 and round(radius * 10) == shell:
                cross += float((fa[z, y, x] * fb[z, y, x].conj()).real)
                power_a += float(abs(fa[z, y, x])) ** 2
                power_b += float(abs(fb[z, y, x])) ** 2
        assert found.correlation[shell - 1] == pytest.approx(cross / np.sqrt(power_a * power_b))


@given(st.lists(st.floats(-1, 1), min_size=1, max_size=12), st.floats(0.05, 0.95))
def test_the_cutoff_lies_within_the_shells(values, threshold):
    frequency = np.linspace(0.1, 0.5, len(values))
    found = ShellCorrelation(frequency, np.array(values)).cutoff(threshold)
    assert frequency[0] <= found <= frequency[-1]
    before = np.array(values)[frequency < found - 1e-12]
    assert np.all(before >= threshold)


def test_bad_input():
    with pytest.raises(DataError, match="expected the same"):
        power_spectrum_ratio(NOISE[:20], NOISE)
    with pytest.raises(DataError, match="at least 8 voxels"):
        shell_correlation(NOISE[:4], NOISE[:4])
    with pytest.raises(SettingsError, match="rising"):
        power_spectrum_ratio(NOISE, NOISE, (0.3, 0.2))
