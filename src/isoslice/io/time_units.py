"""Names of units of time: many spellings in, OME's spelling out."""

from __future__ import annotations

from collections.abc import Mapping

#: Units of time that OME-Zarr knows.
TIME_UNITS = (
    "attosecond",
    "centisecond",
    "day",
    "decisecond",
    "exasecond",
    "femtosecond",
    "gigasecond",
    "hectosecond",
    "hour",
    "kilosecond",
    "megasecond",
    "microsecond",
    "millisecond",
    "minute",
    "nanosecond",
    "petasecond",
    "picosecond",
    "second",
    "terasecond",
    "yoctosecond",
    "yottasecond",
    "zeptosecond",
    "zettasecond",
)
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
    "d": "day",
}


def time_unit_name(text: object) -> str | None:
    """Return OME's name of a unit of time, or None for frames and what is no such unit."""
    key = text.strip().lower() if isinstance(text, str) else ""
    name = _SPELLINGS.get(key, key)
    if name not in TIME_UNITS and name.endswith("s"):
        name = _SPELLINGS.get(name[:-1], name[:-1])
    return name if name in TIME_UNITS else None
