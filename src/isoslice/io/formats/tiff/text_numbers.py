"""Numbers as TIFF's metadata hold them: text that may be anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def number(value: object) -> float | None:
    """Return a finite number, or None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        found = float(str(value))
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def positive(value: object) -> float | None:
    """Return a finite number above 0, or None."""
    found = number(value)
    return found if found is not None and found > 0 else None


def known(places: Mapping[str, float | None], axes: Iterable[str] = "ZYX") -> dict[str, float]:
    """Leave out what is None."""
    return {axis: place for axis in axes if (place := places.get(axis)) is not None}
