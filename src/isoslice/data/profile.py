"""Slice profiles: how a plane weights what lies along Z around it.

A profile h sums to 1. It describes the blur of Z in excess of that of XY, which is what has to be
undone for an isotropic volume. Lengths are in planes of the output grid.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from isoslice.errors import SettingsError

#: Full width at half maximum of a Gaussian of deviation 1.
FWHM = 2 * math.sqrt(2 * math.log(2))
#: Deviations beyond which a Gaussian counts as zero.
GAUSSIAN_REACH = 4.0

Kind = Literal["point", "slab", "gaussian"]
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Profile:
    """A slice profile.

    Attributes
    ----------
    kind
        ``point``, ``slab`` (a box) or ``gaussian``.
    width
        Of a slab its thickness, of a Gaussian its full width at half maximum; of a point 0.

    Raises
    ------
    SettingsError
        If the width does not fit the kind.
    """

    kind: Kind = "point"
    width: float = 0.0

    def __post_init__(self) -> None:
        """Check the width."""
        if self.kind == "point":
            if self.width:
                raise SettingsError(f"got a point of width {self.width:g}, expected none")
        elif not (math.isfinite(self.width) and self.width > 0):
            raise SettingsError(
                f"got a {self.kind} of width {self.width:g}, expected a positive length; for "
                "planes without blur say point"
            )

    @property
    def deviation(self) -> float:
        """Standard deviation."""
        scale = {"point": 0.0, "slab": 1 / math.sqrt(12), "gaussian": 1 / FWHM}
        return self.width * scale[self.kind]

    @property
    def reach(self) -> float:
        """Distance beyond which it is zero."""
        if self.kind == "slab":
            return self.width / 2
        return GAUSSIAN_REACH * self.deviation

    def scaled(self, share: float) -> Profile:
        """Return the profile in units that are 1 / `share` times as long."""
        return Profile(self.kind, self.width * share)

    def ramp(self, distance: Floats) -> Floats:
        """Blur the ramp max(t, 0): the second antiderivative of the profile.

        Its second differences are the weights of a plane on a volume that is linear between its
        voxels; see `measurement.Measurement`.
        """
        if self.kind == "gaussian":
            t = distance / self.deviation
            density = np.exp(-0.5 * t * t) / math.sqrt(2 * math.pi)
            blurred: Floats = self.deviation * (t * ndtr(t) + density)
            return blurred
        if self.kind == "slab":
            inside = (distance + self.width / 2) ** 2 / (2 * self.width)
            half = self.width / 2
            return np.where(np.abs(distance) < half, inside, np.maximum(distance, 0.0))
        return np.maximum(distance, 0.0)


POINT = Profile()


def parse_profile(text: str) -> tuple[Kind | Literal["auto"], float | None]:
    """Read ``point``, ``slab``, ``slab:WIDTH``, ``gaussian:FWHM`` or ``auto``: kind, and width.

    Raises
    ------
    SettingsError
        If it is none of these.
    """
    kind, colon, number = text.strip().lower().partition(":")
    try:
        width = float(number) if colon else None
    except ValueError:
        width = math.nan
    fits = {"point": not colon, "slab": True, "gaussian": bool(colon), "auto": not colon}
    if not fits.get(kind, False) or (width is not None and not 0 < width < math.inf):
        raise SettingsError(
            f"got slice profile {text!r}, expected point, slab, slab:WIDTH, gaussian:FWHM or auto, "
            "with lengths in the unit of the voxel size; for example slab:5"
        )
    return cast('Kind | Literal["auto"]', kind), width
