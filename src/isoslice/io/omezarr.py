"""Reading OME-Zarr 0.4 and 0.5 (and plain Zarr arrays whose dimensions are named)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.errors import DataError
from isoslice.io.failure import reading
from isoslice.io.lazy import LazyArray
from isoslice.io.limits import MAX_CHUNK, check_shape
from isoslice.io.notes import KEY, Note, as_note
from isoslice.io.omezarr_check import check_chunks
from isoslice.io.omezarr_types import check_types
from isoslice.io.raw import Raw
from isoslice.io.units import common_unit, unit_name
from isoslice.volume import AXES

#: A folder with one of these is a Zarr group or array.
MARKS = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
_BY_TYPE = {"time": "T", "channel": "C"}
#: Every chunk takes time, even one that is missing: many tiny ones are refused.
_MANY_CHUNKS, _TINY_CHUNK = 10_000, 8192


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder with Zarr metadata."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKS)


def read_omezarr(path: Path, series: str | None = None) -> Raw:
    """Open the highest resolution of the first image of an OME-Zarr folder.

    A scale of exactly 1 on all spatial axes without unit is the format's way of not knowing, so
    it gives no spacing. Of a ``bioformats2raw`` folder, series 0 is read.

    Raises
    ------
    DataError
        If the folder holds no image, its metadata or chunks are damaged, lead out of the folder or
        are packed in a way that is not known to be safe.
    """
    import zarr

    from isoslice.io.zarr_store import ConfinedStore

    if not is_zarr(path):
        raise DataError(
            f"{path}: got a folder without Zarr metadata, expected an OME-Zarr image; give the "
            "folder that holds zarr.json or .zattrs"
        )
    # zarr says by these what is wrong with metadata.
    with reading(path, "an OME-Zarr image", surprises=(TypeError, RecursionError)):
        store = ConfinedStore(path, read_only=True)
        # A consolidated copy of all metadata is not needed, and may say something else.
        if any((path / name).is_file() for name in (".zarray", "zarr.json")):
            with suppress(zarr.errors.NodeTypeValidationError, FileNotFoundError):
                return _plain(zarr.open_array(store=store, mode="r"), path)
        return _image(zarr.open_group(store=store, mode="r", use_consolidated=False), path)


def _image(group: Any, path: Path, inside: bool = False) -> Raw:
    attrs: Mapping[str, Any] = dict(group.attrs)
    ome: Mapping[str, Any] = attrs.get("ome", attrs)
    check_types(ome)
    if "multiscales" not in ome and "bioformats2raw.layout" in ome and not inside:
        return _image(group["0"], path / "0", inside=True)
    if "multiscales" not in ome:
        kind = "a plate" if "plate" in ome else "a well" if "well" in ome else "a group"
        raise DataError(
            f"{path}: got {kind} without an image of its own, expected an OME-Zarr image; give "
            "one of the image folders inside"
        )
    multiscale = ome["multiscales"][0]
    dataset = multiscale["datasets"][0]
    from isoslice.io.zarr_store import inner_path

    place = inner_path(dataset["path"])
    array = _checked(group[place], path / place)
    # Before 0.3 axes were not listed; they were always all five.
    listed = multiscale.get("axes") or list(AXES.lower())
    axes = "".join(_letter(axis) for axis in listed)
    if len(axes) != array.ndim:
        raise DataError(
            f"{path}: got metadata with {len(axes)} axes for an array of {array.ndim} "
            "dimensions, expected them to agree; export it again"
        )
    spacing, unit = _spacing(axes, listed, dataset, multiscale)
    note: Note | None = as_note(attrs.get(KEY))
    return Raw(LazyArray(array), axes, spacing, unit, _channel_names(ome), note)


def _checked(array: Any, path: Path) -> Any:
    """Return the array with all it declares checked, to be read by bounded decoders."""
    import zarr

    from isoslice.io.zarr_codecs import bounded

    if not isinstance(array, zarr.Array):
        raise ValueError("its dataset is a group, expected an array")
    check_shape(path, array.shape)
    array = bounded(array, MAX_CHUNK)
    number = math.prod(-(-n // m) for n, m in zip(array.shape, array.chunks, strict=True))
    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    if number > _MANY_CHUNKS and size < _TINY_CHUNK:
        raise ValueError(f"it has {number} chunks of {size} bytes; write it with larger chunks")
    check_chunks(array, path)
    return array


def _plain(array: Any, path: Path) -> Raw:
    array = _checked(array, path)
    names = getattr(array.metadata, "dimension_names", None) or ["?"] * array.ndim
    return Raw(LazyArray(array), "".join(_letter(name or "?") for name in names))


def _letter(axis: str | Mapping[str, Any]) -> str:
    """Return the letter of an axis, ``Q`` for one that is none of ours."""
    name = axis if isinstance(axis, str) else str(axis.get("name", ""))
    if len(name) == 1 and name.upper() in AXES:
        return name.upper()
    return _BY_TYPE.get("" if isinstance(axis, str) else str(axis.get("type", "")), "Q")


def _spacing(
    axes: str,
    listed: Sequence[str | Mapping[str, Any]],
    dataset: Mapping[str, Any],
    multiscale: Mapping[str, Any],
) -> tuple[dict[str, float], str | None]:
    inner, outer = _scale(dataset, len(axes)), _scale(multiscale, len(axes))
    if inner is None and outer is None:
        return {}, None
    product = np.multiply(inner or [1.0] * len(axes), outer or [1.0] * len(axes))
    steps = {
        axis: float(s) for axis, s in zip(axes, product, strict=True) if axis in "ZYX" and s > 0
    }
    units = {}
    for axis, entry in zip(axes, listed, strict=True):
        unit = None if isinstance(entry, str) else unit_name(entry.get("unit"))
        if axis in steps and unit is not None:
            units[axis] = unit
    bare = [axis for axis in steps if axis not in units]
    if all(steps[axis] == 1.0 for axis in bare):
        steps = {axis: step for axis, step in steps.items() if axis not in bare}
    return common_unit(steps, units)


def _scale(part: Mapping[str, Any], ndim: int) -> list[float] | None:
    for transform in part.get("coordinateTransformations") or []:
        scale = transform.get("scale")
        if transform.get("type") == "scale" and scale is not None and len(scale) == ndim:
            return [float(s) for s in scale]
    return None


def _channel_names(ome: Mapping[str, Any]) -> tuple[str, ...] | None:
    channels = (ome.get("omero") or {}).get("channels") or []
    names = tuple(str(channel.get("label") or "") for channel in channels)
    return names if names and all(names) else None
