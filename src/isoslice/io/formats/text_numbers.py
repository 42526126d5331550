"""Numbers in the untrusted metadata of files."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping


def number(value: object) -> float | None:
    """Parse a finite number, or return None."""
    if isinstance(value, bool) or value is None:
        return None
    try:
        parsed = float(str(value))
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None


def positive(value: object) -> float | None:
    """Parse a finite number above 0, or return None."""
    parsed = number(value)
    return parsed if parsed is not None and parsed > 0 else None


def known(values: Mapping[str, float | None], axes: Iterable[str] = "ZYX") -> dict[str, float]:
    """Return the entries of `axes` that are not None."""
    return {axis: value for axis in axes if (value := values.get(axis)) is not None}
