"""NumPy arrays, with a small JSON file beside them for the metadata that .npy cannot hold."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import AXES, Volume
from isoslice.errors import DataError
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import check_packed, check_shape, parse_json, read_small
from isoslice.io.notes import as_note, make_note
from isoslice.io.parts import write_parts

#: struct code of the header's length, by version of the format.
_HEADER_LENGTH_CODES = {(1, 0): "<H", (2, 0): "<I", (3, 0): "<I"}
_MAX_HEADER_BYTES = 10_000


def sidecar(path: Path) -> Path:
    """Return the JSON file that belongs to `path`: ``NAME.npy.json``."""
    return path.with_name(path.name + ".json")


def read_npy(path: Path, series: str | None = None) -> Raw:
    """Read an array (never a pickle) and the JSON file beside it, if there is one.

    Raises
    ------
    DataError
        If the file is damaged or holds Python objects, or the JSON file describes another array.
    """
    with reading(path, "a plain .npy array", "save it again with numpy.save"):
        data = LazyArray(_mapped(path))
    beside = sidecar(path)
    if not beside.exists():
        return Raw(data, "Q" * data.ndim)
    try:
        content = parse_json(read_small(beside).decode("utf-8"))
        note = as_note(content)
    except (OSError, ValueError):
        content, note = {}, None
    if note is None or content.get("shape") != list(data.shape):
        raise DataError(
            f"{beside}: got a description that does not fit {path.name} (shape "
            f"{' x '.join(map(str, data.shape))}), expected the one written with it; delete it, "
            f"and give the axes, for example with --axes {AXES[-data.ndim :]}"
        )
    return Raw(data, note["axes"], note["spacing"], note["unit"], None, note)


def _mapped(path: Path) -> NDArray[Any]:
    """Memory-map the array after checking its header."""
    with path.open("rb") as stream:
        version = np.lib.format.read_magic(stream)
        if version not in _HEADER_LENGTH_CODES:
            raise ValueError(f"it has the version {version}")
        code = _HEADER_LENGTH_CODES[version]
        length = struct.unpack(code, stream.read(struct.calcsize(code)))[0]
        if length > _MAX_HEADER_BYTES:
            raise ValueError(f"its header has {length} bytes, expected up to {_MAX_HEADER_BYTES}")
    stored = np.lib.format.open_memmap(path, mode="r", max_header_size=_MAX_HEADER_BYTES)
    check_shape(path, stored.shape)
    check_packed(path, math.prod(stored.shape) * stored.dtype.itemsize, path.stat().st_size)
    return stored


def write_npy(path: Path, beside: Path, volume: Volume) -> None:
    """Write the array to `path` and its description to `beside`."""
    data: Any = volume.data
    header = {
        "descr": np.lib.format.dtype_to_descr(data.dtype),
        "fortran_order": False,
        "shape": data.shape,
    }
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        write_parts(stream, data, path.parent)
    content = {"shape": list(volume.data.shape), **make_note(volume)}
    beside.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
