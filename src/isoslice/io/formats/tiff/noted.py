"""What isoslice noted of place, time and display, where the file still says the same in its way.

Formats round numbers, know fewer units, or hold a part: colours without windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from isoslice.data.metadata import Display, Metadata
from isoslice.data.time_units import seconds
from isoslice.io.metadata_json import metadata_from_json
from isoslice.io.notes import Note


def settled(found: Metadata, note: Note | None) -> Metadata:
    """Return what a file says, in the note's words where these say the same or more.

    Parameters
    ----------
    found
        What the file says natively.
    note
        What isoslice noted in it, or None.
    """
    if note is None:
        return found
    noted = metadata_from_json(note.get("metadata"))
    if found.origin and _close(found.origin, noted.origin):
        found = replace(found, origin=noted.origin)
    times = seconds(found.time_step, found.time_unit), seconds(noted.time_step, noted.time_unit)
    if None not in times and math.isclose(times[0] or 0, times[1] or 0, rel_tol=1e-9):
        found = replace(found, time_step=noted.time_step, time_unit=noted.time_unit)
    if found.displays and noted.displays and len(found.displays) == len(noted.displays):
        pairs = zip(found.displays, noted.displays, strict=True)
        found = replace(found, displays=tuple(_display(a, b) for a, b in pairs))
    return found


def _display(found: Display, noted: Display) -> Display:
    """Complete a display, unless the colour was changed."""
    window = noted.window if found.window is None else found.window
    shade = found.color or "FFFFFF"
    if noted.lut is not None and found.lut is None and shade == "FFFFFF":
        return replace(noted, window=window)
    if found.lut == noted.lut and shade == (noted.color or "FFFFFF"):
        return replace(noted, window=window)
    return replace(found, window=window)


def _close(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return set(a) == set(b) and all(
        math.isclose(a[axis], b[axis], rel_tol=1e-9, abs_tol=1e-12) for axis in a
    )
