"""Reading one image of any format."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.output_spacing import unknown_voxel_size
from isoslice.data.volume import Volume, VoxelSize, parse_voxel_size
from isoslice.errors import DataError
from isoslice.io.decode_errors import explained
from isoslice.io.decoded import Raw, to_volume
from isoslice.io.formats.by_suffix import FileReader, read_by, reader_by_suffix
from isoslice.io.formats.dicom.folders import folders_below, lacks_preamble
from isoslice.io.formats.dicom.header import is_dicom_folder
from isoslice.io.formats.omezarr.reader import is_zarr, read_omezarr
from isoslice.io.formats.planes.reader import find_planes, is_pattern, read_planes
from isoslice.io.formats.refused import check_not_refused
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import check_memory
from isoslice.io.options import Positions, ReadOptions, given_positions
from isoslice.runtime.paths import at_home
from isoslice.runtime.text import as_typed

#: As many names of a folder are compared with one that is not there.
_NAMES = 5000


def read_volume(
    path: str | Path,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    *,
    unit: str | None = None,
    series: str | int | None = None,
    channel: str | int | None = None,
    time: str | int | None = None,
    positions: Positions | None = None,
) -> Volume:
    """Read an image with its axes and spacing.

    docs/reference/formats.md lists the formats. Of several images in a file, the first is read by
    default (of DICOM, the series of most planes), with a warning; of a pyramid, the finest level.

    Parameters
    ----------
    path
        File, OME-Zarr folder, or folder or quoted pattern of planes (``"plane_*.tif"``).
    axes
        One letter of TCZYX per stored dimension; replaces the file's axes.
    voxel_size
        Spacing along Z, Y and X; replaces the file's.
    unit
        Of `voxel_size`; by default the file's, micrometres where it has none.
    series
        Which image of several: a number from 0 or a name.
    channel, time
        Which channels (``"1"``, ``"DAPI"``, ``"0,2"``) and time points (``"3"``, ``"2:5"``).
    positions
        Of the planes along Z, rising, in the unit of the voxel size; replace the file's.
        ``"even"`` takes planes as evenly spaced whatever the file says.

    Returns
    -------
    Volume
        Voxels as stored; spacing only where it is known.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged, of an unknown format or larger than free memory, or
        an axis is unknown.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import isoslice
    >>> stack = isoslice.Volume(np.ones((3, 8, 8), np.uint8), "ZYX", {"Z": 4.0, "Y": 1.0, "X": 1.0})
    >>> with TemporaryDirectory() as folder:
    ...     isoslice.write_volume(Path(folder, "stack.ome.tif"), stack)
    ...     same = isoslice.read_volume(Path(folder, "stack.ome.tif"))
    >>> same.axes, same.voxel_size
    ('ZYX', VoxelSize(z=4.0, y=1.0, x=1.0))
    """
    return in_memory(
        open_volume(
            path,
            axes,
            voxel_size,
            unit=unit,
            series=series,
            channel=channel,
            time=time,
            positions=positions,
        )
    )


def in_memory(volume: Volume) -> Volume:
    """Read all voxels of an opened volume into memory.

    Raises
    ------
    DataError
        If its file can no longer be read, or it is larger than free memory.
    """
    path = Path(volume.source)
    with explained(path):
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
    positions: Positions | None = None,
) -> Volume:
    """Open an image as `read_volume` does, with voxels that are read where they are indexed.

    docs/reference/formats.md says which formats are read at once instead. ``data`` takes integers
    and slices as indices, and ``tczyx()`` works.
    """
    texts = [None if t is None else str(t) for t in (series, channel, time)]
    size = None if voxel_size is None else parse_voxel_size(voxel_size)
    options = ReadOptions(
        axes=axes,
        voxel_size=size,
        unit=unit,
        series=texts[0],
        channel=texts[1],
        time=texts[2],
        positions=given_positions(positions),
    )
    return open_with(at_home(Path(path)), options)


def open_with(path: Path, options: ReadOptions) -> Volume:
    """Open an image; see `open_volume`."""
    volume = to_volume(read_raw(path, options.series), path, options)
    if isinstance(volume.data, LazyArray):
        return replace(volume, data=LazyArray(_Checked(volume.data, path)))
    return volume


def read_raw(path: Path, series: str | None = None) -> Raw:
    """Read an image as its format describes it; axes may be unknown.

    Parameters
    ----------
    path
        File or folder.
    series
        Which image of several, by number or name; by default the first, of DICOM the largest.

    Raises
    ------
    DataError
        If the file is missing, empty, damaged or of an unknown format.
    """
    reader = _reader(path)
    if path.is_dir() or is_pattern(path):
        with explained(path):
            return reader(path, series)
    return read_by(reader, path, series)


class _Checked:
    """Voxels on disk; errors when they are read later become `DataError`s."""

    def __init__(self, stored: LazyArray, path: Path) -> None:
        self._stored, self._path = stored, path
        self.shape, self.dtype, self.chunks = stored.shape, stored.dtype, stored.chunks

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part."""
        with explained(self._path):
            return self._stored[index]


