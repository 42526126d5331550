"""Metadata of Zeiss LSM files: lengths in metres, times in seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from isoslice.data.metadata import Display, Metadata
from isoslice.data.units import convert
from isoslice.io.formats.text_numbers import number, positive

if TYPE_CHECKING:
    from tifffile import TiffFile


class Lsm(NamedTuple):
    """Metadata of an LSM file, lengths in micrometres; see `Raw`."""

    spacing: dict[str, float]
    channel_names: tuple[str, ...] | None
    metadata: Metadata


def read_lsm(tif: TiffFile) -> Lsm:
    """Read the metadata of an LSM file."""
    info: Mapping[str, Any] = tif.lsm_metadata or {}
    spacing, origin = {}, {}
    for axis in "ZYX":
        step, position = positive(info.get(f"VoxelSize{axis}")), number(info.get(f"Origin{axis}"))
        if step is not None:
            spacing[axis] = convert(step, "meter", "micrometer")
        if position is not None:
            origin[axis] = convert(position, "meter", "micrometer")
    colors = info.get("ChannelColors")
    colors = colors if isinstance(colors, Mapping) else {}
    names = tuple(str(name) for name in colors.get("ColorNames") or ())
    displays = tuple(Display(_hex(color)) for color in colors.get("Colors") or ())
    step = _time_step(info)
    metadata = Metadata(
        origin if any(origin.values()) else {},
        None,
        step,
        None if step is None else "second",
        displays if any(display.color for display in displays) else None,
    )
    return Lsm(spacing, names if names and all(names) else None, metadata)


def _time_step(info: Mapping[str, Any]) -> float | None:
    """Return the time between frames: as set, else the measured mean; None if unknown."""
    if not (number(info.get("DimensionTime")) or 0) > 1:
        return None
    stamps = info.get("TimeStamps")
    measured = None
    if isinstance(stamps, list | tuple | np.ndarray) and len(stamps) > 1:
        first, last = number(stamps[0]), number(stamps[-1])
        if first is not None and last is not None:
            measured = (last - first) / (len(stamps) - 1)
    return positive(info.get("TimeIntervall")) or positive(measured)


def _hex(color: Any) -> str | None:
    parts = list(color)[:3] if isinstance(color, list | tuple | np.ndarray) else []
    if len(parts) != 3 or not all(0 <= int(part) <= 255 for part in parts):
        return None
    return "".join(f"{int(part):02X}" for part in parts)
