"""How large a block may be: from a budget of memory to voxels."""

from __future__ import annotations

import os
import re
from pathlib import Path

from isoslice.errors import SettingsError

#: Python, PyTorch and a model; what a thread's batch of slices takes in the network; and each voxel
#: of a block's window. Measured: docs/scaling.md.
FIXED, THREAD, VOXEL = 700 * 2**20, 300 * 2**20, 40
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


def parse_memory(text: str) -> int:
    """Read ``4GB``, ``500 MB`` or a number of bytes.

    Raises
    ------
    SettingsError
        If it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if match is None or not float(match[1]) > 0:
        raise SettingsError(f"got memory {text!r}, expected a size such as 4GB or 500MB")
    base = _UNITS[match[2].upper()]
    if match[3] and match[2]:
        base = 1024 ** "KMGT".index(match[2].upper()) * 1024
    return int(float(match[1]) * base)


def available_memory() -> int:
    """Bytes that this process may still take: of the machine, or of its control group."""
    found = [2**62]
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(1024 * int(line.split()[1]))
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        used = int(Path("/sys/fs/cgroup/memory.current").read_text())
        if limit != "max":
            found.append(int(limit) - used)
    except (OSError, ValueError):
        pass
    if len(found) == 1 and hasattr(os, "sysconf"):
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2)
    return max(0, min(found))


def window_voxels(budget: int, channels: int, threads: int) -> int:
    """Say how many voxels (of all channels) a block's window may have.

    Raises
    ------
    SettingsError
        If the budget is not even enough for an empty one.
    """
    left = budget - FIXED - threads * THREAD
    if left <= 0:
        raise SettingsError(
            f"got a memory budget of {budget / 1e9:.2g} GB, expected at least "
            f"{(FIXED + threads * THREAD) / 1e9 * 1.3:.2g} GB; give more with --memory"
        )
    return left // (VOXEL * channels)
