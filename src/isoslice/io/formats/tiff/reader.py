"""Reading TIFF: plain, ImageJ, LSM and OME, in one file or several."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from isoslice.io.decode_errors import quiet, reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.tiff.codecs import explain_codec
from isoslice.io.formats.tiff.imagej import as_signed, read_imagej
from isoslice.io.formats.tiff.integrity import TruncatedTiffError, check_chain, check_strips
from isoslice.io.formats.tiff.limits import UNUSED_KINDS
from isoslice.io.formats.tiff.lsm import read_lsm
from isoslice.io.formats.tiff.noted import with_noted
from isoslice.io.formats.tiff.ome_reader import OpenedOme, read_ome
from isoslice.io.formats.tiff.ome_xml import COMPANION, companion, own_xml
from isoslice.io.formats.tiff.pages import series_voxels
from isoslice.io.notes import noted_axes
from isoslice.io.series import Series, choose_series

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

_Result = TypeVar("_Result")
#: tifffile's axes of positions or tiles in an LSM file: each is an image.
_POSITION_AXES = "PM"


def read_tiff(path: Path, series: str | None = None) -> Raw:
    """Read an image of a TIFF file.

    Axes and spacing come from OME-XML, ImageJ's or Zeiss' metadata. The resolution of a plain TIFF
    is that for printing (72 dots per inch and the like), never a voxel size.

    Parameters
    ----------
    path
        TIFF file; for an OME-TIFF of several files, any of them or their companion file.
    series
        Which image of several, by number or name.

    Raises
    ------
    DataError
        If the file is no TIFF, is damaged or cut off, belongs to others that are missing, or its
        compression is not supported.
    """
    import tifffile

    with reading(path, "a TIFF"), quiet("tifffile"):
        if path.name.lower().endswith(COMPANION):
            raw = read_ome(OpenedOme(path, companion(path), None), series)
            if raw is None:
                raise ValueError("it names no TIFF files")
            return raw
        with path.open("rb") as stream:
            check_chain(stream, path.stat().st_size)
        with tifffile.TiffFile(path, **UNUSED_KINDS) as tif:
            source = own_xml(tif, path)
            if source is not None:
                raw = _explained(tif, path, lambda: read_ome(OpenedOme(path, source, tif), series))
                if raw is not None:
                    return raw
        # Without OME-XML, or without images in it; tifffile then ignores it.
        with tifffile.TiffFile(path, is_ome=False, **UNUSED_KINDS) as tif:
            return _explained(tif, path, lambda: _read_series(tif, path, series))


def _explained(tif: TiffFile, path: Path, read: Callable[[], _Result]) -> _Result:
    try:
        return read()
    except (ValueError, ImportError) as error:
        explain_codec(tif.pages.first, path, error)
        raise


def _read_series(tif: TiffFile, path: Path, requested: str | None) -> Raw:
    if not tif.series:
        raise TruncatedTiffError("it holds no image")
    images = _images(tif.series)
    for image in images:
        _check_planes(image, len(tif.pages))
    listed: tuple[Series, ...] = ()
    chosen = 0
    parts = [(one, part) for one in images for part in range(_positions(one))]
    if len(parts) > 1 or requested is not None:
        listed = tuple(_listed(one, part) for one, part in parts)
        chosen = choose_series(path, listed, requested)
    series, part = parts[chosen]
    check_strips(series)
    if tif.is_imagej and series.kind in ("uniform", "generic"):
        # tifffile ignores ImageJ's description if it declares more than the file holds.
        raise TruncatedTiffError("it is shorter than ImageJ's description says")
    _check_images(tif, series)
    data, axes = series_voxels(series, path)
    data, axes = _position(data, axes, part)
    raw = Raw(data, axes, series=listed, chosen=chosen)
    if series.kind == "lsm":
        lsm = read_lsm(tif)
        return replace(
            raw,
            spacing=lsm.spacing,
            unit="micrometer",
            channel_names=lsm.channel_names,
            metadata=lsm.metadata,
        )
    return _with_imagej(raw, tif) if tif.is_imagej else raw


def _with_imagej(raw: Raw, tif: TiffFile) -> Raw:
    imagej = read_imagej(tif)
    data, axes, note = raw.data, raw.axes, imagej.note
    if imagej.signed and data.dtype.name == "uint16":
        data = as_signed(data)
    if note is not None and "S" not in axes and set(axes) <= set("TCZYX"):
        # TIFF loses axes of length 1, which the note has.
        shape, axes = noted_axes(data.shape, axes, note["axes"])
        data = data.reshape(shape)
        # ImageJ has one order of axes; the note has the original one.
        order = note.get("order")
        if isinstance(order, str) and sorted(order) == sorted(axes):
            data = data.transpose([axes.index(axis) for axis in order])
            axes, note = order, {**note, "axes": order}
    return replace(
        raw,
        data=data,
        axes=axes,
        spacing=imagej.spacing,
        unit=imagej.unit,
        channel_names=imagej.channel_names,
        note=note,
        metadata=with_noted(imagej.metadata, note),
    )


def _images(series: Sequence[TiffPageSeries]) -> list[TiffPageSeries]:
    """Return the series that are images, not thumbnails of others."""
    kinds = ("generic", "lsm")
    images = [s for s in series if not (s.kind in kinds and s.keyframe.is_reduced)]
    return images or list(series)


def _check_planes(series: TiffPageSeries, pages: int) -> None:
    """Refuse an LSM file that declares more planes than it has pages."""
    planes = math.prod(series.shape) // max(1, math.prod(series.keyframe.shape))
    if series.kind == "lsm" and planes > pages:
        raise TruncatedTiffError(f"it declares {planes} planes, and has {pages}")


def _positions(series: TiffPageSeries) -> int:
    pairs = zip(series.axes, series.shape, strict=True)
    return math.prod(n for axis, n in pairs if series.kind == "lsm" and axis in _POSITION_AXES)


def _listed(series: TiffPageSeries, part: int) -> Series:
    kept = [
        i
        for i, n in enumerate(series.shape)
        if (n > 1 or series.axes[i] in "YX")
        and not (series.kind == "lsm" and series.axes[i] in _POSITION_AXES)
    ]
    name = series.name or None
    if _positions(series) > 1:
        name = f"{series.name or 'position'} {part}"
    axes = "".join(series.axes[i] for i in kept)
    return Series(name, axes, tuple(int(series.shape[i]) for i in kept), str(series.dtype))


def _position(data: Any, axes: str, part: int) -> tuple[Any, str]:
    """Select one of several positions; axes of length 1 were dropped before."""
    dimensions = [i for i, axis in enumerate(axes) if axis in _POSITION_AXES]
    if not dimensions or dimensions != list(range(len(dimensions))):
        return data, axes
    number = math.prod(data.shape[i] for i in dimensions)
    if number <= part:
        return data, axes
    return data.reshape(number, *data.shape[len(dimensions) :])[part], axes[len(dimensions) :]


def _check_images(tif: TiffFile, series: TiffPageSeries) -> None:
    """Check that no pages are missing, by ImageJ's number of images."""
    expected = int((tif.imagej_metadata or {}).get("images", 1)) if tif.is_imagej else 1
    pairs = zip(series.axes, series.shape, strict=True)
    planes = math.prod(n for axis, n in pairs if axis not in "YXS")
    if planes < expected:
        raise TruncatedTiffError(f"{planes} of {expected} planes")
