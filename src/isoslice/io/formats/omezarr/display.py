"""Names, colours and intensity windows of channels in OME-Zarr: its attribute ``omero``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display
from isoslice.io.formats.omezarr.json_values import as_number, as_object, as_objects

#: Colours of successive channels whose colour is unknown.
DEFAULT_COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FF0000", "FFFF00", "0000FF")
DisplayRange = tuple[float, float]


def read_omero(omero: object) -> tuple[tuple[str, ...] | None, tuple[Display, ...] | None]:
    """Return names (None unless all are known) and displays (None if none is) of the channels."""
    channels = as_objects(as_object(omero, "omero").get("channels"), "list of channels")
    labels = [channel.get("label") for channel in channels]
    names = tuple("" if label is None else str(label) for label in labels)
    displays = tuple(_display(channel) for channel in channels)
    known = any(display != Display() for display in displays)
    return (names if names and all(names) else None), (displays if known else None)


def without_defaults(
    stored: Sequence[Display] | None, noted: Sequence[Display] | None
) -> tuple[Display, ...] | None:
    """Tell known displays from defaults that isoslice wrote to the file.

    Parameters
    ----------
    stored
        Displays in the file.
    noted
        Displays that were known when it was written, by isoslice's note; None if none was.

    Returns
    -------
    tuple of Display or None
        As noted (with lookup tables, which the format cannot hold) where the file agrees, else as
        in the file.
    """
    if stored is None:
        return None if noted is None else tuple(noted)
    known = tuple(noted or (Display(),) * len(stored))
    if len(known) != len(stored):
        return tuple(stored)
    kept = tuple(
        before if _agrees(now, before, DEFAULT_COLOURS[number % len(DEFAULT_COLOURS)]) else now
        for number, (now, before) in enumerate(zip(stored, known, strict=True))
    )
    return kept if any(each != Display() for each in kept) else None


def make_omero(
    names: Sequence[str] | None,
    displays: Sequence[Display] | None,
    windows: Sequence[DisplayRange],
    dtype: np.dtype[Any],
) -> Any:
    """Return the attribute ``omero`` for an image of ``len(windows)`` channels.

    Parameters
    ----------
    names, displays
        One per channel, or None; without both this returns None.
    windows
        Intensities shown as black and white where `displays` has none.
    dtype
        Voxel type; its range becomes that of the channels.
    """
    from yaozarrs import v05

    count = len(windows)
    names = names if names and len(names) == count else None
    displays = displays if displays and len(displays) == count else None
    if count == 0 or (names is None and displays is None):
        return None
    channels = []
    for number, window in enumerate(windows):
        display = displays[number] if displays else Display()
        low, high = display.window or window
        least, most = low, high
        if dtype.kind in "iu":
            least, most = min(low, np.iinfo(dtype).min), max(high, np.iinfo(dtype).max)
        channels.append(
            v05.OmeroChannel(
                label=names[number] if names else None,
                color=display.color or DEFAULT_COLOURS[number % len(DEFAULT_COLOURS)],
                window=v05.OmeroWindow(start=low, end=high, min=least, max=most),
                active=True,
            )
        )
    return v05.Omero(channels=channels)


def find_window(parts: Iterable[NDArray[Any]]) -> DisplayRange:
    """Return the smallest and largest finite value of an array in parts; without any, 0 and 1."""
    low, high = np.inf, -np.inf
    for values in parts:
        if values.dtype.kind != "f":
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            continue
        finite = np.isfinite(values)
        low = min(low, float(np.min(values, where=finite, initial=np.inf)))
        high = max(high, float(np.max(values, where=finite, initial=-np.inf)))
    return (low, high) if low <= high else (0.0, 1.0)


def _display(channel: Mapping[str, Any]) -> Display:
    color, window = channel.get("color"), channel.get("window")
    shade = color.lstrip("#").upper() if isinstance(color, str) else ""
    if len(shade) == 3:
        shade = "".join(2 * digit for digit in shade)
    pair = None
    if isinstance(window, Mapping):
        low, high = (as_number(window.get(key)) for key in ("start", "end"))
        pair = None if low is None or high is None else (low, high)
    return Display(shade if re.fullmatch("[0-9A-F]{6}", shade) else None, pair)


def _agrees(now: Display, before: Display, default: str) -> bool:
    """Whether `now` is how `before` is written: with any window if none was known."""
    same_window = before.window is None or now.window == before.window
    return same_window and now.color == (before.color or default)
