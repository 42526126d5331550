"""Positions of planes along Z in OME's model, where they can be believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoslice.data.units import convert, unit_name
from isoslice.data.z_positions import EVEN, rounding_of, spacing_of
from isoslice.errors import warn
from isoslice.io.formats.text_numbers import number


class PlanePosition(NamedTuple):
    """Where a plane lies along Z; `place` and `unit` as they are stated, untrusted."""

    time: int
    channel: int
    z: int
    place: object
    unit: object


def plane_positions(
    planes: Iterable[PlanePosition],
    sizes: Mapping[str, int],
    spacing: Mapping[str, float],
    unit: str | None,
) -> tuple[float | None, tuple[float, ...] | None]:
    """Return the spacing of planes by their positions, and these where they are uneven.

    A stage that goes down counts as one that goes up. Positions say nothing if they have no unit,
    are missing for a plane, differ among channels and time points but for an offset, or are all
    the same; with a warning, if they go both ways or contradict the stated spacing.

    Parameters
    ----------
    planes
        Those that have positions.
    sizes
        Lengths of the image along T, C and Z.
    spacing, unit
        As stated elsewhere; positions are returned in that unit.
    """
    stacks = _stacks(planes, sizes, unit)
    if not len(stacks):
        return None, None
    first = stacks[0]
    steps = np.diff(first)
    if not steps.any():
        return None, None
    if (steps < 0).all():
        stacks, steps = -stacks, -steps
        first = stacks[0]
    stated = spacing.get("Z")
    if (steps <= 0).any():
        if np.ptp(first) > EVEN * (stated or 0.0) * len(first):  # else a stage that stayed
            _doubt(f"that go back, or stay, at plane {int(np.argmax(steps <= 0)) + 1} (from 0)")
        return None, None
    typical, rounding = float(np.median(steps)), rounding_of(stacks.ravel().tolist())
    alike = max(EVEN * typical, 1.01 * rounding)
    if (np.abs(stacks - first - (stacks[:, :1] - first[0])) > alike).any():
        return None, None
    if stated is not None and not steps.min() * 0.99 <= stated <= steps.max() * 1.01:
        _doubt(f"{typical:.4g} apart, where PhysicalSizeZ is {stated:.4g}")
        return None, None
    return spacing_of(first.tolist(), rounding)


def _doubt(problem: str) -> None:
    warn(
        f"got positions of planes {problem}, in its metadata; taken as evenly spaced, unless "
        "--positions says where they are"
    )


def _stacks(
    planes: Iterable[PlanePosition], sizes: Mapping[str, int], unit: str | None
) -> NDArray[np.float64]:
    """Return the positions (stacks, planes) of each channel and time point that has any.

    Empty if one lacks some, or has them in no unit of length.
    """
    none = np.empty((0, sizes["Z"]))
    places = np.full([sizes[axis] for axis in "TCZ"], np.nan)
    for plane in planes:
        place, own = number(plane.place), unit_name(plane.unit)
        index = plane[:3]
        inside = all(0 <= i < n for i, n in zip(index, places.shape, strict=True))
        if place is None or own is None or not inside:
            return none
        places[index] = convert(place, own, unit or own)
    stacks = places.reshape(-1, sizes["Z"])
    stacks = stacks[np.isfinite(stacks).any(axis=1)]
    return stacks if sizes["Z"] > 1 and np.isfinite(stacks).all() else none
