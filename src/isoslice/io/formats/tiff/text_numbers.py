"""Numbers as TIFF's metadata hold them: text that may be anything."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def number(value: object) -> float | None:
    """Return a finite number, or None for what is none."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        parsed = float(str(value))
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None


def positive(value: object) -> float | None:
    """Return a finite number above 0, or None."""
    parsed = number(value)
    return parsed if parsed is not None and parsed > 0 else None


def known(places: Mapping[str, float | None], axes: Iterable[str] = "ZYX") -> dict[str, float]:
    """Leave out what is None."""
    return {axis: place for axis in axes if (place := places.get(axis)) is not None}
