"""Axes in OME-Zarr 0.1 to 0.5: names, spacing, position and time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from isoslice.data.metadata import Metadata
from isoslice.data.time_units import time_name
from isoslice.data.units import common_unit, convert, unit_name
from isoslice.data.volume import AXES
from isoslice.io.formats.omezarr.json_values import as_list, as_numbers, as_objects

_BY_TYPE = {"time": "T", "channel": "C"}


class Calibration(NamedTuple):
    """Spacing, its unit, position and time, as far as they are known."""

    spacing: dict[str, float]
    unit: str | None
    metadata: Metadata


def listed_axes(multiscale: Mapping[str, Any]) -> list[Any]:
    """Return the axes of an image; before 0.3 they were not listed, but always TCZYX."""
    axes = multiscale.get("axes")
    return list(AXES.lower()) if axes is None else as_list(axes, "list of axes")


def axis_letter(axis: object) -> str:
    """Return the letter of an axis, ``Q`` if it is none of TCZYX."""
    entry = axis if isinstance(axis, Mapping) else {"name": axis}
    name, kind = (entry.get(key) for key in ("name", "type"))
    if isinstance(name, str) and len(name) == 1 and name.upper() in AXES:
        return name.upper()
    return _BY_TYPE.get(kind, "Q") if isinstance(kind, str) else "Q"


def find_calibration(
    axes: str,
    listed: Sequence[object],
    dataset: Mapping[str, Any],
    multiscale: Mapping[str, Any],
) -> Calibration:
    """Find spacing, position of the first voxel and time between frames.

    A scale of exactly 1 without unit, and a translation of 0 along all axes, count as unknown.

    Parameters
    ----------
    axes
        Letters of the axes.
    listed
        The axes as listed in the metadata.
    dataset, multiscale
        Metadata of one array, and of all; their transformations are applied in this order.
    """
    composed = _composed(dataset, multiscale, len(axes))
    if composed is None:
        return Calibration({}, None, Metadata())
    scale, offset = (dict(zip(axes, numbers, strict=True)) for numbers in composed)
    stated_units = {
        axis: entry.get("unit") if isinstance(entry, Mapping) else None
        for axis, entry in zip(axes, listed, strict=True)
    }
    steps = {axis: step for axis, step in scale.items() if axis in "ZYX" and step > 0}
    units = {a: unit for a in steps if (unit := unit_name(stated_units[a])) is not None}
    unitless = [axis for axis in steps if axis not in units]
    if all(steps[axis] == 1.0 for axis in unitless):
        steps = {axis: step for axis, step in steps.items() if axis not in unitless}
    spacing, unit = common_unit(steps, units)
    origin = {}
    if any(offset[axis] for axis in steps):
        origin = {axis: offset[axis] for axis in steps}
        if unit is not None:
            origin = {a: convert(o, units.get(a, unit), unit) for a, o in origin.items()}
    time, time_unit = scale.get("T", 0.0), time_name(stated_units.get("T"))
    if time <= 0 or (time == 1 and time_unit is None):
        return Calibration(spacing, unit, Metadata(origin))
    start = offset["T"] or None
    known = Metadata(origin, time_step=time, time_unit=time_unit, time_start=start)
    return Calibration(spacing, unit, known)


def _composed(
    dataset: Mapping[str, Any], multiscale: Mapping[str, Any], ndim: int
) -> tuple[list[float], list[float]] | None:
    """Return scale and offset of the composed transformations; None if one is of another kind."""
    inner = _transformations(dataset)
    outer = _transformations(multiscale)
    # SpatialData lists transformations to several coordinate systems, none of them the image's.
    if len(outer) > 1 and any("output" in transform for transform in outer):
        outer = []
    scale, offset = [1.0] * ndim, [0.0] * ndim
    for transform in (*inner, *outer):
        kind = transform.get("type")
        numbers = as_numbers(transform.get(str(kind)), ndim)
        if kind == "identity":
            continue
        if kind not in ("scale", "translation") or numbers is None:
            return None
        if kind == "scale":
            scale = [s * n for s, n in zip(scale, numbers, strict=True)]
            offset = [o * n for o, n in zip(offset, numbers, strict=True)]
        else:
            offset = [o + n for o, n in zip(offset, numbers, strict=True)]
    return scale, offset


def _transformations(part: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    name = "coordinateTransformations"
    return as_objects(part.get(name), name)
