"""Reading one image, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError
from isoslice.io.dicom_header import DICOM_SUFFIXES, is_dicom, is_dicom_folder, may_be_dicom
from isoslice.io.failure import reading
from isoslice.io.lazy import LazyArray
from isoslice.io.limits import check_memory, check_regular
from isoslice.io.mrc import is_mrc
from isoslice.io.omezarr import ZIPPED, is_zarr, read_omezarr, read_zipped
from isoslice.io.options import ReadOptions
from isoslice.io.plane_files import find_planes, is_pattern, read_planes
from isoslice.io.raw import Raw, finish
from isoslice.io.refused import check_not_refused
from isoslice.volume import Volume, VoxelSize, parse_voxel_size

#: Reads a file, and of several images the one that is asked for by number or name.
Reader: TypeAlias = Callable[[Path, str | None], Raw]


def read_volume(
    path: str | Path,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    *,
    unit: str | None = None,
    series: str | int | None = None,
    channel: str | int | None = None,
    time: str | int | None = None,
) -> Volume:
    """Read an image with its axes and spacing.

    docs/formats.md lists the formats. Of a file with several images, the first is read unless
    another is asked for, and that is told; of a pyramid, the finest level.

    Parameters
    ----------
    path
        File, OME-Zarr folder, or folder or quoted pattern of planes (``"plane_*.tif"``).
    axes
        One letter of TCZYX per stored dimension; renames what the file says.
    voxel_size
        Spacing along Z, Y and X; replaces what the file says.
    unit
        Of `voxel_size`; by default the file's, micrometres where it has none.
    series
        Which image of several: a number from 0, or a name.
    channel, time
        Which channels (``"1"``, ``"DAPI"``, ``"0,2"``) and time points (``"3"``, ``"2:5"``).

    Returns
    -------
    Volume
        Voxels as stored; spacing only where it is known.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged, of an unknown format or larger than the memory, or
        an axis is unknown.
    """
    return in_memory(
        open_volume(path, axes, voxel_size, unit=unit, series=series, channel=channel, time=time)
    )


def in_memory(volume: Volume) -> Volume:
    """Read all of an opened volume.

    Raises
    ------
    DataError
        If it cannot be read (any more), or is larger than the memory.
    """
    path = Path(volume.source)
    with _explained(path):
        if isinstance(volume.data, LazyArray):
            check_memory(path, volume.data.shape, volume.data.dtype)
        return replace(volume, data=np.asarray(volume.data))


def open_volume(
    path: str | Path,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    *,
    unit: str | None = None,
    series: str | int | None = None,
    channel: str | int | None = None,
    time: str | int | None = None,
) -> Volume:
    """Open an image as `read_volume` does, with voxels that are read where they are indexed.

    That is so of OME-Zarr, ``.npy`` and uncompressed TIFF; other formats are read at once. Integers
    and slices index ``data``, and ``tczyx()`` works.
    """
    texts = [None if t is None else str(t) for t in (series, channel, time)]
    size = None if voxel_size is None else parse_voxel_size(voxel_size)
    return open_with(
        Path(path),
        ReadOptions(
            axes=axes, voxel_size=size, unit=unit, series=texts[0], channel=texts[1], time=texts[2]
        ),
    )


def open_with(path: Path, options: ReadOptions) -> Volume:
    """Open an image; see `open_volume`."""
    return finish(read_raw(path, options.series), path, options)


def read_raw(path: Path, series: str | None = None) -> Raw:
    """Read an image as its format describes it, with axes that may still be unknown.

    Parameters
    ----------
    path
        File or folder.
    series
        Which image of several, by number or name; the first by default.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or of an unknown format.
    """
    reader = _reader(path)
    with _explained(path):
        whole = path.is_dir() or is_pattern(path)
        if not whole and check_regular(path) == 0:
            raise DataError(f"{path}: got an empty file, expected an image; copy it again")
        return reader(path, series)


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        with reading(path, "an image"):
            yield
    except MemoryError as error:
        raise DataError(
            f"{path}: got an image that does not fit in memory, or a damaged file; crop the image"
        ) from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"{path}: cannot be opened ({reason}), expected a readable image; check the path and "
            "its permissions"
        ) from error


def read_part(volume: Volume, index: tuple[int | slice, ...]) -> NDArray[Any]:
    """Read a part of an opened volume, by an index of (T, C, Z, Y, X).

    Raises
    ------
    DataError
        If it cannot be read (any more).
    """
    with _explained(Path(volume.source)):
        return np.asarray(volume.tczyx()[index])


def require_voxel_size(volume: Volume) -> VoxelSize:
    """Return the spacing along Z, Y and X.

    Raises
    ------
    DataError
        If any of the three is unknown: a spacing is never guessed.
    """
    size = volume.voxel_size
    if size is None:
        missing = " and ".join(axis for axis in "ZYX" if axis not in volume.spacing)
        raise DataError(
            f"{volume.source}: no voxel size along {missing} in its metadata, expected one along "
            "Z, Y and X; give it, for example with --voxel-size 4.0,0.83,0.83um"
        )
    return size


def is_readable(path: Path) -> bool:
    """Whether `path` is a visible file or folder of a format that `read_volume` knows."""
    # Files of these names mostly belong to something else.
    if path.name.startswith(".") or path.suffix.lower() in (".xml", ".mat"):
        return False
    if path.is_dir():
        return is_zarr(path) or is_dicom_folder(path)
    return _by_suffix(path) is not None


def _reader(path: Path) -> Reader:
    if is_pattern(path):
        return read_planes
    if path.is_dir():
        if not is_zarr(path) and is_dicom_folder(path):
            from isoslice.io.dicom import read_dicom

            return read_dicom
        return read_planes if not is_zarr(path) and find_planes(path) else read_omezarr
    if not path.exists():
        raise DataError(f"{path}: no such file, expected an image; check the path")
    reader = _by_suffix(path)
    check_not_refused(path)
    if reader is None:
        raise DataError(
            f"{path}: got a file of an unknown format, expected .tif, .ome.tif, .companion.ome, "
            ".lsm, .ome.zarr, .zarr.zip, .nii, .nii.gz, .nrrd, .mha, .dcm, .mgz, .mrc, .map, .rec, "
            ".h5, .ims, .npy, .czi, .nd2, .lif, .png, .jpg or .bmp, or a folder or pattern of "
            "planes; convert it first"
        )
    return reader


def _by_suffix(path: Path) -> Reader | None:
    """Return the reader for a file's name; each imports its library on first use."""
    name = path.name.lower()
    if name.endswith(ZIPPED):
        return read_zipped
    if name.endswith((".tif", ".tiff", ".lsm", ".companion.ome")):
        from isoslice.io.tiff import read_tiff

        return read_tiff
    if name.endswith((".nii", ".nii.gz")):
        from isoslice.io.nifti import read_nifti

        return read_nifti
    if name.endswith(".npy"):
        from isoslice.io.npy import read_npy

        return read_npy
    if name.endswith((".png", ".jpg", ".jpeg", ".bmp")):
        from isoslice.io.picture import read_picture

        return read_picture
    if name.endswith((".nrrd", ".nhdr")):
        from isoslice.io.nrrd import read_nrrd

        return read_nrrd
    if name.endswith((".mha", ".mhd")):
        from isoslice.io.metaimage import read_metaimage

        return read_metaimage
    if is_mrc(name):
        from isoslice.io.mrc import read_mrc

        return read_mrc
    if name.endswith((".h5", ".hdf5", ".ims", ".mat", ".xml")):
        from isoslice.io.hdf5 import read_hdf5

        return read_hdf5
    if name.endswith(DICOM_SUFFIXES) or (may_be_dicom(path) and is_dicom(path)):
        from isoslice.io.dicom import read_dicom

        return read_dicom
    if name.endswith((".hdr", ".img", ".img.gz", ".mgh", ".mgz")):
        from isoslice.io.neuro import read_neuro

        return read_neuro
    if name.endswith((".czi", ".nd2", ".lif")):
        from isoslice.io.vendor import read_vendor

        return read_vendor
    return None
