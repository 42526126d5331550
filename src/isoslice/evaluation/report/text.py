"""Escape texts from files and users for a page."""

from __future__ import annotations

import json
import re
from html import escape
from typing import Any

#: Characters that HTML or UTF-8 may not hold.
_FORBIDDEN = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")


def safe(value: object) -> str:
    """Escape a text for an element or a quoted attribute; forbidden characters become U+FFFD."""
    return escape(_FORBIDDEN.sub("\ufffd", str(value)))


def profile_text(kind: str, width: str) -> str:
    """Name a slice profile by its kind and its width, with unit."""
    if kind == "sampled":
        return f"measured, as wide as a Gaussian of {width}"
    return f"{kind} of {width}"


def embedded_json(value: Any) -> str:
    """Encode JSON for a script element: no text in it can end the element."""
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
