"""Exact metadata from isoslice's note, where the file's own metadata still agree.

Formats round numbers, have fewer units, or hold only a part, such as colours without windows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from isoslice.data.metadata import Display, Metadata
from isoslice.data.time_units import seconds
from isoslice.io.metadata_json import metadata_from_json
from isoslice.io.notes import Note


def with_noted(stored: Metadata, note: Note | None) -> Metadata:
    """Replace metadata of a file by the note's where these agree or say more.

    Parameters
    ----------
    stored
        Metadata in the file's own form.
    note
        isoslice's note in the file, or None.
    """
    if note is None:
        return stored
    noted = metadata_from_json(note.get("metadata"))
    if stored.origin and _close(stored.origin, noted.origin):
        stored = replace(stored, origin=noted.origin)
    times = seconds(stored.time_step, stored.time_unit), seconds(noted.time_step, noted.time_unit)
    if None not in times and math.isclose(times[0] or 0, times[1] or 0, rel_tol=1e-9):
        stored = replace(stored, time_step=noted.time_step, time_unit=noted.time_unit)
    if stored.displays and noted.displays and len(stored.displays) == len(noted.displays):
        pairs = zip(stored.displays, noted.displays, strict=True)
        stored = replace(stored, displays=tuple(_display(a, b) for a, b in pairs))
    return stored


def _display(stored: Display, noted: Display) -> Display:
    """Complete a display by the noted one, unless its colour was changed."""
    window = noted.window if stored.window is None else stored.window
    shade = stored.color or "FFFFFF"
    if noted.lut is not None and stored.lut is None and shade == "FFFFFF":
        return replace(noted, window=window)
    if stored.lut == noted.lut and shade == (noted.color or "FFFFFF"):
        return replace(noted, window=window)
    return replace(stored, window=window)


def _close(a: Mapping[str, float], b: Mapping[str, float]) -> bool:
    return set(a) == set(b) and all(
        math.isclose(a[axis], b[axis], rel_tol=1e-9, abs_tol=1e-12) for axis in a
    )
