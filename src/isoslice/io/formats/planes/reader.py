"""Stacks with one file per plane: a folder, or a pattern such as ``plane_*.tif``."""

from __future__ import annotations

import glob
import itertools
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, warn
from isoslice.io.decode_errors import quiet, reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.by_suffix import is_readable, read_by, reader_by_suffix
from isoslice.io.formats.planes.names import PlaneFiles, arrange, format_numbers, skeleton
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import check_regular

#: Suffixes of files of planes.
SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".bmp")
_TIFF = (".tif", ".tiff")


def is_pattern(path: Path) -> bool:
    """Whether `path` is a pattern, and not the name of a file."""
    return glob.has_magic(str(path)) and not path.exists()


def find_planes(path: Path) -> list[Path]:
    """Return the files of planes in a folder or of a pattern, sorted by name.

    Hidden files and other formats are left out; of several formats, the most frequent is taken.
    """
    return _choose_files(path)[0]


def read_planes(path: Path, series: str | None = None) -> Raw:
    """Read a folder or pattern of 2D images (TIFF, PNG, JPEG, BMP) as one image, plane by plane.

    `names.arrange` finds the axes that numbers in the names count. Spacing and channel names are
    those of the first plane.

    Raises
    ------
    DataError
        If there are no planes, their order is unclear, one differs in size or type, or one file
        holds several.
    """
    files, skipped = _choose_files(path)
    if not files:
        raise DataError(_no_planes(path))
    if len(files) == 1:
        _warn_of_skipped(path, files, skipped)
        return _read_file(files[0], series)
    planes = arrange(files, path)
    first = _plane(planes.files[0])
    _check_alike(planes)
    if "S" in first.axes and "C" in planes.axes:
        raise DataError(
            f"{path}: got colour images with channels numbered in their names, expected grey ones; "
            "save the channels as grey images, or give a pattern of one channel"
        )
    _warn_of_skipped(path, files, skipped)
    _warn_of_gaps(path, planes)
    voxels = LazyArray(_PlanePerFile(planes, first))
    spacing = dict(first.spacing)
    if "Z" not in planes.axes or planes.step("Z") != 1 or planes.missing():
        spacing.pop("Z", None)
    return replace(
        first, data=voxels, axes=planes.axes + first.axes, spacing=spacing, note=None, series=()
    )


class _PlanePerFile:
    """Voxels of planes in files, read when indexed; see `LazyArray`."""

    def __init__(self, planes: PlaneFiles, first: Raw) -> None:
        self._planes = planes
        self._plane = first.data.shape
        self.shape: tuple[int, ...] = (*planes.shape, *self._plane)
        self.dtype = first.data.dtype
        self.chunks = (*(1 for _ in planes.shape), *self._plane)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        """Read a part, given by an integer or a slice of step 1 for each dimension."""
        counted = len(self._planes.shape)
        outer, inner = index[:counted], index[counted:]
        ranges = [
            range(n)[part] if isinstance(part, slice) else [part]
            for n, part in zip(self._planes.shape, outer, strict=True)
        ]
        shape = [len(r) for r, part in zip(ranges, outer, strict=True) if isinstance(part, slice)]
        parts = [self._read(place)[inner] for place in itertools.product(*ranges)]
        if not parts:
            empty = np.empty(self._plane, self.dtype)[inner]
            return np.empty((*shape, *empty.shape), self.dtype)
        return np.stack(parts).reshape(*shape, *parts[0].shape)

    def _read(self, index: tuple[int, ...]) -> NDArray[Any]:
        file = self._planes.files[int(np.ravel_multi_index(index, self._planes.shape))]
        voxels = _plane(file).data
        if voxels.shape != self._plane or voxels.dtype != self.dtype:
            raise _odd_plane(file, voxels.shape, voxels.dtype.name, self._plane, self.dtype.name)
        return voxels  # type: ignore[return-value]


def _read_file(file: Path, series: str | None = None) -> Raw:
    reader = reader_by_suffix(file)
    if reader is None:
        raise DataError(f"{file}: no such file, expected an image; put it back")
    return read_by(reader, file, series)


def _plane(file: Path) -> Raw:
    """Read the plane of a file; raises `DataError` if it holds more than one."""
    raw = _read_file(file)
    if raw.axes not in ("YX", "YXS", "SYX"):
        raise DataError(
            f"{file}: got {' x '.join(map(str, raw.data.shape))} voxels (axes {raw.axes}), "
            "expected a single plane, as in a folder or pattern of planes; give this file itself"
        )
    return raw


