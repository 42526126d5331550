"""Safe access to HDF5: no other files, known compression, chunks that fit in memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError
from isoslice.io.extras import require
from isoslice.io.formats.hdf5.heaps import check_heaps
from isoslice.io.limits import DEFLATE_RATIO, MAX_CHUNK, MAX_JSON, check_packed, check_shape

#: Most groups and data sets in a file, and most nested groups.
MAX_OBJECTS, MAX_DEPTH = 10_000, 16
#: Filters of the HDF5 library: gzip, shuffle, Fletcher's checksum, szip; and h5py's LZF.
_BUILT_IN_FILTERS = (1, 2, 3, 4, 32000)
#: Fletcher's filter, and the bytes of its checksum at the end of a chunk.
_FLETCHER, _CHECKSUM_BYTES = 3, 4
#: Size in bytes from which a chunk is compared with the file's.
_LARGE_CHUNK = 2**26


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn h5py's errors about damaged files into ValueErrors."""
    try:
        yield
    except (TypeError, AttributeError, RuntimeError, KeyError, UnicodeError, SystemError) as error:
        raise ValueError(str(error) or type(error).__name__) from error


def open_hdf5(path: Path) -> Any:
    """Open an HDF5 file for reading.

    Raises
    ------
    DataError
        If h5py is not installed.
    """
    h5py = require("h5py", "h5py", "an HDF5 file", path=path)
    with plain_errors():
        # Without locks, which some network drives lack: the file is only read.
        return h5py.File(path, "r", locking=False)


def member(group: Any, path: str) -> Any | None:
    """Return the object in a group at a path such as ``a/b``, or None; links are not followed."""
    import h5py

    with plain_errors():
        for part in path.split("/"):
            if not isinstance(group, h5py.Group) or part not in group:
                return None
            if not isinstance(group.get(part, getlink=True), h5py.HardLink):
                return None
            group = group[part]
        return group


def names(group: Any) -> list[str]:
    """Return the first `MAX_OBJECTS` names in a group, without undecodable ones."""
    with plain_errors():
        listed = [name for name, _ in zip(group, range(MAX_OBJECTS), strict=False)]
    return [name for name in listed if isinstance(name, str)]


def walk(file: Any) -> Iterator[tuple[str, Any]]:
    """Yield paths and data sets of a file, in the order of their names.

    Raises
    ------
    ValueError
        If there are more than `MAX_OBJECTS` groups and data sets.
    """
    import h5py

    seen: set[int] = set()
    waiting: list[tuple[str, Any, int]] = [("", file, 0)]
    while waiting:
        group_path, group, depth = waiting.pop()
        with plain_errors():
            address = int(h5py.h5o.get_info(group.id).addr)
            if address in seen or depth > MAX_DEPTH:
                continue
            seen.add(address)
            inner = []
            for name in names(group):
                child = member(group, name)
                child_path = f"{group_path}/{name}" if group_path else name
                if isinstance(child, h5py.Dataset):
                    yield child_path, child
                elif isinstance(child, h5py.Group):
                    inner.append((child_path, child, depth + 1))
                seen.add(-len(seen) - 1)  # counts this object
                if len(seen) > MAX_OBJECTS:
                    raise ValueError(f"it holds more than {MAX_OBJECTS} groups and data sets")
        waiting += reversed(inner)


def attribute(owner: Any, name: str) -> Any | None:
    """Return an attribute's numbers or text, or None where there is neither.

    Attributes of other types are not read: the library crashes over damaged sequences of variable
    length (``H5T_VLEN``), which is what damage makes of a text.
    """
    import h5py

    with plain_errors():
        if name not in owner.attrs:
            return None
        handle = owner.attrs.get_id(name)
        if handle.get_type().get_class() not in (
            h5py.h5t.INTEGER,
            h5py.h5t.FLOAT,
            h5py.h5t.STRING,
        ):
            return None
        if handle.get_space().get_simple_extent_npoints() == 0:  # it has no size to ask for
            return None
        if handle.dtype.kind == "O":
            check_heaps(Path(owner.file.filename))
        size = handle.get_storage_size()
        if size > MAX_JSON:
            raise ValueError(f"its attribute {name} has {size} bytes, expected up to {MAX_JSON}")
        return owner.attrs[name]


def text(owner: Any, name: str) -> str | None:
    """Return an attribute as text, or None; Imaris stores one character per element."""
    value = attribute(owner, name)
    if isinstance(value, np.ndarray) and value.dtype.kind == "S":
        value = b"".join(value.ravel().tolist())
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return value.rstrip("\0") if isinstance(value, str) else None


