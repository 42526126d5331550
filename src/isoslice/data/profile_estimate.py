"""The slice profile and the noise of planes, from the planes alone.

A specimen that is alike in all directions has one spectrum along Z, Y and X. What planes show of
it is smoother along Z by their profile (`isotropic_spectrum`). The Gaussian for which that fits
best is what is found; profiles of other shapes look like the Gaussian of their deviation, as long
as they are not much wider than the spacing of planes.

The average of cubes and the weight of directions are varied, since specimens are not alike in all
directions; how far results differ then is a part of the error, together with how far they differ
from part to part of the stack, how flat the optimum is, and how far X and Y differ, which have
the same blur.

Constants were chosen on `fib25_a`, half of `lucchi_train`, `mouse_ct_0`, `mouse_ct_1`, `brain_t1`
and `tooth_ct`; `benchmarks/profile_estimates.py` measures on others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.box import Region
from isoslice.data.isotropic_spectrum import INDEPENDENT, TILTS, Fit, SpectrumModel
from isoslice.data.plane_spectra import PlaneSpectra, cubes_of, spectra_of
from isoslice.data.profile import FWHM

Floats = NDArray[np.float64]
#: Reads a part of a stack, normalised, (C, z, y, x).
Reader = Callable[[Region], NDArray[np.float32]]

#: Deviations that are tried, in spacings of planes, and the finest step at the best of them.
WIDEST, STEP, FINEST = 2.0, 0.1, 0.025
#: Parts of the stack, each left out once.
PARTS = 6
#: Cubes with less than this share of the power of a strong one show nothing.
QUIET = 0.02
#: Error of the squared deviation, in squared spacings of planes, that remains.
REMAINING = 0.012
#: What counts as measured: a relative error. Blur that is not certain or `SMALL` counts as none,
#: where no more than `POINTS` could be missed, both in spacings of planes.
TOLD, SMALL, POINTS = 0.3, 0.18, 0.3


@dataclass(frozen=True)
class ProfileEstimate:
    """What planes tell of their slice profile; lengths in XY pixels.

    Attributes
    ----------
    deviation, error
        Of the profile, in excess of the blur within planes, and its standard error; a Gaussian's
        full width at half maximum is `fwhm`, a slab's width `slab`.
    ratio
        Spacing of planes.
    noise
        Standard deviation of the planes' noise, in their intensities.
    lacking
        What a stack lacks in which nothing can be measured.
    """

    deviation: float
    error: float
    ratio: float
    noise: float
    lacking: str = ""

    @property
    def told(self) -> bool:
        """Whether the stack can tell."""
        return not self.why_not

    @property
    def fwhm(self) -> float:
        """Full width at half maximum of a Gaussian of that deviation."""
        return self.deviation * FWHM

    @property
    def fwhm_error(self) -> float:
        """Standard error of `fwhm`."""
        return self.error * FWHM

    @property
    def slab(self) -> float:
        """Width of a slab of that deviation."""
        return self.deviation * math.sqrt(12)

    @property
    def sees_blur(self) -> bool:
        """Whether there is blur for certain, and enough of it to matter."""
        return self.told and not self._is_point

    @property
    def _is_point(self) -> bool:
        least = max(2 * self.error, SMALL * self.ratio)
        return self.deviation < least and self.deviation + self.error < POINTS * self.ratio

    @property
    def why_not(self) -> str:
        """What keeps the stack from telling; empty if it can tell."""
        if self.lacking:
            return self.lacking
        if self.deviation > (WIDEST - STEP) * self.ratio:
            return "planes show nothing but noise, or are blurred over many spacings"
        if self._is_point or self.error < TOLD * self.deviation:
            return ""
        return "directions differ too much, or planes show too little"


@dataclass(frozen=True)
class _Variant:
    """A way to average cubes, and what tilts directions."""

    geometric: bool
    tilt: str


VARIANTS = [_Variant(geometric, tilt) for tilt in TILTS for geometric in (False, True)]


def estimate_profile(planes: NDArray[np.float32], ratio: float) -> ProfileEstimate:
    """Estimate the profile of planes (C, n, Y, X), normalised; see `estimate_from`."""

    def read(region: Region) -> NDArray[np.float32]:
        return planes[(slice(None), *region)]

    _, n, y, x = planes.shape
    return estimate_from(read, (n, y, x), ratio)


def estimate_from(read: Reader, shape: tuple[int, int, int], ratio: float) -> ProfileEstimate:
    """Estimate the profile of a stack's planes.

    Parameters
    ----------
    read
        Reads a part of the stack, all channels, of intensities that are about 0 to 1.
    shape
        Of the stack, (n, Y, X).
    ratio
        Spacing of planes in pixels; any number above 1.
    """
    cubes = [cube for region in cubes_of(shape, ratio) for cube in read(region)]
    spectra = spectra_of(cubes)
    if spectra is None:
        why = "nothing varies" if cubes else "planes are too few or too small"
        return ProfileEstimate(0.0, math.inf, ratio, 0.0, why)
    model = SpectrumModel(spectra, ratio)
    found = [_best(model, spectra.power, each) for each in VARIANTS]
    deviations = np.array([each.deviation for each in found])
    deviation = float(deviations.mean())
    noise = float(np.median([each.noise for each in found]))
    variance = _variance_error(model, found)
    above = math.sqrt(deviation**2 + variance) - deviation
    below = deviation - math.sqrt(max(deviation**2 - variance, 0.0))
    error = (above + below) / 2
    return ProfileEstimate(deviation, error, ratio, noise)


def noise_seen(
    cubes: Sequence[NDArray[np.float32]], ratio: float, deviation: float
) -> float | None:
    """Estimate the noise of planes whose profile is known.

    Grain of the specimen's own is blurred along Z, noise is not. So it is told apart where planes
    see each other's grain: those of a deviation above about a third of their spacing.

    Parameters
    ----------
    cubes
        Of one channel, (n, side, side); see `cubes_of`.
    ratio, deviation
        Spacing of planes, and deviation of their profile, in pixels.

    Returns
    -------
    Standard deviation in the cubes' intensities; None if nothing varies, or there are no cubes.
    """
    spectra = spectra_of(cubes)
    if spectra is None:
        return None
    model = SpectrumModel(spectra, ratio)
    fits = [fit_variant(model, spectra.power, each, deviation) for each in VARIANTS]
    return float(np.median([fit.noise for fit in fits]))


@dataclass(frozen=True)
class _Found:
    """The best deviation, by one variant."""

    deviation: float
    noise: float
    width: float


def fit_variant(
    model: SpectrumModel,
    power: Floats,
    variant: _Variant,
    deviation: float,
    start: Floats | None = None,
) -> Fit:
    """Fit the mean power of cubes, averaged and tilted as a variant says, at a deviation."""
    average = _geometric(power, model.spectra) if variant.geometric else power.mean(0)
    return model.fit(average, len(power), deviation, variant.tilt, start)


def _best(model: SpectrumModel, power: Floats, variant: _Variant) -> _Found:
    """Find the deviation that fits best, and how far another one fits about as well."""
    tried: dict[float, Fit] = {}

    def cost(share: float) -> float:
        if share not in tried:
            near = min(tried, key=lambda other: abs(other - share), default=None)
            start = None if near is None else tried[near].parameters
            tried[share] = fit_variant(model, power, variant, share * model.ratio, start)
        return tried[share].cost

    steps = round(WIDEST / STEP)
    best = min((round(i * STEP, 6) for i in range(steps + 1)), key=cost)
    step = STEP
    while step > FINEST:
        step /= 2
        best = min((round(abs(best + d), 6) for d in (0.0, -step, step)), key=cost)
    low, middle, high = cost(round(abs(best - step), 6)), cost(best), cost(round(best + step, 6))
    curvature = low - 2 * middle + high
    shift = 0.0 if curvature <= 0 else float(np.clip((low - high) / (2 * curvature), -0.5, 0.5))
    enough = middle + max(1.0, middle / model.spectra.counts.size)
    alike = [share**2 for share, fit in tried.items() if fit.cost <= enough]
    width = (max(alike) - min(alike)) / 2 * model.ratio**2
    return _Found((best + shift * step) * model.ratio, tried[best].noise, width)


def _geometric(power: Floats, spectra: PlaneSpectra) -> Floats:
    """Average the logarithm over cubes that show something: edges do not outweigh all else."""
    from scipy.special import digamma

    total = power.sum((1, 2))
    showing = power[total > QUIET * np.quantile(total, 0.95)]
    free = np.maximum(spectra.counts * 2 * INDEPENDENT, 0.75)
    logs = np.log(np.maximum(showing, 1e-12)).mean(0)
    return np.asarray(np.exp(logs - (digamma(free) - np.log(free))), np.float64)


def _variance_error(model: SpectrumModel, found: Sequence[_Found]) -> float:
    """Estimate the error of the squared deviation, in squared pixels."""
    power, unit = model.spectra.power, model.ratio**2
    spread = np.var([each.deviation**2 for each in found])
    flat = np.median([each.width for each in found])
    parts = np.array_split(np.arange(len(power)), min(PARTS, len(power)))
    without = []
    if len(parts) > 1:
        for part in parts:
            rest = np.delete(power, part, axis=0)
            each = [_best(model, rest, variant).deviation ** 2 for variant in VARIANTS[:2]]
            without.append(np.mean(each))
    jackknife = (len(without) - 1) * np.var(without) if without else 0.0
    # Z is compared with X and Y together: its share of the difference of two.
    within = math.sqrt(0.75) * anisotropy(model.spectra, model.ratio, found[0].noise)
    return float(math.sqrt(spread + jackknife + flat**2 + within**2 + (REMAINING * unit) ** 2))


def anisotropy(spectra: PlaneSpectra, ratio: float, noise: float) -> float:
    """Return by which squared deviation X is smoother than Y, which it should not be, in pixels^2.

    Over the frequencies by which planes tell of Z: up to a cycle per spacing.
    """
    rows = spectra.rows.mean(0)
    use = (spectra.rings <= max(1 / ratio, 3 * spectra.rings[0])) & (rows > 0).all(axis=0)
    if use.sum() < 3:
        return 0.0
    signal = np.maximum(rows[:, use] - noise**2, 0.05 * rows[:, use])
    shares = (signal / rows[:, use]).min(axis=0)
    slope = -((2 * np.pi * spectra.rings[use]) ** 2)
    columns = np.stack([slope, np.ones_like(slope)], axis=1) * shares[:, None]
    ratio_of_rows = np.log(signal[0] / signal[1]) * shares
    return float(np.linalg.lstsq(columns, ratio_of_rows, rcond=None)[0][0])
