"""ImageJ's metadata of a stack: in the description, and in its own tag of the first page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display, Metadata
from isoslice.data.time_units import time_name
from isoslice.data.units import unit_name
from isoslice.io.formats.text_numbers import known, number, positive
from isoslice.io.formats.tiff.display import from_table
from isoslice.io.lazy_array import LazyArray
from isoslice.io.notes import Note, find_note

if TYPE_CHECKING:
    from tifffile import TiffFile

#: Tags: resolution along X and Y, its unit (1 none, 2 inch, 3 centimetre), and colour map.
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT, _COLOR_MAP = 282, 283, 296, 320
#: Offset of the calibration of signed 16-bit images.
_SIGNED_OFFSET = -32768


@dataclass(frozen=True)
class ImageJ:
    """ImageJ's metadata; see `Raw`. `signed` marks signed 16-bit voxels, stored unsigned."""

    spacing: Mapping[str, float]
    unit: str | None
    channel_names: tuple[str, ...] | None
    note: Note | None
    metadata: Metadata
    signed: bool


def read_imagej(tif: TiffFile) -> ImageJ:
    """Read ImageJ's metadata of a file."""
    meta: Mapping[str, Any] = tif.imagej_metadata or {}
    tags = tif.pages.first.tags
    unit = unit_name(meta.get("unit"))
    spacing: dict[str, float] = {}
    for_print = unit is None and tags.valueof(_RESOLUTION_UNIT, 1) != 1
    for axis, code in (("X", _X_RESOLUTION), ("Y", _Y_RESOLUTION)):
        resolution = tags.valueof(code, (0, 1))
        if not (isinstance(resolution, tuple) and len(resolution) == 2):
            raise ValueError("its resolution is no ratio")
        numerator, denominator = (number(n) or 0.0 for n in resolution)
        if numerator > 0 and denominator > 0 and not for_print:
            spacing[axis] = denominator / numerator
    step = abs(number(meta.get("spacing")) or 0.0)
    if step > 0:
        spacing["Z"] = step
    # Without a unit, ImageJ writes unknown resolution as 1; then Z is unknown as well.
    if unit is None and all(spacing.get(axis, 1.0) == 1.0 for axis in "XY"):
        spacing = {}
    interval, time = positive(meta.get("finterval")), time_name(meta.get("tunit", "sec"))
    timed = interval is not None and time is not None
    metadata = Metadata(
        _origin(meta, spacing),
        None,
        interval if timed else None,
        time if timed else None,
        _displays(meta, tags.valueof(_COLOR_MAP)),
    )
    coefficients = [number(meta.get(key)) for key in ("cf", "c0", "c1")]
    signed = coefficients == [0, _SIGNED_OFFSET, 1]
    return ImageJ(spacing, unit, _names(meta), find_note(meta.get("Info")), metadata, signed)


def as_signed(data: Any) -> Any:
    """Convert ImageJ's signed 16-bit voxels, which are stored unsigned with 32768 added."""
    if isinstance(data, LazyArray):
        return LazyArray(_Signed(data))
    return (np.asarray(data).astype(np.uint16) ^ np.uint16(2**15)).view(np.int16)


class _Signed:
    """Signed 16-bit voxels that an array on disk stores unsigned; see `LazyArray`."""

    dtype = np.dtype(np.int16)

    def __init__(self, stored: LazyArray) -> None:
        self._stored, self.shape, self.chunks = stored, stored.shape, stored.chunks

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        return np.asarray(as_signed(self._stored[index]))


def _origin(meta: Mapping[str, Any], spacing: Mapping[str, float]) -> dict[str, float]:
    """Return the position of the first voxel; ImageJ stores the index of the voxel at 0."""
    origin = {axis: number(meta.get(f"{axis.lower()}origin")) for axis in "ZYX"}
    if not any(origin.values()):
        return {}
    return known(
        {a: -p * spacing[a] + 0.0 for a, p in origin.items() if p is not None and a in spacing}
    )


def _names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    """Return channel names, if all planes of each channel have the same label."""
    labels, channels = meta.get("Labels"), meta.get("channels", 1)
    if not (isinstance(labels, list) and isinstance(channels, int) and channels > 1):
        return None
    names = tuple(str(label) for label in labels[:channels])
    if len(set(names)) < channels or not all(names) or str(meta.get("order", "czt"))[:1] != "c":
        return None
    same = all(str(label) == names[i % channels] for i, label in enumerate(labels))
    return names if same else None


def _displays(meta: Mapping[str, Any], color_map: Any) -> tuple[Display, ...] | None:
    channels = meta.get("channels", 1)
    if not (isinstance(channels, int) and 1 <= channels <= 2**16):
        return None
    windows = _windows(meta, channels)
    tables = [t for t in _sequence(meta.get("LUTs")) if np.shape(t) == (3, 256)]
    if not tables and channels == 1 and np.shape(color_map) == (3, 256):
        tables = [(np.asarray(color_map) >> 8).astype(np.uint8)]
    if len(tables) != channels:
        if any(windows):
            return tuple(Display(window=window) for window in windows)
        return None
    pairs = zip(tables, windows, strict=True)
    return tuple(from_table(np.asarray(table, np.uint8), window) for table, window in pairs)


def _windows(meta: Mapping[str, Any], channels: int) -> list[tuple[float, float] | None]:
    """Return the intensities shown as black and white, per channel."""
    limits = [number(value) for value in _sequence(meta.get("Ranges"))]
    if len(limits) != 2 * channels:
        limits = [number(meta.get("min")), number(meta.get("max"))] if channels == 1 else []
    pairs = zip(limits[::2], limits[1::2], strict=True)
    windows = [(a, b) if a is not None and b is not None and a < b else None for a, b in pairs]
    return windows or [None] * channels


def _sequence(value: object) -> Sequence[Any]:
    if isinstance(value, np.ndarray):
        return list(value)
    return value if isinstance(value, list | tuple) else []
