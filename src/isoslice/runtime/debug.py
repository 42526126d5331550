"""Whether the user debugs: `ISOSLICE_DEBUG`."""

from __future__ import annotations

import os


def debugging() -> bool:
    """Tell whether the user wants tracebacks, and other libraries' warnings."""
    return os.environ.get("ISOSLICE_DEBUG", "") not in ("", "0")
