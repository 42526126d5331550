"""JSON values of untrusted files, checked to be of the expected type."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any


def as_object(value: object, what: str) -> Mapping[str, Any]:
    """Return a JSON object, empty for None; raises ValueError for anything else."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"its {what} is no JSON object")
    return value


def as_list(value: object, what: str) -> list[Any]:
    """Return a JSON array, empty for None; raises ValueError for anything else."""
    if value is None:
        return []
    if not isinstance(value, list | tuple):
        raise ValueError(f"its {what} is no list")
    return list(value)


def as_objects(value: object, what: str) -> list[Mapping[str, Any]]:
    """Return a JSON array of objects."""
    return [as_object(each, what) for each in as_list(value, what)]


def as_number(value: object) -> float | None:
    """Return a finite number, or None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def as_numbers(value: object, count: int) -> list[float] | None:
    """Return a list of `count` finite numbers, or None for anything else."""
    numbers = [as_number(v) for v in value] if isinstance(value, list | tuple) else []
    finite = [n for n in numbers if n is not None]
    return finite if len(finite) == len(numbers) == count else None
