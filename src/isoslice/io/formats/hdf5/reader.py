"""Reading HDF5 through h5py (an extra): ilastik, PlantSeg, BigDataViewer, Imaris and others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from isoslice.data.volume import AXES, DTYPES
from isoslice.errors import DataError, warn
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.hdf5.integrity import (
    Stored,
    image_type,
    member,
    numbers,
    open_hdf5,
    text,
    walk,
)
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import MAX_DIMENSIONS, parse_json
from isoslice.io.series import Series, choose_series

#: First bytes of an HDF5 file, or of its part after a user block.
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_NOT_IMAGES = re.compile(r"label|mask|segm|predict|probab|bound", re.IGNORECASE)


def read_hdf5(path: Path, series: str | None = None) -> Raw:
    """Read an image of an HDF5 file, or of BigDataViewer's XML file beside one.

    Axes and sizes come from Imaris' and BigDataViewer's metadata, ``axistags`` (ilastik) and
    ``element_size_um`` (PlantSeg, ImageJ: Z, Y, X). Of several data sets, the first is taken whose
    name and type are not those of labels.

    Raises
    ------
    DataError
        If h5py is not installed, the file is damaged, or it holds no image.
    """
    if path.name.lower().endswith(".xml"):
        from isoslice.io.formats.hdf5.bdv import read_bdv_xml

        return read_bdv_xml(path, series)
    with reading(path, "an HDF5 file"):
        _check_signature(path)
        file = open_hdf5(path)
        if member(file, "DataSet/ResolutionLevel 0") is not None:
            from isoslice.io.formats.hdf5.imaris import read_imaris

            return read_imaris(path, file)
        from isoslice.io.formats.hdf5.bdv import is_bdv, read_bdv

        if is_bdv(file):
            return read_bdv(path, file, series)
        return _read_plain(path, file, series)


def _check_signature(path: Path) -> None:
    with path.open("rb") as stream:
        head = stream.read(2048 + 8)
    if any(head[at : at + 8] == _SIGNATURE for at in (0, 512, 1024, 2048)):
        return
    if path.name.lower().endswith(".mat"):
        raise DataError(
            f"{path}: got a MATLAB file of an older version, expected one that is HDF5; save it in "
            "MATLAB with -v7.3, or write the array as TIFF"
        )
    raise ValueError("no HDF5 signature at its beginning")


def _read_plain(path: Path, file: Any, series: str | None) -> Raw:
    datasets: list[tuple[str, Any]] = []
    for name, dataset in walk(file):
        if image_type(dataset) is not None and 2 <= dataset.ndim <= MAX_DIMENSIONS:
            datasets.append((name, dataset))
    if not datasets:
        raise DataError(
            f"{path}: got an HDF5 file without an array of numbers of two or more dimensions, "
            "expected an image; external files and links are not followed"
        )
    listed = tuple(_series(name, dataset) for name, dataset in datasets)
    chosen = choose_series(path, listed, series, _default(listed))
    dataset = datasets[chosen][1]
    axes, spacing, unit = _described(dataset)
    if "Q" in axes and text(dataset, "MATLAB_class") is not None:
        warn(
            f"{path}: MATLAB stores dimensions in reverse: an array (row, column, plane) is "
            "(plane, column, row) here, which is --axes ZXY"
        )
    data = LazyArray(Stored(dataset, path))
    return Raw(data, axes, spacing, unit, series=listed, chosen=chosen)


def _series(name: str, dataset: Any) -> Series:
    axes = _described(dataset)[0].replace("Q", "?")
    shape = tuple(int(n) for n in dataset.shape)
    return Series(name, axes, shape, str(image_type(dataset)))


def _default(listed: tuple[Series, ...]) -> int:
    """Return the index of the first likely image: no labels, stacks before 2D images."""
    likely = [
        i
        for i, s in enumerate(listed)
        if s.dtype in DTYPES and not _NOT_IMAGES.search(s.name or "")
    ]
    stacks = [i for i in likely if len(listed[i].shape) > 2]
    return next(iter([*stacks, *likely, 0]))


def _described(dataset: Any) -> tuple[str, dict[str, float], str | None]:
    """Return axes (Q where unknown), spacing and its unit."""
    axes, spacing = _axistags(dataset)
    sizes = numbers(dataset, "element_size_um")
    if sizes is not None and len(sizes) == 3 and all(size > 0 for size in sizes):
        if dataset.ndim == 3 and "Q" in axes:
            axes = "ZYX"
        return axes, dict(zip("ZYX", sizes, strict=True)), "micrometer"
    return axes, spacing, None


def _axistags(dataset: Any) -> tuple[str, dict[str, float]]:
    """Return axes and spacing from the attribute ``axistags`` of ilastik (vigra)."""
    unknown = "Q" * dataset.ndim, dict[str, float]()
    content = text(dataset, "axistags")
    if content is None:
        return unknown
    try:
        tags = parse_json(content)
    except ValueError:
        return unknown
    listed = tags.get("axes") if isinstance(tags, dict) else None
    if not isinstance(listed, list) or len(listed) != dataset.ndim:
        return unknown
    axes, spacing = "", {}
    for tag in listed:
        key = str(tag.get("key", "")).upper() if isinstance(tag, dict) else ""
        axes += key if len(key) == 1 and key in AXES else "Q"
        step = tag.get("resolution") if isinstance(tag, dict) else None
        # Unknown resolutions are stored as 0 or 1.
        if (
            key in ("Z", "Y", "X")
            and isinstance(step, int | float)
            and 0 < step < 1e12
            and step != 1
        ):
            spacing[key] = float(step)
    return axes, spacing
