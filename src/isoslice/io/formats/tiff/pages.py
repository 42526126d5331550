"""Voxels of pages: read when indexed if they are stored uncompressed, else at once."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.io.formats.tiff.codecs import NONE
from isoslice.io.formats.tiff.integrity import TruncatedTiffError, check_page, page_layout
from isoslice.io.formats.tiff.limits import check_sizes
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import check_memory, check_shape

if TYPE_CHECKING:
    from tifffile import TiffFile, TiffPageSeries

#: Pages that are decompressed in parallel.
_THREADS = 8


def series_voxels(series: TiffPageSeries, path: Path) -> tuple[Any, str]:
    """Return the voxels of a tifffile series, and their axes.

    Axes of length 1 other than Y and X are dropped. Contiguous uncompressed voxels are read when
    indexed.
    """
    data = _mapped(series, path)
    shape, axes = series.shape, series.axes
    if data.size != math.prod(shape):
        raise TruncatedTiffError(f"got shape {data.shape}, expected {shape}")
    kept = [i for i, n in enumerate(shape) if n > 1 or axes[i] in "YX"]
    return data.reshape([shape[i] for i in kept]), "".join(axes[i] for i in kept)


def _mapped(series: TiffPageSeries, path: Path) -> Any:
    page = series.keyframe
    if series.dataoffset is None or not page.is_final or series.dtype is None:
        check_sizes([p for p in series.pages if p], series.shape, np.dtype(series.dtype), path)
        return series.asarray()
    check_shape(path, series.shape)
    file = page.parent
    dtype = np.dtype(series.dtype).newbyteorder(file.byteorder)
    start = int(series.dataoffset or 0)
    return LazyArray(
        np.memmap(file.filehandle.path, dtype, "r", start, tuple(int(n) for n in series.shape))
    )


class PlaneReader:
    """Collector of planes from pages of several files into one array.

    Parameters
    ----------
    shape
        Number of planes along each of the image's axes before the pages' own.
    path
        The opened file, for messages.
    """

    def __init__(self, shape: Sequence[int], path: Path) -> None:
        self._shape, self._planes, self._path = tuple(shape), math.prod(shape), path
        self._voxels: NDArray[Any] | None = None
        self._stored = StoredPlanes(self._shape)
        self._layout: tuple[tuple[int, ...], np.dtype[Any], str] | None = None

    def add(self, tif: TiffFile, numbers: Sequence[int], pages: Sequence[int]) -> None:
        """Add planes of these `numbers`, stored in these `pages` of an open file.

        Raises
        ------
        ValueError
            If a page is missing, damaged, or unlike the others.
        """
        checked = []
        for number, page in zip(numbers, _pages(tif, pages), strict=True):
            missing = f"plane {number + 1} of {self._planes} is missing"
            if page is None:
                raise TruncatedTiffError(missing)
            check_page(page, f"part of {missing}")
            self._check_alike(page.keyframe)
            checked.append(page)
        if self._voxels is not None or not self._stored.add(tif, numbers, checked):
            self._read(numbers, checked)

    @property
    def page(self) -> tuple[tuple[int, ...], str]:
        """Shape and axes of each page: YX, YXS or SYX."""
        assert self._layout is not None
        return self._layout[0], self._layout[2]

    def voxels(self) -> Any:
        """Return all planes, of shape (*shape, *page)."""
        if self._voxels is None:
            return LazyArray(self._stored)
        return self._voxels.reshape((*self._shape, *self._voxels.shape[1:]))

    def _check_alike(self, page: Any) -> None:
        if page.dtype is None or 0 in page.shape:
            raise ValueError("a plane has voxels of a type that is not known")
        if not all(isinstance(n, int) for n in page.shape):
            raise ValueError(f"a plane has the shape {page.shape}, expected numbers")
        layout = tuple(int(n) for n in page.shape), np.dtype(page.dtype), str(page.axes)
        self._layout = known = self._layout or layout
        if layout != known:
            raise ValueError(
                f"its planes differ: {layout[0]} of {layout[1]}, and {known[0]} of {known[1]}"
            )

    def _read(self, numbers: Sequence[int], pages: Sequence[Any]) -> None:
        assert self._layout is not None
        shape, dtype, _ = self._layout
        alike: dict[int, list[Any]] = {}
        for page in pages:
            alike.setdefault(id(page.keyframe), []).append(page)
        for group in alike.values():
            check_sizes(group, (len(group), *shape), dtype, self._path)
        if self._voxels is None:
            check_memory(self._path, (self._planes, *shape), dtype)
            self._voxels = np.zeros((self._planes, *shape), dtype)
            self._stored.copy_to(self._voxels)
        voxels = self._voxels
        pages[0].parent.filehandle.set_lock(True)

        def decode(number: int, page: Any) -> None:
            voxels[number] = page.asarray(maxworkers=1)

        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(decode, numbers, pages))


def _pages(tif: TiffFile, numbers: Sequence[int]) -> Iterator[Any]:
    """Yield pages by number, None for a missing one.

    Of pages with the layout of the first one, only the offsets of their strips are read.
    """
    count = len(tif.pages)
    if numbers[0] >= count:
        yield None
        return
    tif.pages.useframes = False
    first: Any = tif.pages[numbers[0]]
    layout = page_layout(tif.filehandle, first.offset)
    tif.pages.set_keyframe(numbers[0])
    yield first
    for number in numbers[1:]:
        if number >= count:
            yield None
            return
        tif.pages.useframes = layout is not None
        page: Any = tif.pages[number]
        if page.is_frame and page_layout(tif.filehandle, page.offset) != layout:
            tif.pages.useframes = False
            page = tif.pages[number]
        yield page


def _is_contiguous(page: Any) -> bool:
    """Whether the voxels of a page are stored uncompressed and contiguously."""
    key = page.keyframe
    if not key.is_final or key.compression != NONE or key.is_tiled:
        return False
    ends = np.cumsum([page.dataoffsets[0], *page.databytecounts])
    complete = int(ends[-1] - ends[0]) == int(key.nbytes)
    return complete and list(page.dataoffsets) == ends[:-1].tolist()


class StoredPlanes:
    """Planes stored contiguously in files, read when indexed; see `LazyArray`.

    Parameters
    ----------
    shape
        Number of planes along each axis; the shape of a page is appended.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        self._leading = len(shape)
        self.shape: tuple[int, ...] = tuple(shape)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._files: list[Path] = []
        self._places = np.full((*shape, 2), -1, np.int64)  # index of the file, offset in it

    def add(self, tif: TiffFile, numbers: Sequence[int], pages: Sequence[Any]) -> bool:
        """Add planes of a file; returns False if they are not stored contiguously."""
        dtype = np.dtype(pages[0].dtype).newbyteorder(tif.byteorder)
        if self._files and dtype != self.dtype:
            return False
        if not all(map(_is_contiguous, pages)):
            return False
        places = self._places.reshape(-1, 2)
        places[list(numbers), 0] = len(self._files)
        places[list(numbers), 1] = [p.dataoffsets[0] for p in pages]
        self.dtype, self.shape = dtype, (*self.shape[: self._leading], *pages[0].shape)
        self._files.append(Path(tif.filehandle.path))
        return True

    def copy_to(self, voxels: NDArray[Any]) -> None:
        """Copy the planes added so far to an array of shape (planes, *page)."""
        for number, place in enumerate(self._places.reshape(-1, 2).tolist()):
            if place[0] >= 0:
                voxels[number] = self._plane(place)

    def __getitem__(self, index: tuple[Any, ...]) -> NDArray[Any]:
        """Read a part, given by an integer or a slice of step 1 for each dimension."""
        chosen, inside = self._places[index[: self._leading]], index[self._leading :]
        places = chosen.reshape(-1, 2).tolist()
        if not places:
            page = np.empty(self.shape[self._leading :], self.dtype)
            return np.empty((*chosen.shape[:-1], *page[inside].shape), self.dtype)
        size = math.prod(self.shape[self._leading :]) * self.dtype.itemsize
        file, start = places[0]
        if places == [[file, start + i * size] for i in range(len(places))]:  # adjacent: one read
            shape = (len(places), *self.shape[self._leading :])
            block = np.memmap(self._files[file], self.dtype, "r", start, shape)
            voxels = np.asarray(block[(slice(None), *inside)])
        else:
            voxels = np.stack([self._plane(place)[inside] for place in places])
        return voxels.reshape((*chosen.shape[:-1], *voxels.shape[1:]))

    def _plane(self, place: Sequence[int]) -> NDArray[Any]:
        file, offset = place
        return np.memmap(self._files[file], self.dtype, "r", offset, self.shape[self._leading :])
