"""The header of an MRC file, parsed and checked (MRC2014, with IMOD's extensions)."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from isoslice.data.volume import voxel_type_message
from isoslice.errors import DataError
from isoslice.io.limits import MAX_JSON, MAX_SIDE

HEADER_BYTES = 1024
#: Voxel types by MRC's mode. Mode 0 is signed in MRC2014; see `_is_unsigned`.
_MODES = {0: "i1", 1: "i2", 2: "f4", 6: "u2", 12: "f2"}
_COMPLEX = {3: "complex int16", 4: "complex64"}
#: IMOD's stamp, and its flags: signed bytes; origin with the sign of the standard; two 4-bit values
#: in a byte.
_IMOD_STAMP, _SIGNED, _STANDARD_ORIGIN, _PACKED = 1146047817, 1, 4, 16
_IMOD_STAMP_OFFSET, _IMOD_FLAGS_OFFSET = 152, 156


@dataclass(frozen=True)
class MrcHeader:
    """A parsed MRC header.

    Attributes
    ----------
    shape
        Sections, rows and columns.
    axes
        Axes of these, a permutation of ZYX.
    dtype
        Of the voxels, with their byte order.
    offset
        Offset of the voxels in bytes.
    spacing
        In ångström by axis, where known.
    origin
        Position of the first voxel in ångström, where known.
    volumes
        Number of volumes in a stack of volumes, else 1.
    is_skewed
        Whether the cell's axes are not perpendicular.
    extended
        Length of the extended header in bytes.
    """

    shape: tuple[int, int, int]
    axes: str
    dtype: np.dtype[Any]
    offset: int
    spacing: dict[str, float]
    origin: dict[str, float]
    volumes: int
    is_skewed: bool
    extended: int


def parse_header(head: bytes, path: Path) -> MrcHeader:
    """Parse a header of 1024 bytes.

    Raises
    ------
    ValueError
        If it is no valid MRC header.
    DataError
        If the voxel type is not supported.
    """
    from mrcfile.dtypes import HEADER_DTYPE

    if len(head) < HEADER_BYTES:
        raise ValueError(f"it has {len(head)} bytes, expected a header of {HEADER_BYTES}")
    order = _byte_order(head)
    header = np.frombuffer(head, HEADER_DTYPE.newbyteorder(order), 1)[0]
    shape = int(header["nz"]), int(header["ny"]), int(header["nx"])
    if not all(0 < n < MAX_SIDE for n in shape):
        raise ValueError(f"its header says {shape} sections, rows and columns")
    extended = int(header["nsymbt"])
    if not 0 <= extended <= MAX_JSON * 64:
        raise ValueError(f"its extended header has {extended} bytes")
    axes = _axes(header)
    image_stack = int(header["ispg"]) == 0 and int(header["mz"]) == 1 and shape[0] > 1
    spacing = _spacing(header)
    if image_stack:  # the cell is one section thick
        spacing.pop("Z", None)
    volumes = 1
    mz = int(header["mz"])
    if int(header["ispg"]) in range(401, 631) and 0 < mz < shape[0] and shape[0] % mz == 0:
        volumes = shape[0] // mz
    angles = [float(header["cellb"][name]) for name in ("alpha", "beta", "gamma")]
    flags = _imod_flags(head, order)
    return MrcHeader(
        shape,
        axes,
        _voxel_type(header, flags, path).newbyteorder(order),
        HEADER_BYTES + extended,
        spacing,
        _origin(header, axes, spacing, flags),
        volumes,
        any(math.isfinite(a) and a != 0 and abs(a - 90) > 0.01 for a in angles),
        extended,
    )


def _byte_order(head: bytes) -> Literal["<", ">"]:
    """Return ``<`` or ``>``, by the machine stamp or, in old files, by a valid mode."""
    stamp = head[212:214]
    if stamp in (b"\x44\x44", b"\x44\x41"):
        return "<"
    if stamp == b"\x11\x11":
        return ">"
    known = {*_MODES, *_COMPLEX, 16, 101}
    orders: tuple[Literal["<", ">"], ...] = ("<", ">")
    for order in orders:
        mode = int(np.frombuffer(head, order + "i4", 1, 12)[0])
        sides = np.frombuffer(head, order + "i4", 3)
        if mode in known and all(0 < n < 2**20 for n in sides):
            return order
    raise ValueError("no MRC header")


def _imod_flags(head: bytes, order: str) -> int | None:
    """Return IMOD's flags, or None where IMOD did not write the file."""
    stamp = int(np.frombuffer(head, order + "i4", 1, _IMOD_STAMP_OFFSET)[0])
    flags = int(np.frombuffer(head, order + "i4", 1, _IMOD_FLAGS_OFFSET)[0])
    return flags if stamp == _IMOD_STAMP else None


