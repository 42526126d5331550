"""Writing MRC volumes, their header through mrcfile (an extra)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.units import METRES, convert
from isoslice.data.volume import Volume
from isoslice.errors import OutputError
from isoslice.io.extras import require
from isoslice.io.formats.mrc.header import HEADER_BYTES
from isoslice.io.notes import make_note, note_text
from isoslice.io.parts import planes

#: Type and MRC's mode in which each voxel type is written; uint8 is widened, since mode 0 is
#: ambiguous.
_WRITTEN = {"int8": ("i1", 0), "uint8": ("u2", 6), "int16": ("i2", 1), "uint16": ("u2", 6)}
_WRITTEN |= {"float16": ("f2", 12), "float32": ("f4", 2)}
#: Voxels whose sum is taken at once.
_SUMMED = 2**20


def check_mrc(path: Path, volume: Volume) -> None:
    """Refuse a volume that MRC cannot hold.

    Raises
    ------
    OutputError
        For several channels or time points, and voxel types that would have to be rounded.
    """
    if volume.size("C") > 1 or volume.size("T") > 1:
        raise OutputError(
            f"{path}: got {volume.size('C')} channel(s) and {volume.size('T')} time point(s), "
            "expected one of each, as MRC holds one volume; write .ome.tif or .ome.zarr, or choose "
            "one with --channel and --time"
        )
    if volume.data.dtype.name not in _WRITTEN:
        raise OutputError(
            f"{path}: got voxels of type {volume.data.dtype.name}, expected one of "
            f"{', '.join(_WRITTEN)}, which MRC can hold; write .ome.tif, .ome.zarr or .nii"
        )


def write_mrc(path: Path, volume: Volume) -> None:
    """Write `volume` as an MRC file (MRC2014), sizes in ångström.

    ``uint8`` is stored as ``uint16`` (mode 6), since programs disagree on the sign of bytes. The
    note is stored in the extended header.

    Raises
    ------
    OutputError
        If mrcfile is not installed, or MRC cannot hold the volume.
    """
    mrcfile = require("mrcfile", "mrcfile", "an MRC file", OutputError, path=path)
    check_mrc(path, volume)
    name, mode = _WRITTEN[volume.data.dtype.name]
    text = note_text(make_note(volume)).encode("ascii") + b"\n"
    note = np.frombuffer(text, np.void(1).dtype)
    shape = tuple(volume.size(axis) for axis in "ZYX")
    with mrcfile.new_mmap(path, shape, mode, extended_header=note, exttyp=b"ISOS") as file:
        steps = {a: _angstrom(volume, step) for a, step in volume.spacing.items()}
        file.voxel_size = tuple(steps.get(axis, 0.0) for axis in "XYZ")
        for axis, position in volume.metadata.origin.items():
            file.header.origin[axis.lower()] = _angstrom(volume, position)
    # Not through the mapped file, which would end the process where the disk is full.
    statistics = Statistics()
    with path.open("r+b") as stream:
        stream.seek(HEADER_BYTES + len(text))
        for plane in planes(volume.tczyx(), path.parent, np.dtype(name)):
            statistics.add(plane)
            stream.write(plane.data)
    with mrcfile.mmap(path, "r+") as file:
        header = file.header
        header.dmin, header.dmax = statistics.least, statistics.most
        header.dmean, header.rms = statistics.mean, statistics.deviation


class Statistics:
    """Smallest and largest voxel, mean and standard deviation, of planes that come in order.

    The numbers do not depend on how planes were read. They are NaN where a voxel is.
    """

    def __init__(self) -> None:
        self.least, self.most, self._first = math.inf, -math.inf, 0.0
        self._count, self._sum, self._squares = 0, 0.0, 0.0

    def add(self, plane: NDArray[Any]) -> None:
        """Count the voxels of a contiguous plane."""
        values = plane.reshape(-1)
        if self._count == 0 and math.isfinite(values[0]):
            self._first = float(values[0])  # differences from any voxel lose fewer digits
        with np.errstate(invalid="ignore"):  # of infinities and NaN in the user's data
            self.least = float(np.minimum(self.least, values.min()))
            self.most = float(np.maximum(self.most, values.max()))
            for start in range(0, values.size, _SUMMED):
                wide = values[start : start + _SUMMED].astype(np.float64) - self._first
                self._sum += float(wide.sum())
                self._squares += float(np.square(wide, out=wide).sum())
        self._count += values.size

    @property
    def mean(self) -> float:
        """Mean of the voxels."""
        return self._first + self._sum / self._count

    @property
    def deviation(self) -> float:
        """Standard deviation of the voxels."""
        variance = self._squares / self._count - (self._sum / self._count) ** 2
        return math.sqrt(max(variance, 0.0)) if math.isfinite(variance) else math.nan


def _angstrom(volume: Volume, length: float) -> float:
    unit = volume.unit
    return convert(float(length), str(unit), "angstrom") if unit in METRES else float(length)
