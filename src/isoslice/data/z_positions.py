"""Positions of planes along Z, where these are not evenly spaced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from isoslice.data.volume import Volume
from isoslice.errors import DataError

#: Deviation from an even grid, as a share of its spacing, below which planes are even.
EVEN = 0.01
#: The same of even planes whose positions were rounded.
MOST_ROUNDED = 0.1


def spacing_of(
    places: Sequence[float], rounding: float = 0.0
) -> tuple[float, tuple[float, ...] | None]:
    """Return the spacing of planes, and their positions from the first where these are uneven.

    Parameters
    ----------
    places
        Of at least two planes, strictly rising.
    rounding
        What they may have been rounded to: planes that are even but for that are even.

    Returns
    -------
    tuple
        The mean distance and None where all planes are less than 1% of it off an even grid, else
        the median distance and the positions.
    """
    z = np.asarray(places, np.float64) - places[0]
    number = np.arange(len(z))
    step = float(z[-1]) / (len(z) - 1)
    if np.abs(z - step * number).max() < EVEN * step:
        return step, None
    slope, start = (float(value) for value in np.polyfit(number, z, 1))
    # The fit, too, is off by a part of the rounding.
    if np.abs(z - start - slope * number).max() < min(0.75 * rounding, MOST_ROUNDED * slope):
        return slope, None
    return float(np.median(np.diff(z))), tuple(z.tolist())


def rounding_of(numbers: Sequence[float]) -> float:
    """Return the last decimal place of numbers (0.1 of 2.5 and 3), 0 of more than six."""
    values = np.asarray(numbers, np.float64)
    for digits in range(7):
        scaled = values * 10.0**digits
        if np.abs(scaled - np.round(scaled)).max() < 1e-4:
            return float(10.0**-digits)
    return 0.0


def with_positions(volume: Volume, places: Sequence[float] | None) -> Volume:
    """Return a volume whose planes lie at these places, in the unit of its spacing.

    Parameters
    ----------
    volume
        A stack with an axis Z.
    places
        One for each plane, strictly rising; where the first one lies does not matter. None takes
        planes as evenly spaced.

    Raises
    ------
    DataError
        If there is another number of planes, or places do not rise.
    """
    if places is None:
        return replace(volume, z_positions=None)
    check_rising(places, volume.source)
    if len(places) != volume.size("Z"):
        raise DataError(
            f"{volume.source}: got {len(places)} positions, expected one for each of "
            f"{volume.size('Z')} planes along Z (axes {volume.axes}); list all of them"
        )
    if len(places) < 2:
        return volume
    step, positions = spacing_of(places)
    return replace(volume, spacing={**volume.spacing, "Z": step}, z_positions=positions)


def check_rising(places: Sequence[float], source: str) -> None:
    """Raise `DataError` unless positions are finite and strictly rise."""
    z = np.asarray(places, np.float64)
    if not np.isfinite(z).all():
        raise DataError(f"{source}: got a position that is no finite number; correct it")
    steps = np.diff(z)
    if (steps > 0).all():
        return
    if (steps < 0).all():
        raise DataError(
            f"{source}: got positions that fall, from {z[0]:g} to {z[-1]:g}, expected rising ones "
            "in the order of the planes; as distances are all that counts, give each with the "
            "other sign"
        )
    at = int(np.argmax(steps <= 0))
    if steps[at] == 0:
        raise DataError(
            f"{source}: got planes {at} and {at + 1} (from 0) both at {z[at]:g}, expected one "
            "plane at a place; take one of them out of the stack, or correct its position"
        )
    raise DataError(
        f"{source}: got plane {at + 1} (from 0) at {z[at + 1]:g} after one at {z[at]:g}, expected "
        "rising positions in the order of the planes; correct them, or sort the planes"
    )


def at_planes(
    positions: tuple[float, ...] | None, planes: Sequence[int] | range
) -> tuple[float, ...] | None:
    """Return the positions of some planes, from the first of these."""
    if positions is None or len(planes) == 0:
        return None
    return tuple(positions[plane] - positions[planes[0]] for plane in planes)
