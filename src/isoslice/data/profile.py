"""Slice profiles: how a plane weights what lies along Z around it.

A profile h sums to 1. It describes the blur of Z in excess of that of XY, which is what has to be
undone for an isotropic volume. Lengths are in planes of the output grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoslice.errors import SettingsError

#: Full width at half maximum of a Gaussian of deviation 1.
FWHM = 2 * math.sqrt(2 * math.log(2))
#: Deviations beyond which a Gaussian counts as zero.
GAUSSIAN_REACH = 4.0

#: Fewest and most samples of a profile that was measured. They are kept in each output's record.
SAMPLES = (2, 2000)

Kind = Literal["point", "slab", "gaussian", "sampled"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """A slice profile.

    Attributes
    ----------
    kind
        ``point``, ``slab`` (a box), ``gaussian`` or ``sampled``.
    width
        Of a slab its thickness, of a Gaussian its full width at half maximum, of samples that of a
        Gaussian of their deviation; of a point 0.
    edges, weights
        Of samples alone, see `sampled_profile`: ends of the stretches along Z in which the profile
        is constant, rising, and how much it is in each of them.

    Raises
    ------
    SettingsError
        If the width does not fit the kind.
    """

    kind: Kind = "point"
    width: float = 0.0
    edges: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        """Check width and samples."""
        if (self.kind == "sampled") != bool(self.edges) or not self._is_density:
            raise SettingsError(
                f"got a slice profile of kind {self.kind} with {len(self.weights)} weights between "
                f"{len(self.edges)} edges, expected one weight between each two edges, which rise, "
                "of kind sampled alone"
            )
        if self.kind == "point":
            if self.width:
                raise SettingsError(f"got a point of width {self.width:g}, expected none")
        elif not (math.isfinite(self.width) and self.width > 0):
            raise SettingsError(
                f"got a {self.kind} of width {self.width:g}, expected a positive length; for "
                "planes without blur say point"
            )

    @property
    def _is_density(self) -> bool:
        if not self.edges:
            return not self.weights
        numbers = np.array([*self.edges, *self.weights])
        rising = bool(np.all(np.diff(self.edges) > 0)) and min(self.weights, default=0) >= 0
        finite = bool(np.all(np.isfinite(numbers)))
        return len(self.edges) == len(self.weights) + 1 > 1 and rising and finite

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        scale = {"point": 0.0, "slab": 1 / math.sqrt(12), "gaussian": 1 / FWHM, "sampled": 1 / FWHM}
        return self.width * scale[self.kind]

    @property
    def reach(self) -> float:
        """Distance beyond which it is zero."""
        if self.kind == "slab":
            return self.width / 2
        if self.kind == "sampled":
            return max(-self.edges[0], self.edges[-1])
        return GAUSSIAN_REACH * self.deviation

    def scaled(self, share: float) -> Profile:
        """Return the profile in units that are 1 / `share` times as long."""
        edges = tuple(edge * share for edge in self.edges)
        weights = tuple(weight / share for weight in self.weights)
        return Profile(self.kind, self.width * share, edges, weights)

    def ramp(self, distance: Floats) -> Floats:
        """Blur the ramp max(t, 0): the second antiderivative of the profile.

        Its second differences are the weights of a plane on a volume that is linear between its
        voxels; see `measurement.Measurement`.
        """
        if self.kind == "gaussian":
            from scipy.special import ndtr

            t = distance / self.deviation
            density = np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
            blurred: Floats = self.deviation * (t * ndtr(t) + density)
            return blurred
        if self.kind == "slab":
            inside = (distance + self.width / 2) ** 2 / (2 * self.width)
            half = self.width / 2
            return np.where(np.abs(distance) < half, inside, np.maximum(distance, 0.0))
        if self.kind == "sampled":
            return self._ramp_of_samples(distance)
        return np.maximum(distance, 0.0)

    def _ramp_of_samples(self, distance: Floats) -> Floats:
        """Integrate samples twice, exactly: a parabola in each stretch, straight beyond them."""
        edges, weights = np.asarray(self.edges), np.asarray(self.weights)
        steps = np.diff(edges)
        share = np.concatenate([[0.0], np.cumsum(weights * steps)])
        before = np.cumsum(share[:-1] * steps + weights * steps**2 / 2)
        ramps = np.concatenate([[0.0], before])
        at = np.clip(np.searchsorted(edges, distance, side="right") - 1, 0, len(weights) - 1)
        t = distance - edges[at]
        inside = ramps[at] + share[at] * t + weights[at] * t * t / 2
        outside = (distance <= edges[0]) | (distance >= edges[-1])
        return np.where(outside, np.maximum(distance, 0.0), inside)


POINT = Profile()
#: What a slice profile may be given as, for messages.
EXPECTED = (
    "expected point, slab, slab:WIDTH, gaussian:FWHM, auto or the path of a file, with lengths in "
    "the unit of the voxel size"
)


def sampled_profile(z: ArrayLike, weights: ArrayLike, source: str) -> Profile:
    """Make a profile of samples: how much a plane sees of what lies at each z from it.

    Each stands for the stretch of Z to half way to its neighbours, in which the profile is
    constant; the first and last stretches go as far out. The profile is shifted so that its
    centroid is at 0, where the plane lies: planes stay where they are.

    Parameters
    ----------
    z, weights
        Of each sample, in any order; weights need not sum to 1.
    source
        Names them in messages.

    Raises
    ------
    SettingsError
        If they are no profile.
    """
    places, values = np.asarray(z, np.float64), np.asarray(weights, np.float64)
    least, most = SAMPLES
    if not least <= len(values) <= most or len(places) != len(values):
        raise SettingsError(
            f"{source}: got {len(values):,} samples of a slice profile, expected {least} to "
            f"{most:,}, each with its place; leave out those beyond its ends, or average neighbours"
        )
    if not (np.all(np.isfinite(places)) and np.all(np.isfinite(values))):
        raise SettingsError(
            f"{source}: got samples of a slice profile that are no finite numbers, expected one "
            "for each place along Z; leave the others out"
        )
    if values.min() < 0 or not 0 < values.sum() < math.inf:
        raise SettingsError(
            f"{source}: got a slice profile with weights from {values.min():g} to "
            f"{values.max():g}, expected none below 0 and some above; subtract the background, and "
            "set to 0 what is below it"
        )
    order = np.argsort(places, kind="stable")
    places, values = places[order], values[order]
    if np.any(np.diff(places) <= 0):
        raise SettingsError(
            f"{source}: got two samples of a slice profile at one place along Z, expected "
            "different ones; average those, or give their distance with --slice-profile FILE:STEP"
        )
    return _from_stretches(places, values)


def _from_stretches(z: Floats, weights: Floats) -> Profile:
    middle = (z[1:] + z[:-1]) / 2
    ends = [2 * z[0] - middle[0], 2 * z[-1] - middle[-1]]
    edges = np.concatenate([ends[:1], middle, ends[1:]])
    seen = np.flatnonzero(weights)
    edges, weights = edges[seen[0] : seen[-1] + 2], weights[seen[0] : seen[-1] + 1]
    steps, centres = np.diff(edges), (edges[1:] + edges[:-1]) / 2
    shares = weights * steps / np.sum(weights * steps)
    edges = edges - np.sum(shares * centres)
    centres = (edges[1:] + edges[:-1]) / 2
    deviation = math.sqrt(np.sum(shares * (centres**2 + steps**2 / 12)))
    return Profile(
        "sampled", deviation * FWHM, tuple(edges.tolist()), tuple((shares / steps).tolist())
    )


def parse_profile(text: str) -> tuple[Kind | Literal["auto", "file"], float | None]:
    """Read ``point``, ``slab``, ``slab:WIDTH``, ``gaussian:FWHM`` or ``auto``: kind, and width.

    Anything else is the path of a ``file``: see `io.profile_file`.

    Raises
    ------
    SettingsError
        If it is neither.
    """
    kind, colon, number = text.strip().lower().partition(":")
    fits = {"point": not colon, "slab": True, "gaussian": bool(colon), "auto": not colon}
    if text.strip() and kind not in fits:
        return "file", None
    try:
        width = float(number) if colon else None
    except ValueError:
        width = math.nan
    if not fits.get(kind, False) or (width is not None and not 0 < width < math.inf):
        raise SettingsError(f"got slice profile {text!r}, {EXPECTED}; for example say slab:5")
    return cast('Kind | Literal["auto"]', kind), width