def _voxel_type(header: Any, flags: int | None, path: Path) -> np.dtype[Any]:
    mode = int(header["mode"])
    if mode in _COMPLEX:
        raise DataError(voxel_type_message(str(path), _COMPLEX[mode]))
    if mode == 101 or (mode == 0 and flags is not None and flags & _PACKED):
        raise DataError(
            f"{path}: got 4-bit voxels, two in a byte, expected one a voxel; unpack them, for "
            "example with IMOD: newstack -mode 1"
        )
    if mode not in _MODES:
        raise ValueError(f"its voxels have the mode {mode}, expected {', '.join(map(str, _MODES))}")
    if mode == 0 and _is_unsigned(header, flags):
        return np.dtype("u1")
    return np.dtype(_MODES[mode])


def _is_unsigned(header: Any, flags: int | None) -> bool:
    """Whether bytes (mode 0) are unsigned, as written by older programs."""
    if flags is not None:
        return not flags & _SIGNED
    # Intensities beyond the range of signed bytes.
    return bool(header["dmin"] >= 0 and 127 < header["dmax"] <= 255)


def _axes(header: Any) -> str:
    """Return the axes of sections, rows and columns."""
    stored = [int(header[name]) for name in ("maps", "mapr", "mapc")]
    if not any(stored):  # some programs leave them empty
        return "ZYX"
    if sorted(stored) != [1, 2, 3]:
        raise ValueError(f"its header says axes {stored}, expected 1, 2 and 3 in any order")
    return "".join("XYZ"[axis - 1] for axis in stored)


def _spacing(header: Any) -> dict[str, float]:
    steps = {}
    for axis in "zyx":
        length, samples = float(header["cella"][axis]), int(header[f"m{axis}"])
        if math.isfinite(length) and length > 0 and samples > 0:
            steps[axis.upper()] = _shortest_decimal(length / samples)
    # IMOD and others write 1 for unknown spacing.
    return {} if set(steps.values()) == {1.0} else steps


def _origin(
    header: Any, axes: str, spacing: dict[str, float], flags: int | None
) -> dict[str, float]:
    """Return the position of the first voxel: the origin, else the start of the sub-volume."""
    origin = {axis: _shortest_decimal(header["origin"][axis.lower()]) for axis in "ZYX"}
    if any(origin.values()) and all(map(math.isfinite, origin.values())):
        inverted = flags is not None and not flags & _STANDARD_ORIGIN
        return {axis: -v + 0.0 if inverted else v for axis, v in origin.items() if axis in spacing}
    names = ("nzstart", "nystart", "nxstart")  # of sections, rows and columns
    starts = {axis: int(header[name]) for axis, name in zip(axes, names, strict=True)}
    if any(starts.values()):
        return {axis: starts[axis] * step for axis, step in spacing.items()}
    return {}


def _shortest_decimal(length: float) -> float:
    """Return the shortest decimal of a float32: 0.83, not 0.8299999833."""
    return float(str(np.float32(length)))
