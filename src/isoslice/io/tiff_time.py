"""Units of time: many spellings in, OME's names out."""

from __future__ import annotations

from collections.abc import Mapping

#: Symbol of each unit as OME-XML spells it, by the name that OME-Zarr uses.
TIME_SYMBOLS: Mapping[str, str] = {
    "nanosecond": "ns",
    "microsecond": "µs",
    "millisecond": "ms",
    "second": "s",
    "minute": "min",
    "hour": "h",
    "day": "d",
}
_SECONDS: Mapping[str, float] = {
    "nanosecond": 1e-9,
    "microsecond": 1e-6,
    "millisecond": 1e-3,
    "second": 1.0,
    "minute": 60.0,
    "hour": 3600.0,
    "day": 86400.0,
}
_SPELLINGS: Mapping[str, str] = {
    **{symbol: name for name, symbol in TIME_SYMBOLS.items()},
    "us": "microsecond",
    "\u03bcs": "microsecond",
    "usec": "microsecond",
    "msec": "millisecond",
    "sec": "second",
    "hr": "hour",
    "hrs": "hour",
}


def time_name(text: object) -> str | None:
    """Return the name of a unit of time (``"second"``), or None for what is none."""
    key = str(text).strip().lower() if text else ""
    name = _SPELLINGS.get(key, key)
    if name not in TIME_SYMBOLS and name.endswith("s"):
        name = _SPELLINGS.get(name[:-1], name[:-1])
    return name if name in TIME_SYMBOLS else None


def seconds(time: float | None, unit: str | None) -> float | None:
    """Return a time in seconds, or None where it or its unit is not known."""
    name = time_name(unit)
    return None if time is None or name is None else time * _SECONDS[name]
