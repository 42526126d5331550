"""Metadata (position, time, display, optics) as JSON, and back from untrusted files."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, cast, get_args

from isoslice.data.metadata import (
    Display,
    Matrix,
    Metadata,
    Microscope,
    Optics,
    Orientation,
    as_matrix,
)


def metadata_as_json(metadata: Metadata) -> dict[str, Any]:
    """Return the known metadata as plain values."""
    orientation = metadata.orientation
    known: dict[str, Any] = {}
    if metadata.origin:
        known["origin"] = {axis: float(value) for axis, value in metadata.origin.items()}
    if orientation is not None:
        known["orientation"] = {
            "sform": orientation.sform,
            "qform": orientation.qform,
            "sform_code": orientation.sform_code,
            "qform_code": orientation.qform_code,
        }
    if metadata.time_step is not None:
        known["time_step"], known["time_unit"] = metadata.time_step, metadata.time_unit
        if metadata.time_start is not None:
            known["time_start"] = metadata.time_start
    if metadata.displays is not None:
        known["displays"] = [
            {
                "color": each.color,
                "window": each.window,
                "lut": None if each.lut is None else each.lut.hex(),
            }
            for each in metadata.displays
        ]
    if metadata.slice_thickness is not None:
        known["slice_thickness"] = float(metadata.slice_thickness)
    if metadata.optics is not None:
        known["optics"] = asdict(metadata.optics)
    return known


def metadata_from_json(value: object) -> Metadata:
    """Undo `metadata_as_json`; values of another form are left out."""
    if not isinstance(value, Mapping):
        return Metadata()
    origin = value.get("origin")
    known_origin = {}
    if isinstance(origin, Mapping):
        known_origin = {a: float(v) for a, v in origin.items() if a in set("ZYX") and _is_number(v)}
    step, unit = value.get("time_step"), value.get("time_unit")
    has_step = _is_number(step) and float(str(step)) > 0
    start = value.get("time_start")
    return Metadata(
        known_origin,
        _orientation(value.get("orientation")),
        float(str(step)) if has_step else None,
        unit if has_step and isinstance(unit, str) else None,
        _displays(value.get("displays")),
        float(str(start)) if has_step and _is_number(start) else None,
        _positive(value.get("slice_thickness")),
        _optics(value.get("optics")),
    )


def _optics(value: object) -> Optics | None:
    if not isinstance(value, Mapping):
        return None
    emission, kind = value.get("emission"), value.get("microscope")
    return Optics(
        _positive(value.get("numerical_aperture")),
        _positive(value.get("refractive_index")),
        tuple(map(_positive, emission)) if isinstance(emission, list | tuple) else None,
        cast("Microscope", kind) if kind in get_args(Microscope) else None,
    )


def _positive(value: object) -> float | None:
    return float(str(value)) if _is_number(value) and float(str(value)) > 0 else None


def _orientation(value: object) -> Orientation | None:
    if not isinstance(value, Mapping):
        return None
    codes = [value.get(name) for name in ("sform_code", "qform_code")]
    if not all(isinstance(code, int) and 0 <= code <= 5 for code in codes):
        return None
    matrices = [_matrix(value.get(name)) for name in ("sform", "qform")]
    return Orientation(matrices[0], matrices[1], int(str(codes[0])), int(str(codes[1])))


def _matrix(value: object) -> Matrix | None:
    if not (isinstance(value, list | tuple) and len(value) == 4):
        return None
    rows = [row for row in value if isinstance(row, list | tuple) and len(row) == 4]
    if len(rows) != 4 or not all(_is_number(v) for row in rows for v in row):
        return None
    return as_matrix(rows)


def _displays(value: object) -> tuple[Display, ...] | None:
    if not (isinstance(value, list) and value and all(isinstance(v, Mapping) for v in value)):
        return None
    return tuple(_display(each) for each in value)


def _display(value: Mapping[str, Any]) -> Display:
    color, window, lut = value.get("color"), value.get("window"), value.get("lut")
    pair = None
    if isinstance(window, list | tuple) and len(window) == 2 and all(map(_is_number, window)):
        pair = float(window[0]), float(window[1])
    table = None
    if isinstance(lut, str) and re.fullmatch("[0-9a-f]{1536}", lut):
        table = bytes.fromhex(lut)
    shade = color if isinstance(color, str) and re.fullmatch("[0-9A-F]{6}", color) else None
    return Display(shade, pair, table)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)
