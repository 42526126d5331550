"""Results as text: JSON for programs, aligned lines for people."""

from __future__ import annotations

import json
import math
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_WINDOWS = os.name == "nt"
#: What every shell takes as it stands, with or without quotes.
_PLAIN_WORD = re.compile(r"[\w@%+=:,./-]+")


def as_typed(path: str | Path) -> str:
    """Quote a path, if it needs that, so that a command that a message shows can be copied."""
    text = str(path)
    if _PLAIN_WORD.fullmatch(text.replace("\\", "/") if _WINDOWS else text):
        return text
    if not _WINDOWS and set(text) & set('"$`\\!'):
        return shlex.quote(text)
    return f'"{text}"'  # what all shells know; those of Windows know no single quotes


def as_json(value: Any) -> str:
    """Format as strict JSON; NumPy values become plain ones, infinity the string ``"inf"``."""
    return json.dumps(_plain(value), indent=2, allow_nan=False)


def as_lines(values: Mapping[str, Any]) -> str:
    """Format nested values as aligned ``name  value`` lines, names joined by dots."""
    pairs = list(flat_pairs(values))
    width = max((len(name) for name, _ in pairs), default=0)
    return "\n".join(f"{name.replace('_', ' '):<{width}}  {value}" for name, value in pairs)


def flat_pairs(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values as pairs of a name, joined by dots, and a short text."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from flat_pairs(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", _short(value)


def _short(value: Any) -> str:
    if value is None or value == [] or value == {}:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list | tuple):
        return ", ".join(_short(item) for item in value)
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {_short(item)}" for name, item in value.items())
    return " ".join(str(value).split())


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return str(value)


def spoken_bytes(count: float) -> str:
    """Say a size in a unit that keeps it short: ``694 B``, ``10.8 MB``, ``4.1 GB``, ``49.1 TB``."""
    size, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if size < 999.5:  # else three digits would be 1e+03
            break
        size, unit = size / 1000, larger
    return f"{size:.3g} {unit}"


def decibels_better(gain: float) -> str:
    """Say a difference of PSNR: ``0.9 dB better``, ``0.04 dB worse``."""
    digits = 1 if abs(gain) >= 0.1 else 2
    return f"{abs(gain):.{digits}f} dB {'better' if gain >= 0 else 'worse'}"


def counted(count: int, noun: str) -> str:
    """Count things by a regular noun: ``1 plane``, ``1,200 planes``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
