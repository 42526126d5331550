"""Reading TIFF: plain, ImageJ and OME."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from isoslice.io.extras import require_installed
from isoslice.io.failure import quiet, reading
from isoslice.io.lazy import LazyArray
from isoslice.io.limits import check_shape
from isoslice.io.notes import Note, find_note, noted_axes
from isoslice.io.raw import Raw
from isoslice.io.tiff_check import TruncatedTiffError, check_chain, check_strips
from isoslice.io.tiff_limits import UNUSED_KINDS, check_ome, check_other, check_sizes
from isoslice.io.units import common_unit, unit_name

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from tifffile import TiffFile, TiffPageSeries

#: Tags: resolution along X and Y, its unit (1 none, 2 inch, 3 centimetre).
_X_RESOLUTION, _Y_RESOLUTION, _RESOLUTION_UNIT = 282, 283, 296


def read_tiff(path: Path, series: str | None = None) -> Raw:
    """Read the first image series of a TIFF file.

    Axes and spacing come from OME-XML or ImageJ's metadata. The resolution of a plain TIFF is
    that of print (72 dots per inch and the like), never a voxel size.

    Raises
    ------
    DataError
        If the file is no TIFF, is damaged or cut off, or is compressed in a way that cannot
        be read.
    """
    import tifffile

    with reading(path, "a TIFF"), quiet("tifffile"), path.open("rb") as stream:
        check_chain(stream, path.stat().st_size)
        try:
            # By its path, since OME-TIFF may be spread over several files beside it.
            with tifffile.TiffFile(path, **UNUSED_KINDS) as tif:
                return _first_series(tif, path)
        except ValueError as error:
            if "imagecodecs" in str(error):
                require_installed("imagecodecs", "imagecodecs", "a compressed TIFF", path=path)
            raise


def _first_series(tif: TiffFile, path: Path) -> Raw:
    if tif.is_ome and tif.ome_metadata:
        for other in check_ome(tif.ome_metadata, path):
            if other.exists():
                with other.open("rb") as stream:
                    check_chain(stream, check_other(other))
    if not tif.series:
        raise TruncatedTiffError("it holds no image")
    series = tif.series[0]
    check_strips(series)
    if tif.is_imagej and series.kind in ("uniform", "generic"):
        # tifffile gives up on ImageJ's description where the file is shorter than it says.
        raise TruncatedTiffError("it is shorter than ImageJ's description says")
    if series.kind == "ome" and tif.ome_metadata:
        spacing, unit, names, note = _ome(tif.ome_metadata)
    elif tif.is_imagej:
        spacing, unit, names, note = _imagej(tif)
    else:
        spacing, unit, names, note = {}, None, None, None
    _check_images(tif, series)
    data, axes = _voxels(series, path)
    if note is not None and "S" not in axes and set(axes) <= set("TCZYX"):
        # Axes of length 1 are lost in TIFF; the note knows which there were.
        shape, axes = noted_axes(data.shape, axes, note["axes"])
        data = data.reshape(shape)
    return Raw(data, axes, spacing, unit, names, note)


def _voxels(series: TiffPageSeries, path: Path) -> tuple[NDArray[Any], str]:
    """Return the voxels without axes of length 1 (Y and X stay), and their axes.

    Where they lie in the file one after the other, they are read when they are asked for.
    """
    data = _mapped(series, path)
    shape, axes = series.shape, series.axes
    if data.size != math.prod(shape):
        raise TruncatedTiffError(f"got shape {data.shape}, expected {shape}")
    kept = [i for i, n in enumerate(shape) if n > 1 or axes[i] in "YX"]
    return data.reshape([shape[i] for i in kept]), "".join(axes[i] for i in kept)


def _mapped(series: TiffPageSeries, path: Path) -> Any:
    page = series.keyframe
    in_one_piece = series.dataoffset is not None and page.is_final and series.dtype is not None
    if not in_one_piece or len({p.parent for p in series.pages if p is not None}) > 1:
        check_sizes(series, path)
        return series.asarray()
    check_shape(path, series.shape)
    file = page.parent
    dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
    start = int(series.dataoffset or 0)
    voxels = np.memmap(file.filehandle.path, dtype, "r", start, tuple(series.shape))
    return LazyArray(voxels)


def _check_images(tif: TiffFile, series: TiffPageSeries) -> None:
    """Compare ImageJ's number of images with those found; pages may be missing between."""
    expected = int((tif.imagej_metadata or {}).get("images", 1)) if tif.is_imagej else 1
    found = 1
    for axis, n in zip(series.axes, series.shape, strict=True):
        found *= n if axis not in "YXS" else 1
    if found < expected:
        raise TruncatedTiffError(f"{found} of {expected} planes")


def _imagej(
    tif: TiffFile,
) -> tuple[dict[str, float], str | None, tuple[str, ...] | None, Note | None]:
    meta: Mapping[str, Any] = tif.imagej_metadata or {}
    tags = tif.pages.first.tags
    unit = unit_name(meta.get("unit"))
    spacing: dict[str, float] = {}
    per_print = unit is None and tags.valueof(_RESOLUTION_UNIT, 1) != 1
    for axis, code in (("X", _X_RESOLUTION), ("Y", _Y_RESOLUTION)):
        numerator, denominator = tags.valueof(code, (0, 1))
        if numerator > 0 and denominator > 0 and not per_print:
            spacing[axis] = denominator / numerator
    step = abs(_number(meta.get("spacing")))
    if step > 0:
        spacing["Z"] = step
    # Without a unit, a resolution of 1 is ImageJ's way of not knowing, and Z then means nothing.
    if unit is None and all(spacing.get(axis, 1.0) == 1.0 for axis in "XY"):
        spacing = {}
    return spacing, unit, None, find_note(meta.get("Info"))


def _ome(
    xml: str,
) -> tuple[dict[str, float], str | None, tuple[str, ...] | None, Note | None]:
    root = ElementTree.fromstring(xml)
    image = root.find("{*}Image")
    pixels = image.find("{*}Pixels") if image is not None else None
    if image is None or pixels is None:
        return {}, None, None, None
    spacing, units = {}, {}
    for axis in "ZYX":
        step = _number(pixels.get(f"PhysicalSize{axis}"))
        # The schema's default unit is the micrometre.
        text = pixels.get(f"PhysicalSize{axis}Unit", "µm")
        unit = unit_name(text)
        if step > 0 and unit is not None:
            spacing[axis], units[axis] = step, unit
    names = tuple(channel.get("Name") or "" for channel in pixels.findall("{*}Channel"))
    note = find_note(image.findtext("{*}Description"))
    return *common_unit(spacing, units), names if all(names) and names else None, note


def _number(value: object) -> float:
    try:
        number = float(str(value))
    except ValueError:
        return 0.0
    return number if abs(number) < float("inf") else 0.0
