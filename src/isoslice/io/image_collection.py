"""Reading many images for training: files, folders and patterns."""

from __future__ import annotations

import glob
from collections.abc import Sequence
from pathlib import Path

from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import DataError
from isoslice.io.formats.by_suffix import is_readable
from isoslice.io.formats.dicom.header import is_dicom
from isoslice.io.formats.omezarr.reader import is_zarr
from isoslice.io.reading import read_volume
from isoslice.runtime.paths import at_home


def read_images(
    inputs: Sequence[str | Path],
    axes: str | None = None,
    voxel_size: VoxelSize | None = None,
    *,
    unit: str | None = None,
    series: str | int | None = None,
    channel: str | int | None = None,
    time: str | int | None = None,
) -> list[Volume]:
    """Read all images that `inputs` name.

    Parameters
    ----------
    inputs
        Files, OME-Zarr folders, folders of images (not their subfolders; unknown formats and
        hidden files are skipped), or patterns such as ``"slices/*.tif"``. DICOM planes are read as
        the series that they belong to.
    axes, voxel_size, unit, series, channel, time
        As in `read_volume`, for every image.

    Returns
    -------
    list of Volume
        In the order of `inputs`, sorted by name within each; every file once.

    Raises
    ------
    DataError
        If an input names no image, an image cannot be read, or images differ in their number of
        channels.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import isoslice
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("a.tif", "b.tif"):
    ...         image = isoslice.Volume(np.ones((40, 40), np.uint8), "YX")
    ...         isoslice.write_volume(Path(folder, name), image)
    ...     images = isoslice.read_images([folder])
    >>> [image.data.shape for image in images]
    [(40, 40), (40, 40)]
    """
    volumes = [
        read_volume(path, axes, voxel_size, unit=unit, series=series, channel=channel, time=time)
        for path in find_all_images(inputs)
    ]
    first = volumes[0]
    for volume in volumes[1:]:
        if volume.size("C") != first.size("C"):
            raise DataError(
                f"{volume.source}: got {volume.size('C')} channel(s), expected "
                f"{first.size('C')} as in {first.source}; train on images of one kind"
            )
    return volumes


def find_all_images(inputs: Sequence[str | Path]) -> list[Path]:
    """Return the images that `inputs` name, in their order, every file once.

    Raises
    ------
    DataError
        If there are none, or one input names none.
    """
    paths: dict[Path, None] = {}
    for entry in [inputs] if isinstance(inputs, str | Path) else inputs:
        paths.update(dict.fromkeys(find_images(entry)))
    if not paths:
        raise DataError("got no input, expected images, folders or patterns; name at least one")
    return list(paths)


def find_images(entry: str | Path) -> list[Path]:
    """Return the images that one input names, sorted.

    Raises
    ------
    DataError
        If there are none.
    """
    entry = at_home(str(entry))
    path = Path(entry)
    if path.is_dir() and not is_zarr(path):
        images = sorted(inner for inner in path.iterdir() if is_readable(inner))
        if not images:
            raise DataError(
                f"{path}: got a folder without readable images, expected TIFF, OME-Zarr, NIfTI, "
                ".npy, PNG or JPEG files in it; subfolders are not searched"
            )
        return _series(images)
    if path.exists() or not glob.has_magic(str(entry)):
        return [path]
    # Path.glob refuses absolute patterns.
    matches = [Path(m) for m in sorted(glob.glob(str(entry), recursive=True))]  # noqa: PTH207
    images = [match for match in matches if is_readable(match)]
    if not images:
        problem = "only files of unknown formats" if matches else "no file"
        raise DataError(
            f"{entry}: matches {problem}, expected images; check the pattern and quote it"
        )
    return _series(images)


def _series(paths: Sequence[Path]) -> list[Path]:
    """Replace DICOM planes by their folder, since they are read together."""
    return list(dict.fromkeys(path.parent if is_dicom(path) else path for path in paths))