def _check_alike(planes: PlaneFiles) -> None:
    """Check by all headers, without reading pixels, that planes have the same shape and type."""
    kinds = Counter(described := [_shape_and_type(file) for file in planes.files])
    if len(kinds) == 1:
        return
    usual = kinds.most_common(1)[0][0]
    number = next(i for i, kind in enumerate(described) if kind != usual)
    odd = described[number]
    raise _odd_plane(planes.files[number], odd[0], odd[1], usual[0], usual[1])


def _odd_plane(
    file: Path, shape: tuple[int, ...], dtype: str, usual: tuple[int, ...], expected: str
) -> DataError:
    sizes = [" x ".join(map(str, numbers)) for numbers in (shape, usual)]
    return DataError(
        f"{file}: got a plane of {sizes[0]} pixels ({dtype}), expected {sizes[1]} ({expected}) as "
        "in the others; take it out, or save it as they are"
    )


def _shape_and_type(file: Path) -> tuple[tuple[int, ...], str]:
    """Return shape and type of a plane, from its header."""
    size = check_regular(file)
    if size == 0:
        raise DataError(f"{file}: got an empty file, expected an image; copy it again")
    with reading(file, "an image"):
        if file.suffix.lower() in _TIFF:
            return _tiff_shape_and_type(file, size)
        from PIL import Image

        with Image.open(file, formats=("PNG", "JPEG", "BMP")) as image:
            width, height = image.size
            return (height, width), image.mode


def _tiff_shape_and_type(file: Path, size: int) -> tuple[tuple[int, ...], str]:
    import tifffile

    from isoslice.io.formats.tiff.integrity import check_chain
    from isoslice.io.formats.tiff.limits import UNUSED_KINDS

    with quiet("tifffile"), file.open("rb") as stream:
        check_chain(stream, size)
        with tifffile.TiffFile(file, **UNUSED_KINDS) as tif:
            page: Any = tif.pages.first
            reduced = [getattr(other, "is_reduced", False) for other in tif.pages]
            pages = len(reduced) - sum(reduced)
            if pages > 1 or math.prod(page.shape) == 0 or page.dtype is None:
                raise DataError(
                    f"{file}: got {pages} pages, expected a single plane, as in a folder or "
                    "pattern of planes; give this file itself"
                )
            return tuple(page.shape), str(page.dtype.name)


def _choose_files(path: Path) -> tuple[list[Path], list[Path]]:
    """Return the files of planes, and other images that are skipped."""
    if path.is_dir():
        entries = sorted(path.iterdir())
    else:
        # Path.glob refuses absolute patterns.
        entries = [Path(name) for name in sorted(glob.glob(str(path)))]  # noqa: PTH207
    images = [e for e in entries if not e.name.startswith(".") and is_readable(e)]
    planes = [image for image in images if image.suffix.lower() in SUFFIXES and image.is_file()]
    kinds = Counter(skeleton(plane)[-1] for plane in planes)
    if len(kinds) > 1:
        (most, count), (other, second) = kinds.most_common(2)
        if count == second:
            raise DataError(
                f"{path}: got {count} {most} and {second} {other} files, expected planes of one "
                f'format; give a pattern, for example "{path / ("*" + most)}"'
            )
        planes = [plane for plane in planes if skeleton(plane)[-1] == most]
    taken = set(planes)
    return planes, [image for image in images if image not in taken]


def _no_planes(path: Path) -> str:
    if path.is_dir():
        return (
            f"{path}: got a folder that is no OME-Zarr and holds no planes, expected one of "
            "either; planes are TIFF, PNG, JPEG or BMP files, and subfolders are not searched"
        )
    return (
        f"{path}: matches no TIFF, PNG, JPEG or BMP file, expected planes; check the pattern and "
        "quote it"
    )


def _warn_of_skipped(path: Path, files: list[Path], skipped: list[Path]) -> None:
    if skipped:
        names = ", ".join(entry.name for entry in skipped[:3]) + (" …" if len(skipped) > 3 else "")
        warn(
            f"{path}: took {len(files)} {files[0].suffix} file(s), left out {len(skipped)} other "
            f"image(s): {names}"
        )


def _warn_of_gaps(path: Path, planes: PlaneFiles) -> None:
    missing = planes.missing()
    if missing:
        one = len(missing) == 1
        warn(
            f"{path}: plane{'' if one else 's'} {format_numbers(missing)} "
            f"{'is' if one else 'are'} missing; the planes around are taken as neighbours, so "
            "that the stack is too short there: add what is missing (a black image will do, which "
            "is restored from the planes around), or restore both sides apart"
        )
