"""Lookup tables of ImageJ, and colours of OME-XML."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display


def from_table(table: NDArray[np.uint8], window: tuple[float, float] | None) -> Display:
    """Return the display of a lookup table (3, 256): a colour if it is a ramp from black."""
    if np.array_equal(table, ramp(last := table[:, -1])):
        return Display("".join(f"{int(value):02X}" for value in last), window)
    return Display(None, window, table.tobytes())


def to_table(display: Display) -> NDArray[np.uint8]:
    """Return the lookup table (3, 256) of a display, grey where it has no colour."""
    if display.lut is not None:
        return np.frombuffer(display.lut, np.uint8).reshape(3, 256)
    return ramp(bytes.fromhex(display.color or "FFFFFF"))


def ramp(color: Sequence[int] | NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return ImageJ's table from black to a colour, (3, 256)."""
    levels = np.arange(256)
    return np.stack([np.rint(levels * (int(c) / 255)).astype(np.uint8) for c in color])


def as_ome_color(color: str) -> int:
    """Return RRGGBB as OME's signed integer of red, green, blue and an alpha of 255."""
    value = int(color, 16) << 8 | 0xFF
    return value - 2**32 if value >= 2**31 else value
