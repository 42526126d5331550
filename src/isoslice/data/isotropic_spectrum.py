"""What planes of a specimen that is alike in all directions show, seen through a slice profile.

The specimen has a power spectrum S(r) that depends on r, the distance from frequency 0, alone,
but for a weight of directions. A plane is blurred along Z, so that S is multiplied by H(u)^2, the
squared transform of the profile; planes lie k pixels apart, which folds all u that differ by 1 /
k; noise is white and added at the end. So cubes of planes have the power

    P(f, q) = integral of W(f - u) S(sqrt(q^2 + u^2)) D(u / r) H(u)^2 du + noise^2

at f along Z and q within planes, W that of the window, which repeats every 1 / k. With H known it
is linear in S, given as weights of overlapping rings; they, D and the noise are fitted to the
logarithm of the measured power. Grain of the specimen's own, however white, is blurred along Z
like all else, and differs from noise by that.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isoslice.data.plane_spectra import CORNERS, PlaneSpectra, hann

Floats = NDArray[np.float64]

#: Rings of S; how far the logarithm of their weights may bend from ring to ring.
RINGS, BEND = 14, 0.3
#: Error of the model itself, in the logarithm of power: no specimen is quite alike in all
#: directions.
MISFIT = 0.15
#: Steps of a fit at most, the damping that it begins with, and the largest change of a logarithm.
STEPS, DAMPING, LARGEST = 25, 1e-3, 2.0
#: Independent frequencies per Hann-windowed one, overlapping cubes: an eighth.
INDEPENDENT = 1 / 8
#: Samples of u between neighbouring frequencies along Z.
FINE = 4
#: Weights of directions, as exponents: none; walls that stand upright; a preference that grows
#: steadily towards Z. With the deviation that is expected of each.
TILTS = {"even": None, "upright": 0.5, "steady": 0.15}
#: Width of the peak of upright walls, in sines of the angle from the plane.
UPRIGHT = 0.1


@dataclass(frozen=True)
class Fit:
    """A fitted spectrum.

    Attributes
    ----------
    cost
        Squared error in deviations, penalties included.
    parameters
        Logarithms of the weights of rings, what tilts directions, logarithm of the noise's
        variance.
    """

    cost: float
    parameters: Floats

    @property
    def noise(self) -> float:
        """Standard deviation of the noise."""
        return float(np.exp(self.parameters[-1] / 2))


@dataclass(frozen=True)
class SpectrumModel:
    """The power that cubes of planes should show.

    Attributes
    ----------
    spectra
        Whose frequencies are asked for.
    ratio
        Spacing of planes in pixels.
    """

    spectra: PlaneSpectra
    ratio: float

    @cached_property
    def frequencies(self) -> Floats:
        """Frequencies u along Z, in cycles per pixel, up to a half."""
        step = 1 / (self.spectra.planes * self.ratio * FINE)
        return np.asarray(np.arange(step / 2, 0.5, step), np.float64)

    @cached_property
    def window(self) -> Floats:
        """Power of the window at f from u and -u, (f, u); sums to 1 over u."""
        planes, u = self.spectra.planes, self.frequencies
        f = np.arange(planes // 2 + 1) / planes
        both = np.concatenate([u, -u]) * self.ratio
        waves = np.exp(-2j * np.pi * (f[:, None] - both)[..., None] * np.arange(planes))
        power = np.abs(waves @ hann(planes)) ** 2
        power /= power.sum(axis=1, keepdims=True)
        return np.asarray(power[:, : len(u)] + power[:, len(u) :], np.float64)

    @cached_property
    def rings(self) -> Floats:
        """Overlapping rings of S as the window within planes smears them, (u, q, ring)."""
        side = self.spectra.side
        near, weights = _smeared(self.spectra)
        r = np.hypot(self.frequencies[:, None], near)
        low = np.log(self.spectra.rings[0])
        place = (np.log(r) - low) / (np.log(0.9) - low) * (RINGS - 1)
        hats = np.maximum(0, 1 - np.abs(np.clip(place, 0, RINGS - 1)[..., None] - np.arange(RINGS)))
        # Falling off as spectra do, and flat below what the mean of a cube takes with it.
        falling = hats * ((r * r + (0.7 / side) ** 2) ** -1.75)[..., None]
        return np.asarray(np.einsum("qn,unr->uqr", weights, falling, optimize=True), np.float64)

    def tilt(self, name: str) -> Floats | None:
        """Exponent of the weight of directions, (u, q)."""
        sine = self.frequencies[:, None] / np.hypot(self.frequencies[:, None], self.spectra.rings)
        if name == "upright":
            return np.asarray(np.exp(-0.5 * (sine / UPRIGHT) ** 2), np.float64)
        return sine**2 if name == "steady" else None

    def seen(self, deviation: float) -> Floats:
        """Window times the squared transform of a Gaussian of a deviation in pixels, (f, u)."""
        return self.window * self._passed(deviation)

    def lost(self, fit: Fit, tilt: str, deviation: float) -> Floats:
        """Return the amplitude of a section over that of a plane, in each ring of frequencies.

        A section is what a plane would be without profile and noise; arguments as of `fit`.
        """
        spectrum = self.rings @ np.exp(fit.parameters[:RINGS])
        exponent = self.tilt(tilt)
        if exponent is not None:
            spectrum = spectrum * np.exp(fit.parameters[RINGS] * exponent)
        seen = spectrum * self._passed(deviation)[:, None]
        amplitude: Floats = np.sqrt(spectrum.mean(0) / (seen.mean(0) + fit.noise**2))
        return amplitude

    def _passed(self, deviation: float) -> Floats:
        """Return the squared transform of a Gaussian at all frequencies u."""
        return np.asarray(np.exp(-((2 * np.pi * deviation * self.frequencies) ** 2)), np.float64)

    def fit(
        self, power: Floats, cubes: int, deviation: float, tilt: str, start: Floats | None = None
    ) -> Fit:
        """Fit power (f, q), a mean of some cubes, as seen through a Gaussian.

        Parameters
        ----------
        deviation
            Of the Gaussian, in pixels.
        tilt
            One of `TILTS`.
        start
            Parameters of a similar fit.
        """
        problem = _Problem(self, power, cubes, deviation, tilt)
        parameters = problem.start() if start is None else start
        error, slopes = problem(parameters)
        cost, damping = float(error @ error), DAMPING
        for _ in range(STEPS):
            normal, downhill = slopes.T @ slopes, slopes.T @ error
            while damping < 1e6:
                step = np.linalg.solve(normal + damping * np.eye(len(normal)), downhill)
                tried = problem.limited(parameters + np.clip(step, -LARGEST, LARGEST))
                error_there, slopes_there = problem(tried)
                cost_there = float(error_there @ error_there)
                if cost_there <= cost:
                    break
                damping *= 5
            else:
                break
            gain, cost, damping = cost - cost_there, cost_there, max(damping / 5, 1e-6)
            parameters, error, slopes = tried, error_there, slopes_there
            if gain < 1e-4 * max(1.0, cost):
                break
        return Fit(cost, parameters)


def _smeared(spectra: PlaneSpectra) -> tuple[Floats, Floats]:
    """Return frequencies within planes, and how much of each a ring sees, (ring, frequency)."""
    side, offsets = spectra.side, np.arange(-1.5, 1.6, 0.5)
    waves = np.exp(2j * np.pi * offsets[:, None] / side * np.arange(side))
    kernel = np.abs(waves @ hann(side)) ** 2
    step = 1 / (4 * side)
    near = np.arange(0, CORNERS[-1] + 3 / side, step) + step / 2
    axis = np.arange(side // 2 + 1) / side
    y, x = (each.ravel() for each in np.meshgrid(axis, axis, indexing="ij"))
    ring = np.digitize(np.hypot(y, x), spectra.edges) - 1
    inside = (ring >= 0) & (ring < len(spectra.rings))
    weights = np.zeros((len(spectra.rings), len(near)))
    for a, along_y in zip(offsets, kernel, strict=True):
        for b, along_x in zip(offsets, kernel, strict=True):
            place = np.hypot(y[inside] + a / side, x[inside] + b / side)
            at = np.minimum((place / step).astype(int), len(near) - 1)
            np.add.at(weights, (ring[inside], at), along_y * along_x)
    return near, weights / weights.sum(axis=1, keepdims=True)


class _Problem:
    """Errors of the logarithm of power, and their slopes."""

    def __init__(
        self, model: SpectrumModel, power: Floats, cubes: int, deviation: float, tilt: str
    ) -> None:
        self.log = np.log(power)
        own = 1 / np.maximum(model.spectra.counts * cubes * INDEPENDENT, 1)
        self.weight = 1 / np.sqrt(own + MISFIT**2)
        self.seen, self.rings, self.tilt = model.seen(deviation), model.rings, model.tilt(tilt)
        self.looseness = TILTS[tilt]
        self.blurred = self._see(self.rings)
        self.bend = np.diff(np.eye(RINGS), n=2, axis=0) / BEND
        self.floor = float(np.log(power.min()))

    def _see(self, spectrum: Floats) -> Floats:
        flat = spectrum.reshape(len(spectrum), -1)
        return np.asarray((self.seen @ flat).reshape(-1, *spectrum.shape[1:]), np.float64)

    def start(self) -> Floats:
        level = np.median(self.log - np.log(self.blurred.sum(-1)))
        tilts = 0 if self.tilt is None else 1
        return np.array([level] * RINGS + [0.0] * tilts + [self.floor - np.log(2)])

    def limited(self, parameters: Floats) -> Floats:
        """Keep noise above a nothing at which its slope is lost."""
        parameters[-1] = max(parameters[-1], self.floor - 8)
        return parameters

    def __call__(self, parameters: Floats) -> tuple[Floats, Floats]:
        """Return errors and slopes of what is predicted."""
        weights, noise = np.exp(parameters[:RINGS]), np.exp(parameters[-1])
        parts, slopes = self.blurred, []
        if self.tilt is not None:
            tilted = np.exp(parameters[RINGS] * self.tilt)[..., None] * self.rings
            parts = self._see(tilted)
            slopes = [self._see(tilted @ weights * self.tilt)[..., None]]
        total = parts @ weights + noise
        slopes = [parts * weights, *slopes, np.broadcast_to(noise, (*total.shape, 1))]
        each = np.concatenate(slopes, axis=-1) / total[..., None] * self.weight[..., None]
        error = ((self.log - np.log(total)) * self.weight).ravel()
        bent = np.zeros((RINGS - 2, len(parameters)))
        bent[:, :RINGS] = self.bend
        rows = [each.reshape(-1, len(parameters)), bent]
        errors = [error, -self.bend @ parameters[:RINGS]]
        if self.looseness is not None:
            loose = np.zeros((1, len(parameters)))
            loose[0, RINGS] = 1 / self.looseness
            rows, errors = [*rows, loose], [*errors, -loose @ parameters]
        return np.concatenate(errors), np.concatenate(rows)
