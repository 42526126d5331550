"""Reading one image, whatever its format."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError
from isoslice.io.failure import reading
from isoslice.io.lazy import LazyArray
from isoslice.io.limits import check_memory, check_regular
from isoslice.io.omezarr import is_zarr, read_omezarr
from isoslice.io.raw import Raw, finish
from isoslice.volume import Volume, VoxelSize


def read_volume(
    path: str | Path, axes: str | None = None, voxel_size: VoxelSize | None = None
) -> Volume:
    """Read an image with its axes and spacing.

    TIFF (plain, ImageJ, OME), OME-Zarr, NIfTI, ``.npy``, CZI, ND2, LIF, PNG, JPEG and BMP. Of a
    file with several images, the first is read; of a pyramid, the finest level.

    Parameters
    ----------
    path
        File, or OME-Zarr folder.
    axes
        One letter of TCZYX per stored dimension; renames what the file says.
    voxel_size
        Spacing along Z, Y and X in micrometres; replaces what the file says.

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
    return in_memory(open_volume(path, axes, voxel_size))


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
    path: str | Path, axes: str | None = None, voxel_size: VoxelSize | None = None
) -> Volume:
    """Open an image as `read_volume` does, with voxels that are read where they are indexed.

    That is so of OME-Zarr, ``.npy`` and uncompressed TIFF; other formats are read at once. Integers
    and slices index ``data``, and ``tczyx()`` works.
    """
    path = Path(path)
    return finish(read_raw(path), path, axes, voxel_size)


def read_raw(path: Path) -> Raw:
    """Read an image as its format describes it, with axes that may still be unknown.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or of an unknown format.
    """
    reader = _reader(path)
    with _explained(path):
        if not path.is_dir() and check_regular(path) == 0:
            raise DataError(f"{path}: got an empty file, expected an image; copy it again")
        return reader(path)


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
            "Z, Y and X; give it with --voxel-size Z,Y,X, in micrometres"
        )
    return size


def is_readable(path: Path) -> bool:
    """Whether `path` is a visible file or folder of a format that `read_volume` knows."""
    if path.name.startswith("."):
        return False
    return is_zarr(path) if path.is_dir() else _by_suffix(path) is not None


def _reader(path: Path) -> Callable[[Path], Raw]:
    if path.is_dir():
        return read_omezarr
    if not path.exists():
        raise DataError(f"{path}: no such file, expected an image; check the path")
    reader = _by_suffix(path)
    if reader is None:
        raise DataError(
            f"{path}: got a file of an unknown format, expected .tif, .ome.tif, .ome.zarr, "
            ".nii, .nii.gz, .npy, .czi, .nd2, .lif, .png, .jpg or .bmp; convert it first"
        )
    return reader


def _by_suffix(path: Path) -> Callable[[Path], Raw] | None:
    """Return the reader for a file's name; each imports its library on first use."""
    name = path.name.lower()
    if name.endswith((".tif", ".tiff")):
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
    if name.endswith((".czi", ".nd2", ".lif")):
        from isoslice.io.vendor import read_vendor

        return read_vendor
    return None
