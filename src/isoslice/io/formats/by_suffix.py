"""Choice of a reader by a file's name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from isoslice.errors import DataError
from isoslice.io.decode_errors import explained
from isoslice.io.decoded import Raw
from isoslice.io.formats.dicom.header import DICOM_SUFFIXES, is_dicom, is_dicom_folder, may_be_dicom
from isoslice.io.formats.mrc.reader import is_mrc
from isoslice.io.formats.omezarr.reader import ZIP_SUFFIXES, is_zarr, read_zipped
from isoslice.io.limits import check_regular

#: Reads an image of a file; of several, the one given by number or name.
FileReader: TypeAlias = Callable[[Path, str | None], Raw]


def is_readable(path: Path) -> bool:
    """Whether `path` is a visible file or folder of a format that `read_volume` knows."""
    # Most files of these suffixes are no images.
    if path.name.startswith(".") or path.suffix.lower() in (".xml", ".mat"):
        return False
    if path.is_dir():
        return is_zarr(path) or is_dicom_folder(path)
    return reader_by_suffix(path) is not None


def reader_by_suffix(path: Path) -> FileReader | None:
    """Return the reader for a file's name; each imports its library on first use."""
    name = path.name.lower()
    if name.endswith(ZIP_SUFFIXES):
        return read_zipped
    if name.endswith((".tif", ".tiff", ".lsm", ".companion.ome")):
        from isoslice.io.formats.tiff.reader import read_tiff

        return read_tiff
    if name.endswith((".nii", ".nii.gz")):
        from isoslice.io.formats.nifti.reader import read_nifti

        return read_nifti
    if name.endswith(".npy"):
        from isoslice.io.formats.npy import read_npy

        return read_npy
    if name.endswith((".png", ".jpg", ".jpeg", ".bmp")):
        from isoslice.io.formats.raster import read_picture

        return read_picture
    if name.endswith((".nrrd", ".nhdr")):
        from isoslice.io.formats.itk.nrrd import read_nrrd

        return read_nrrd
    if name.endswith((".mha", ".mhd")):
        from isoslice.io.formats.itk.metaimage import read_metaimage

        return read_metaimage
    if is_mrc(name):
        from isoslice.io.formats.mrc.reader import read_mrc

        return read_mrc
    if name.endswith((".h5", ".hdf5", ".ims", ".mat", ".xml")):
        from isoslice.io.formats.hdf5.reader import read_hdf5

        return read_hdf5
    if name.endswith(DICOM_SUFFIXES) or (may_be_dicom(path) and is_dicom(path)):
        from isoslice.io.formats.dicom.reader import read_dicom

        return read_dicom
    if name.endswith((".hdr", ".img", ".img.gz", ".mgh", ".mgz")):
        from isoslice.io.formats.nifti.neuro import read_neuro

        return read_neuro
    if name.endswith((".czi", ".nd2", ".lif")):
        from isoslice.io.formats.bioio import read_vendor

        return read_vendor
    return None


def read_by(reader: FileReader, file: Path, series: str | None = None) -> Raw:
    """Read a file, which must be a regular one and not empty.

    Raises
    ------
    DataError
        If it is empty, damaged, or larger than free memory.
    """
    with explained(file):
        if check_regular(file) == 0:
            raise DataError(f"{file}: got an empty file, expected an image; copy it again")
        return reader(file, series)