def numbers(owner: Any, name: str) -> list[float] | None:
    """Return an attribute as a list of up to 64 finite numbers, or None for anything else."""
    value = attribute(owner, name)
    if value is None:
        return None
    values = np.asarray(value)
    if values.dtype.kind not in "iuf" or values.size > 64 or not np.isfinite(values).all():
        return None
    return [float(number) for number in values.ravel()]


def image_type(dataset: Any) -> np.dtype[Any] | None:
    """Return the type of a data set's numbers, or None if it holds none."""
    try:
        with plain_errors():
            kind = np.dtype(dataset.dtype)
    except ValueError:
        return None
    return kind if kind.kind in "biufc" else None


class Stored:
    """Voxels of one data set, read when indexed; see `LazyArray`.

    Parameters
    ----------
    dataset
        As opened by `h5py`; keeps the file open.
    path
        The file, for messages.
    shape
        Shape of the image, which may be smaller than the data set; by default all of it.
    dtype
        Replaces the file's type, of the same size.

    Raises
    ------
    DataError
        If the voxels lie in other files, or need a library that is not installed.
    ValueError
        If the file holds fewer voxels than declared, or chunks are too large.
    """

    def __init__(
        self,
        dataset: Any,
        path: Path,
        shape: tuple[int, ...] | None = None,
        dtype: str | None = None,
    ) -> None:
        kind = image_type(dataset)
        if kind is None:
            raise ValueError(f"its data set {_name(dataset)} holds no numbers")
        with plain_errors():
            whole = tuple(int(n) for n in dataset.shape or ())
            check_shape(path, whole)
            _check_layout(dataset, path, math.prod(whole) * kind.itemsize, kind.itemsize)
            chunks = dataset.chunks
        self._dataset, self._view = dataset, dtype
        self.shape = whole if shape is None else shape
        if len(self.shape) != len(whole) or any(
            not 0 < n <= m for n, m in zip(self.shape, whole, strict=True)
        ):
            raise ValueError(f"its data set has shape {whole}, expected at least {self.shape}")
        self.dtype = kind if dtype is None else np.dtype(dtype)
        self.chunks: tuple[int, ...] | None = None
        if chunks is not None:
            self.chunks = tuple(min(n, m) for n, m in zip(chunks, self.shape, strict=True))

    def __getitem__(self, index: Any) -> NDArray[Any]:
        """Read a part."""
        with plain_errors():
            part = np.asarray(self._dataset[index])
        return part if self._view is None else part.view(self._view)


def _check_layout(dataset: Any, path: Path, declared: int, itemsize: int) -> None:
    import h5py

    plist, codes = dataset.id.get_create_plist(), []
    if dataset.is_virtual or plist.get_external_count() > 0:
        raise DataError(
            f"{path}: got a data set {_name(dataset)} whose voxels lie in other files, expected "
            "them in this one; copy it by h5repack or h5copy"
        )
    for number in range(plist.get_nfilters()):
        code, _, _, name = plist.get_filter(number)
        codes.append(code)
        if code not in _BUILT_IN_FILTERS and not h5py.h5z.filter_avail(code):
            label = bytes(name).decode("ascii", "replace").strip("\0") or str(code)
            require("hdf5plugin", "hdf5plugin", f"HDF5 compressed by {label[:40]!r}", path=path)
            if not h5py.h5z.filter_avail(code):
                raise DataError(
                    f"{path}: got HDF5 compressed by {label[:40]!r}, which hdf5plugin does not "
                    "know either, expected gzip; repack it: h5repack -f GZIP=4"
                )
    stored = int(dataset.id.get_storage_size())
    if dataset.chunks is not None:
        size = math.prod(dataset.chunks) * itemsize
        if size > MAX_CHUNK:
            raise ValueError(f"its chunks have {size} bytes, expected up to {MAX_CHUNK}")
        if _FLETCHER in codes and dataset.id.chunk_iter(_too_short) is not None:
            raise ValueError("a chunk is too short for its checksum")
        if size > _LARGE_CHUNK:
            check_packed(path, size, path.stat().st_size, DEFLATE_RATIO)
    elif declared > stored:
        check_packed(path, declared, stored)


def _too_short(chunk: Any) -> bool | None:
    """Return True, which ends the iteration, for a chunk that the library would read beyond."""
    return True if chunk.size < _CHECKSUM_BYTES else None


def _name(dataset: Any) -> str:
    return repr(str(dataset.name))[:100]