def require_voxel_size(volume: Volume) -> VoxelSize:
    """Return the spacing along Z, Y and X.

    Raises
    ------
    DataError
        If any of the three is unknown: a spacing is never guessed.
    """
    size = volume.voxel_size
    if size is None:
        raise unknown_voxel_size(volume)
    return size


def _reader(path: Path) -> FileReader:
    if is_pattern(path):
        return read_planes
    if path.is_dir():
        return _folder_reader(path)
    if not path.exists():
        raise DataError(_not_there(path))
    reader = reader_by_suffix(path)
    check_not_refused(path)
    if reader is None:
        raise DataError(
            f"{path}: got a file of an unknown format, expected .tif, .ome.tif, .companion.ome, "
            ".lsm, .ome.zarr, .zarr.zip, .nii, .nii.gz, .nrrd, .mha, .dcm, .mgz, .mrc, .map, .rec, "
            ".h5, .ims, .npy, .czi, .nd2, .lif, .png, .jpg or .bmp, or a folder or pattern of "
            "planes; convert it first"
        )
    return reader


def _not_there(path: Path) -> str:
    """Say where a file was looked for, and which one there has nearly its name."""
    where = "" if path.is_absolute() else f" in {Path.cwd()}"
    near = []
    with suppress(OSError):
        names = [entry.name for entry in islice(path.parent.iterdir(), _NAMES)]
        near = [name for name in names if Path(name).stem == path.name]  # hidden by file managers
        alike = {name.lower(): name for name in names}
        near = near or [alike[n] for n in get_close_matches(path.name.lower(), alike, 1, 0.8)]
    advice = "check the path"
    if near:
        advice = f"did you mean {as_typed(path.with_name(near[0]))}?"
    elif where:
        advice = "give its whole path, or go to its folder with cd first"
    return f"{path}: no such file{where}, expected an image; {advice}"


def _folder_reader(path: Path) -> FileReader:
    if is_zarr(path) or ".zarr" in path.suffixes:
        return read_omezarr
    if is_dicom_folder(path):
        from isoslice.io.formats.dicom.reader import read_dicom

        return read_dicom
    if find_planes(path):
        return read_planes
    if below := folders_below(path):
        raise DataError(
            f"{path}: got a folder of folders that hold DICOM files, expected the one of a series; "
            f"give one of {below}"
        )
    if lacks_preamble(path):
        raise DataError(
            f"{path}: got files that begin like DICOM without its preamble, expected DICM at byte "
            "128; convert them with dcm2niix and give the .nii.gz"
        )
    raise DataError(
        f"{path}: got a folder without an image, expected an OME-Zarr image (with zarr.json or "
        ".zattrs), DICOM files or planes (TIFF, PNG, JPEG, BMP); give the folder that holds them"
    )
