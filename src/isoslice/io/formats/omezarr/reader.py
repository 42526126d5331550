"""Reading OME-Zarr 0.1 to 0.5, as a folder or zipped, and plain Zarr arrays."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.volume import DTYPES
from isoslice.errors import DataError, warn
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.omezarr.axes import axis_letter, find_calibration, listed_axes
from isoslice.io.formats.omezarr.contents import inner_path
from isoslice.io.formats.omezarr.display import read_omero, without_defaults
from isoslice.io.formats.omezarr.json_values import as_objects
from isoslice.io.formats.omezarr.metadata import UNFINISHED
from isoslice.io.formats.omezarr.series import (
    ListedImage,
    Node,
    dimension_names,
    find_images,
    number_of,
    read_node,
)
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import MAX_CHUNK, check_shape
from isoslice.io.metadata_json import metadata_from_json
from isoslice.io.notes import KEY, as_note
from isoslice.io.series import choose_series

#: A folder with one of these files is a Zarr group or array.
MARKER_FILES = ("zarr.json", ".zgroup", ".zarray", ".zattrs")
#: Suffixes of archives that hold such a folder.
ZIP_SUFFIXES = (".zarr.zip", ".ozx")
#: More chunks than this, of fewer bytes than that, are refused: each takes time, even if missing.
_MANY_CHUNKS, _TINY_CHUNK_BYTES = 10_000, 8192


def is_zarr(path: Path) -> bool:
    """Whether `path` is a folder with Zarr metadata."""
    return path.is_dir() and any((path / mark).is_file() for mark in MARKER_FILES)


def read_omezarr(path: Path, series: str | None = None) -> Raw:
    """Open the highest resolution of an image in an OME-Zarr folder.

    A scale of exactly 1 without unit on all spatial axes counts as unknown spacing.

    Parameters
    ----------
    path
        A folder with one image or several: series of ``bioformats2raw``, wells of a plate, arrays
        in a group.
    series
        Which of several: a number, a name, or a path in the folder such as ``A/1/0``.

    Raises
    ------
    DataError
        If the folder holds no such image, or its metadata or chunks are damaged, lead out of the
        folder, or need a codec that is not known to be safe.
    """
    from isoslice.io.formats.omezarr.store import ConfinedStore

    if not is_zarr(path):
        raise DataError(
            f"{path}: got a folder without Zarr metadata, expected an OME-Zarr image; give the "
            "folder that holds zarr.json or .zattrs"
        )
    # zarr raises these for damaged metadata.
    with reading(path, "an OME-Zarr image", surprises=(TypeError, RecursionError)):
        return _read(ConfinedStore(path, read_only=True), path, series)


def read_zipped(path: Path, series: str | None = None) -> Raw:
    """Open an image in a zipped OME-Zarr folder, as `read_omezarr` does.

    Raises
    ------
    DataError
        As `read_omezarr`, or if entries lead out of the archive or declare more than they can hold.
    """
    from isoslice.io.formats.omezarr.archive import ZippedStore

    with reading(path, "a zipped OME-Zarr image", surprises=(TypeError, RecursionError)):
        return _read(ZippedStore(path), path, series)


def _read(store: Any, path: Path, requested: str | None) -> Raw:
    root = read_node(store, "")
    if root is None:
        raise ValueError("it has no Zarr metadata")
    if root.attributes.get(KEY) == UNFINISHED:
        raise DataError(
            f"{path}: got an image that is not finished, expected a whole one; go on with what "
            "makes it (isoslice predict --resume), or begin anew"
        )
    images = find_images(store, root)
    if not images:
        kind = "a plate" if "plate" in root.ome else "a group"
        raise DataError(
            f"{path}: got {kind} without images, expected at least one OME-Zarr image or Zarr "
            "array in it; check the path"
        )
    series = tuple(image.series for image in images)
    chosen = 0
    if len(images) > 1 or requested is not None:
        first = next((n for n, image in enumerate(images) if not image.is_labels), 0)
        chosen = choose_series(path, series, number_of(images, requested), first)
    image = images[chosen]
    node = read_node(store, image.path)
    if node is None:
        raise ValueError(f"it has no {image.path}")
    if node.is_array:
        raw = _plain(store, image.path, node, path)
    else:
        raw = _image(store, image, node, path)
    return replace(raw, series=series if len(series) > 1 else (), chosen=chosen)


def _plain(store: Any, array_path: str, node: Node, path: Path) -> Raw:
    array = _array(store, array_path, node, path)
    names = dimension_names(node)
    if len(names) != array.ndim:
        raise ValueError(f"it names {len(names)} of {array.ndim} dimensions")
    return Raw(LazyArray(array), "".join(axis_letter(name) for name in names))


def _image(store: Any, image: ListedImage, node: Node, path: Path) -> Raw:
    multiscales = as_objects(node.ome.get("multiscales"), "list of multiscales")
    if image.entry is None or image.entry >= len(multiscales):
        raise ValueError(f"{image.path} holds no image")
    multiscale = multiscales[image.entry]
    datasets = as_objects(multiscale.get("datasets"), "list of datasets")
    if not datasets:
        raise ValueError("its list of datasets is empty")
    array_path = inner_path(datasets[0].get("path"))
    array_path = f"{image.path}/{array_path}" if image.path else array_path
    stored = read_node(store, array_path)
    if stored is None or not stored.is_array:
        raise ValueError(f"{array_path} is no array")
    array = _array(store, array_path, stored, path)
    listed = listed_axes(multiscale)
    axes = "".join(axis_letter(axis) for axis in listed)
    if len(axes) != array.ndim:
        raise DataError(
            f"{path}: got metadata with {len(axes)} axes for an array of {array.ndim} "
            "dimensions, expected them to agree; export it again"
        )
    spacing, unit, metadata = find_calibration(axes, listed, datasets[0], multiscale)
    names, displays = read_omero(node.ome.get("omero", node.attributes.get("omero")))
    note = as_note(node.attributes.get(KEY))
    if note is not None:
        displays = without_defaults(displays, metadata_from_json(note["metadata"]).displays)
    data = LazyArray(array)
    if image.is_labels and data.dtype.name in DTYPES:
        warn(
            f"{path}: holds labels, not intensities, and what lies between two labels is none of "
            "them; give the image that they belong to, or go on if it is one"
        )
    metadata = replace(metadata, displays=displays)
    return Raw(data, axes, spacing, unit, names, note, metadata, labels=image.is_labels)


def _array(store: Any, array_path: str, node: Node, path: Path) -> Any:
    """Open an array whose metadata are checked, to be read by bounded decoders."""
    import zarr

    from isoslice.io.formats.omezarr.codecs import bounded

    with warnings.catch_warnings():
        # About who wrote the file: codecs outside the specification, an empty list of filters.
        warnings.simplefilter("ignore", UserWarning)
        array: Any = zarr.open_array(
            store=store, path=array_path, mode="r", zarr_format=3 if node.version == 3 else 2
        )
        check_shape(path, array.shape)
        array = bounded(array, MAX_CHUNK)
    number = math.prod(-(-n // m) for n, m in zip(array.shape, array.chunks, strict=True))
    size = math.prod(array.chunks) * np.dtype(array.dtype).itemsize
    if number > _MANY_CHUNKS and size < _TINY_CHUNK_BYTES:
        raise ValueError(f"it has {number} chunks of {size} bytes; write it with larger chunks")
    store.prepare(array, array_path)
    return array
