"""What NRRD and MetaImage share: parsed numbers, ITK's order of axes, millimetres, the note."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.units import convert, unit_name
from isoslice.data.volume import AXES, Volume
from isoslice.io.notes import make_note, note_text
from isoslice.io.orientation import LPS, stored_affine

#: Programs that read these formats (3D Slicer, ITK) take all lengths for millimetres.
LENGTH_UNIT = "millimeter"


def numbers(text: str) -> list[float]:
    """Parse the numbers of a header's field, separated by white space; empty for no text."""
    return [float(word) for word in text.split()]


def spacing_of(axes: Iterable[str], steps: Iterable[float]) -> dict[str, float]:
    """Return the spacing by axis, for X, Y, Z and T; steps of 0 or infinity count as unknown."""
    pairs = zip(axes, map(abs, steps), strict=False)
    return {axis: step for axis, step in pairs if axis in "XYZT" and 0 < step < math.inf}


def in_itk_order(volume: Volume) -> tuple[Any, str]:
    """Return a view of the voxels in ITK's order and their axes, channels fastest."""
    # A fourth axis is time, a third one is not.
    needed = volume.axes + ("Z" if "T" in volume.axes else "")
    axes = "".join(axis for axis in "TZYXC" if axis in needed)
    data = volume.tczyx().transpose([AXES.index(axis) for axis in "TZYXC"])
    return data.reshape([volume.size(axis) for axis in axes]), axes


def written_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type in which voxels are stored, little-endian: float32 for float16."""
    return np.dtype(np.float32 if dtype == np.float16 else dtype).newbyteorder("<")


def affine_in_millimeters(volume: Volume) -> NDArray[np.float64]:
    """Return the matrix (4, 4) from voxel indices to LPS in mm; without a unit, in its own."""
    unit = unit_name(volume.unit)
    return stored_affine(volume, convert(1.0, unit, LENGTH_UNIT) if unit else 1.0, LPS)


def note_line(volume: Volume) -> str:
    """Return isoslice's note as one line; axes as a reader of these formats finds them."""
    return note_text(make_note(volume, "".join(axis for axis in AXES if axis in volume.axes)))
