"""The measurement model: each measured plane is a weighted mean of the volume along Z, plus noise.

    y_i = sum_z A_iz x_z + noise,    A_iz = integral of hat(u - z) h(u - p_i) du

with the position p_i of plane i on the output grid (a real number), its slice profile h, and the
hat function, since the volume counts as linear between its voxels. It is the same for every column
of voxels. A plane without blur at an integer position is one row of the identity: a point sample.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from isoslice.data.profile import POINT, Profile
from isoslice.errors import DataError

Floats = NDArray[np.float64]
#: Rows of A that are computed at once.
ROWS = 32


@dataclass(frozen=True)
class Measurement:
    """How planes were measured.

    Attributes
    ----------
    positions
        Of the planes on the output grid, strictly increasing, from 0 to ``depth - 1``.
    depth
        Number of output planes.
    profile
        Of all planes, in output planes.
    noise
        Deviation of the noise of planes, normalised, of each channel; of points, 0 has them taken
        as they are.
    damping
        Of each channel: variance of that noise over that of the errors of what is corrected.
    pixels
        Distance of output planes in XY pixels.

    Raises
    ------
    DataError
        If the positions do not increase within the grid.
    """

    positions: tuple[float, ...]
    depth: int
    profile: Profile = POINT
    noise: tuple[float, ...] = (0.0,)
    damping: tuple[float, ...] = (0.0,)
    pixels: float = 1.0

    def __post_init__(self) -> None:
        """Check the positions."""
        places = np.asarray(self.positions)
        inside = len(places) > 1 and places[0] >= 0 and places[-1] <= self.depth - 1
        if not inside or np.any(np.diff(places) <= 0):
            raise DataError(
                f"got planes at {list(self.positions)[:5]} of {self.depth} output planes, expected "
                "at least two, increasing and on the grid"
            )

    @property
    def is_points(self) -> bool:
        """Whether every plane is one of the output's, and taken as it is."""
        whole = all(float(p).is_integer() for p in self.positions)
        return whole and self.profile.kind == "point" and not any(self.noise)

    def levels(self, sigma_data: float) -> tuple[float, float]:
        """Return what a network is told: deviation of the profile, and of the noise.

        In output planes, and in multiples of `sigma_data`; see `edm.denoise`.
        """
        return self.profile.deviation, sum(self.noise) / len(self.noise) / sigma_data

    @cached_property
    def matrix(self) -> Floats:
        """A, shape (planes, depth); rows sum to 1.

        Beyond its ends the volume goes on as its last planes, whose weights grow by what lies
        there.
        """
        matrix = np.empty((len(self.positions), self.depth))
        for start in range(0, len(matrix), ROWS):  # else a dozen arrays of its size
            part = slice(start, start + ROWS)
            matrix[part] = self._rows(np.asarray(self.positions[part]))
        return matrix

    def _rows(self, places: Floats) -> Floats:
        below = above = int(np.ceil(self.profile.reach)) + 1
        z = np.arange(-below, self.depth + above)
        distance = z[None] - places[:, None]
        ramp = self.profile.ramp
        weights = ramp(distance + 1) - 2 * ramp(distance) + ramp(distance - 1)
        inside = weights[:, below : below + self.depth].copy()
        inside[:, 0] += weights[:, :below].sum(axis=1)
        inside[:, -1] += weights[:, below + self.depth :].sum(axis=1)
        inside /= inside.sum(axis=1, keepdims=True)  # a Gaussian was cut off
        return np.asarray(inside, np.float64)

    def correction(self, damping: float = 0.0) -> Floats:
        """Return K = A' (A A' + damping I)^-1, shape (depth, planes).

        x + K (y - A x) is the volume next to x that agrees with the planes y: exactly without
        damping; with the ratio of the noise's variance to that of x's errors, the best linear
        estimate from both.
        """
        a = self.matrix
        gram = a @ a.T
        gram[np.diag_indices_from(gram)] += damping
        solved: Floats = np.asarray(np.linalg.solve(gram, a).T, np.float64)
        return solved


def measured_share(measurement: Measurement) -> Floats:
    """Return the share of each output plane's variance that planes determine, (C, depth).

    The diagonal of K A, with each channel's damping: 1 of a plane that was measured as it is, 0
    where nothing is known, and between them where planes are blurred, noisy or between output
    planes. It is what planes tell by themselves, if one output plane tells nothing of the next;
    how good a network is plays no part in it.
    """
    if measurement.is_points:
        share = np.zeros((len(measurement.damping), measurement.depth))
        share[:, [int(z) for z in measurement.positions]] = 1
        return share
    shares = (
        np.einsum("zi,iz->z", measurement.correction(damping), measurement.matrix)
        for damping in measurement.damping
    )
    return np.stack(list(shares))
