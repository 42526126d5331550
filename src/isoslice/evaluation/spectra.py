"""Power spectra of volumes, and their Fourier shell correlation with the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, SettingsError

#: Band of fine detail in cycles a voxel, up to the Nyquist frequency.
FINE_BAND = (0.25, 0.5)
#: Correlation below which two volumes no longer agree.
CUTOFF_CORRELATION = 0.5
#: Least number of voxels along an axis for its spectrum.
MIN_LENGTH = 8


@dataclass(frozen=True)
class ShellCorrelation:
    """Fourier shell correlation of two volumes.

    Attributes
    ----------
    frequency
        Middle of each shell, in cycles a voxel, shape (shells,).
    correlation
        -1 ... 1, shape (shells,); NaN where a shell has no power or, in a cone, no voxel.
    """

    frequency: NDArray[np.float64]
    correlation: NDArray[np.float64]

    def cutoff(self, threshold: float = CUTOFF_CORRELATION) -> float:
        """Find the frequency where the correlation first falls below `threshold`.

        In cycles a voxel, interpolated between shells; the last frequency where it never does.
        """
        known = ~np.isnan(self.correlation)
        frequency, correlation = self.frequency[known], self.correlation[known]
        below = np.flatnonzero(correlation < threshold)
        if len(below) == 0:
            return float(frequency[-1]) if len(frequency) else float("nan")
        i = below[0]
        if i == 0:
            return float(frequency[0])
        high, low = correlation[i - 1], correlation[i]
        share = (high - threshold) / (high - low)
        return float(frequency[i - 1] + share * (frequency[i] - frequency[i - 1]))


def power_spectrum_ratio(
    volume: NDArray[Any], truth: NDArray[Any], band: tuple[float, float] = FINE_BAND
) -> tuple[float | None, ...]:
    """Compute the power of fine detail along each axis, relative to the truth's.

    Periodograms (Hann window, mean subtracted), averaged over all lines along an axis and summed
    over `band`. 1: as much fine detail as in the truth, less: blurred, more: noisy.

    Parameters
    ----------
    volume, truth
        Arrays of the same shape, of any real type.
    band
        Frequencies that count, in cycles a voxel, both ends included.

    Returns
    -------
    One number for each axis; None where the axis has fewer than 8 voxels, or the truth no power.

    Raises
    ------
    DataError
        If shapes differ.
    SettingsError
        If `band` is not a rising pair within 0 ... 1/2.
    """
    _check_shapes(volume, truth)
    if not 0 <= band[0] < band[1] <= 0.5:
        raise SettingsError(f"got a band of {band}, expected two rising numbers within 0 and 0.5")
    ratios: list[float | None] = []
    for axis in range(truth.ndim):
        ours, theirs = (_band_power(array, axis, band) for array in (volume, truth))
        ratios.append(ours / theirs if theirs > 0 else None)
    return tuple(ratios)


def power_spectrum(
    volume: NDArray[Any], axis: int, spacing: float = 1.0
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Compute the power spectral density along an axis, averaged over all lines along it.

    From periodograms with a Hann window, mean subtracted. One-sided densities, so that lines of
    different spacing can be compared.

    Parameters
    ----------
    volume
        Array of any real type, at least 2 voxels along `axis`.
    axis
        Of the lines.
    spacing
        Between voxels along it.

    Returns
    -------
    tuple
        Frequencies above 0, in cycles per unit of `spacing`, and the density at each, in squared
        intensities times the unit.
    """
    length: int = volume.shape[axis]
    window = _hann(length)
    total = np.zeros(length // 2 + 1)
    # A plane of lines at a time, to save memory.
    for plane in np.atleast_2d(np.moveaxis(volume, axis, -1)):
        lines = plane.astype(np.float64)
        lines = (lines - lines.mean(-1, keepdims=True)) * window
        power = np.abs(np.fft.rfft(lines)) ** 2
        total += power.reshape(-1, len(total)).sum(axis=0)
    density = 2 * spacing * total * length / volume.size / float(np.sum(window**2))
    frequency = np.fft.rfftfreq(length, spacing).astype(np.float64)
    return frequency[1:], density[1:]


def shell_correlation(
    volume: NDArray[Any],
    truth: NDArray[Any],
    *,
    axis: int | None = None,
    angle: float = 30.0,
) -> ShellCorrelation:
    """Compute the Fourier shell correlation (van Heel & Schatz 2005, equation 1).

    Shells are as wide as one frequency step of the shortest axis; a Hann window along every axis
    suppresses the edges. First described by Saxton & Baumeister (1982).

    Parameters
    ----------
    volume, truth
        Arrays (Z, Y, X) of the same shape, of any real type.
    axis
        Use only frequencies within a cone around this axis, for detail along it.
    angle
        Half the opening of that cone, in degrees.

    Raises
    ------
    DataError
        If shapes differ, or an axis has fewer than 8 voxels.
    """
    _check_shapes(volume, truth)
    if min(truth.shape) < MIN_LENGTH:
        raise DataError(
            f"got volumes of shape {truth.shape}, expected at least {MIN_LENGTH} voxels along each "
            "axis; use larger ones"
        )
    # Half of the last axis' frequencies are stored; all but the first and the last count twice.
    *whole, last = truth.shape
    frequencies = np.meshgrid(
        *map(np.fft.fftfreq, whole), np.fft.rfftfreq(last), indexing="ij", sparse=True
    )
    weight = np.where((frequencies[-1] == 0) | (frequencies[-1] == 0.5), 1.0, 2.0)
    radius = np.sqrt(sum(f**2 for f in frequencies))
    inside = radius <= 0.5
    if axis is not None:
        inside &= np.abs(frequencies[axis]) >= radius * np.cos(np.deg2rad(angle))
    step = 1 / min(truth.shape)
    shell = np.rint(radius[inside] / step).astype(int)
    weight = np.broadcast_to(weight, radius.shape)[inside]
    a, b = _transform(volume)[inside], _transform(truth)[inside]
    count = int(0.5 / step + 1e-9) + 1
    # Shell 0 is the mean, which was subtracted.
    cross, *powers = (
        np.bincount(shell, weight * x, count)[1:]
        for x in ((a * b.conj()).real, np.abs(a) ** 2, np.abs(b) ** 2)
    )
    total = np.sqrt(powers[0] * powers[1])
    correlation = np.divide(cross, total, out=np.full_like(cross, np.nan), where=total > 0)
    return ShellCorrelation(np.arange(1, len(cross) + 1) * step, correlation)


def _hann(length: int) -> NDArray[np.float64]:
    return np.hanning(length + 2)[1:-1]


def _transform(volume: NDArray[Any]) -> NDArray[np.complex128]:
    windowed = volume.astype(np.float64) - float(np.mean(volume, dtype=np.float64))
    for window in np.meshgrid(*map(_hann, volume.shape), indexing="ij", sparse=True):
        windowed *= window
    return np.fft.rfftn(windowed)


def _band_power(array: NDArray[Any], axis: int, band: tuple[float, float]) -> float:
    length: int = array.shape[axis]
    if length < MIN_LENGTH:
        return 0.0
    frequency = np.fft.rfftfreq(length)
    chosen = (frequency >= band[0] - 1e-9) & (frequency <= band[1] + 1e-9)
    total = 0.0
    # Lines along `axis` last; a plane of them at a time, to save memory.
    for plane in np.atleast_2d(np.moveaxis(array, axis, -1)):
        lines = plane.astype(np.float64)
        lines = (lines - lines.mean(-1, keepdims=True)) * _hann(length)
        total += float(np.sum(np.abs(np.fft.rfft(lines)[..., chosen]) ** 2))
    return total * length / array.size


def _check_shapes(volume: NDArray[Any], truth: NDArray[Any]) -> None:
    if volume.shape != truth.shape:
        raise DataError(
            f"got volumes of shapes {volume.shape} and {truth.shape}, expected the same; crop them "
            "to what both show"
        )
