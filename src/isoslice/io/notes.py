"""The note that isoslice stores in every file it writes, in any format.

A note is a small JSON object: provenance, and what the format cannot store (axes of length 1,
spacing in full precision, channel names). Other programs may have changed the file since, so a note
is used only where the file's own metadata agree with it.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from pathlib import PurePath
from typing import Any

import numpy as np

from isoslice.data.metadata import Metadata
from isoslice.data.units import METRES, convert
from isoslice.data.volume import AXES, Volume
from isoslice.errors import OutputError
from isoslice.io.metadata_json import metadata_as_json, metadata_from_json

#: Key of the note wherever it is stored.
KEY = "isoslice"
Note = dict[str, Any]


def make_note(volume: Volume, axes: str | None = None) -> Note:
    """Return the note of `volume`: axes, spacing, unit, channel names, provenance.

    Parameters
    ----------
    volume
        The volume that is written.
    axes
        Its axes in the order in which the format stores them, where that differs.

    Raises
    ------
    OutputError
        If JSON cannot hold the provenance.
    """
    note = {
        "axes": axes or volume.axes,
        "spacing": {axis: float(step) for axis, step in volume.spacing.items()},
        "unit": volume.unit,
        "channel_names": list(volume.channel_names) if volume.channel_names else None,
        "provenance": dict(volume.provenance) if volume.provenance is not None else None,
        "metadata": metadata_as_json(volume.metadata),
        **({} if volume.z_positions is None else {"z_positions": list(volume.z_positions)}),
    }
    try:
        # Through text and back, so that every format stores the very same plain values.
        plain: Note = json.loads(json.dumps(note, default=_plain, allow_nan=False))
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"{volume.source}: got provenance that JSON cannot hold ({error}), expected numbers, "
            "text, lists and dictionaries; simplify it"
        ) from error
    return plain


def note_text(note: Note) -> str:
    """Return `note` as one line of ASCII."""
    return json.dumps({KEY: note}, ensure_ascii=True)


def find_note(text: object) -> Note | None:
    """Return the note among the lines of `text`, or None; never raises."""
    for line in str(text or "").splitlines():
        if f'"{KEY}"' not in line:
            continue
        try:
            return as_note(json.loads(line.strip().rstrip("\0")).get(KEY))
        except (ValueError, AttributeError, RecursionError):
            continue
    return None


def as_note(value: object) -> Note | None:
    """Return `value` if it has the form of a note, else None: files are not trusted."""
    if not isinstance(value, Mapping):
        return None
    axes, spacing, unit = value.get("axes"), value.get("spacing"), value.get("unit")
    names, provenance = value.get("channel_names"), value.get("provenance")
    if not (isinstance(axes, str) and len(set(axes)) == len(axes)):
        return None
    if not {"Y", "X"} <= set(axes) <= set(AXES):
        return None
    if not (isinstance(spacing, Mapping) and set(spacing) <= set("ZYX")):
        return None
    if not all(isinstance(s, int | float) and 0 < s < math.inf for s in spacing.values()):
        return None
    if not (unit is None or isinstance(unit, str)):
        return None
    if not (names is None or (isinstance(names, list) and all(isinstance(n, str) for n in names))):
        return None
    if not (provenance is None or isinstance(provenance, Mapping)):
        return None
    optional = {"unit": unit, "channel_names": names, "provenance": provenance}
    optional["metadata"] = value.get("metadata")
    return {**value, **optional}


def noted_axes(shape: tuple[int, ...], axes: str, noted: str) -> tuple[tuple[int, ...], str]:
    """Restore axes of length 1 that the format added or dropped.

    Parameters
    ----------
    shape
        Shape as read.
    axes
        One letter per dimension of `shape`.
    noted
        Axes the volume had when it was written.

    Returns
    -------
    tuple
        Shape and axes of the same voxels in the same order, those of the note where they fit.
    """
    kept = [(axis, n) for axis, n in zip(axes, shape, strict=True) if axis in noted or n > 1]
    names = "".join(axis for axis, _ in kept)
    if names == "".join(axis for axis in noted if axis in names):
        sizes = dict(kept)
        return tuple(sizes.get(axis, 1) for axis in noted), noted
    return tuple(n for _, n in kept), names


def noted_spacing(
    spacing: Mapping[str, float], unit: str | None, note: Note
) -> tuple[dict[str, float], str | None]:
    """Return the note's exact spacing where it agrees with the file's, else the file's.

    Formats round spacings, and store 1 for unknown ones.
    """
    exact: dict[str, float] = {a: float(s) for a, s in note["spacing"].items()}
    noted_unit: str | None = note["unit"]
    for axis, step in spacing.items():
        if unit in METRES and noted_unit in METRES:
            step = convert(step, str(unit), str(noted_unit))
        elif unit is not None and noted_unit is not None and unit != noted_unit:
            return dict(spacing), unit
        if axis in exact:
            agrees = math.isclose(step, exact[axis], rel_tol=1e-5)
        else:
            agrees = math.isclose(spacing[axis], 1.0, rel_tol=1e-5)
        if not agrees:
            return dict(spacing), unit
    return exact, noted_unit


def noted_metadata(stored: Metadata, note: Note, spacing: Mapping[str, float]) -> Metadata:
    """Complete a file's position, time and display by those of the note.

    The file takes precedence, since it may have been changed. The note's position is valid only for
    the spacing that it was written with.
    """
    noted = metadata_from_json(note.get("metadata"))
    if dict(note["spacing"]) != dict(spacing):
        noted = replace(noted, origin={}, orientation=None, slice_thickness=None)
    timing, noted_timing = ((each.time_step, each.time_unit) for each in (stored, noted))
    takes_start = stored.time_start is None and timing in ((None, None), noted_timing)
    return Metadata(
        origin=stored.origin or noted.origin,
        orientation=stored.orientation or noted.orientation,
        time_step=noted.time_step if stored.time_step is None else stored.time_step,
        time_unit=noted.time_unit if stored.time_step is None else stored.time_unit,
        displays=stored.displays or noted.displays,
        time_start=noted.time_start if takes_start else stored.time_start,
        slice_thickness=stored.slice_thickness or noted.slice_thickness,
        optics=stored.optics or noted.optics,
    )


def noted_positions(
    note: Note, spacing: Mapping[str, float], planes: int
) -> tuple[float, ...] | None:
    """Return the note's positions of planes, valid only for the spacing they were written with."""
    value = note.get("z_positions")
    if not isinstance(value, list) or len(value) != planes or dict(note["spacing"]) != spacing:
        return None
    if not all(isinstance(z, int | float) and math.isfinite(z) for z in value):
        return None
    rising = all(a < b for a, b in pairwise(value))
    return tuple(map(float, value)) if rising and value[0] == 0 else None


def _plain(value: object) -> object:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, PurePath):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__}")
