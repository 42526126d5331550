"""Refuse files above 1 MB and text without one newline at the end: ``check_files.py FILE...``."""

from __future__ import annotations

import sys
from pathlib import Path

LARGEST_BYTES = 1_000_000


def fault(path: Path) -> str | None:
    """Return what is wrong with a file, if anything."""
    if path.stat().st_size > LARGEST_BYTES:
        return f"got {path.stat().st_size:,} bytes, expected {LARGEST_BYTES:,} at most"
    content = path.read_bytes()
    if b"\0" not in content and content and (content[-1:] != b"\n" or content[-2:] == b"\n\n"):
        return "expected one newline at the end"
    return None


if __name__ == "__main__":
    faults = {name: fault(Path(name)) for name in sys.argv[1:]}
    sys.exit("\n".join(f"{name}: {words}" for name, words in faults.items() if words) or None)
