"""Units of time: their spellings, OME's names for them, and seconds."""

from __future__ import annotations

from collections.abc import Mapping

_PREFIXES = {
    "yotta": ("Y", 24), "zetta": ("Z", 21), "exa": ("E", 18), "peta": ("P", 15),
    "tera": ("T", 12), "giga": ("G", 9), "mega": ("M", 6), "kilo": ("k", 3), "hecto": ("h", 2),
    "deci": ("d", -1), "centi": ("c", -2), "milli": ("m", -3), "micro": ("µ", -6),
    "nano": ("n", -9), "pico": ("p", -12), "femto": ("f", -15), "atto": ("a", -18),
    "zepto": ("z", -21), "yocto": ("y", -24),
}  # fmt: skip
_LONG_UNITS = {"minute": ("min", 60.0), "hour": ("h", 3600.0), "day": ("d", 86400.0)}

#: Symbol of each unit as OME-XML spells it, by the name that OME-Zarr uses.
TIME_SYMBOLS: Mapping[str, str] = {
    "second": "s",
    **{f"{prefix}second": f"{symbol}s" for prefix, (symbol, _) in _PREFIXES.items()},
    **{name: symbol for name, (symbol, _) in _LONG_UNITS.items()},
}
#: Seconds in each unit, by the same name.
SECONDS: Mapping[str, float] = {
    "second": 1.0,
    **{f"{prefix}second": float(f"1e{power}") for prefix, (_, power) in _PREFIXES.items()},
    **{name: length for name, (_, length) in _LONG_UNITS.items()},
}
#: In lower case, so without symbols that differ by case alone, such as Ms and ms.
_SPELLINGS: Mapping[str, str] = {
    "s": "second",
    "sec": "second",
    "ms": "millisecond",
    "msec": "millisecond",
    "us": "microsecond",
    "usec": "microsecond",
    "\u00b5s": "microsecond",
    "\u03bcs": "microsecond",
    "ns": "nanosecond",
    "min": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "d": "day",
}


def time_name(text: object) -> str | None:
    """Return OME's name of a unit of time (``"second"``), or None for anything else."""
    key = text.strip().lower() if isinstance(text, str) else ""
    name = _SPELLINGS.get(key, key)
    if name not in TIME_SYMBOLS and name.endswith("s"):
        name = _SPELLINGS.get(name[:-1], name[:-1])
    return name if name in TIME_SYMBOLS else None


def seconds(time: float | None, unit: str | None) -> float | None:
    """Convert a time to seconds; None where it or its unit is unknown."""
    name = time_name(unit)
    return None if time is None or name is None else time * SECONDS[name]
