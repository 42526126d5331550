"""A volume with its axes, spacing and origin: what readers return and writers take."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Metadata
from isoslice.errors import DataError

#: Axes that a volume may have: time, channel, depth, height, width.
AXES = "TCZYX"
#: Voxel types that are read, restored and written unchanged.
DTYPES = (
    "int8",
    "uint8",
    "int16",
    "uint16",
    "int32",
    "uint32",
    "float16",
    "float32",
    "float64",
)


class VoxelSize(NamedTuple):
    """Spacing between neighbouring voxel centres along Z, Y and X, in the volume's unit.

    Examples
    --------
    >>> import isoslice
    >>> isoslice.VoxelSize(4.0, 0.83, 0.83).z
    4.0
    """

    z: float
    y: float
    x: float


@dataclass(frozen=True)
class Volume:
    """An image, a stack or a time series of multichannel stacks.

    Attributes
    ----------
    data
        The voxels, in the order of ``axes``.
    axes
        One letter of ``TCZYX`` per dimension, in any order; ``Y`` and ``X`` are always present.
    spacing
        Spacing of those of Z, Y and X for which it is known; never guessed.
    unit
        Unit of ``spacing`` as OME spells it (``"micrometer"``), or None where unknown.
    channel_names
        One name per channel, or None.
    provenance
        How the volume was made (model, seed, version, factor), or None for a raw image.
    source
        Where it came from, for messages.
    metadata
        Position, time, display and optics, as far as they are known.
    z_positions
        Positions of the planes along Z from the first one, strictly rising, in the unit of
        `spacing`; ``spacing["Z"]`` is their median distance then. None where planes are evenly
        spaced (less than 1% of the spacing off), or nothing is known.

    Examples
    --------
    >>> import numpy as np
    >>> import isoslice
    >>> stack = isoslice.Volume(np.zeros((3, 8, 9), np.uint8), "ZYX", {"Z": 4.0})
    >>> stack.size("Z"), stack.size("C"), stack.voxel_size is None
    (3, 1, True)
    """

    data: NDArray[Any]
    axes: str
    spacing: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None
    provenance: Mapping[str, Any] | None = None
    source: str = "array"
    metadata: Metadata = field(default_factory=Metadata)
    z_positions: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        """Check that axes, shape, dtype, spacing and positions are consistent."""
        check_axes(self.axes, self.data.ndim, self.source)
        if self.data.dtype.name not in DTYPES:
            raise DataError(voxel_type_message(self.source, self.data.dtype.name))
        for axis, step in self.spacing.items():
            if axis not in "ZYX" or not (np.isfinite(step) and step > 0):
                raise DataError(
                    f"{self.source}: got a spacing of {step} along {axis}, expected a positive "
                    "number along Z, Y or X; give the right one with --voxel-size Z,Y,X"
                )
        if self.z_positions is not None:
            self._check_positions(np.asarray(self.z_positions, np.float64))

    def _check_positions(self, places: NDArray[np.float64]) -> None:
        problem = None
        if places.shape != (self.size("Z"),):
            problem = f"{places.size} positions for {self.size('Z')} planes"
        elif not (np.isfinite(places).all() and places[0] == 0 and (np.diff(places) > 0).all()):
            problem = f"positions of planes that begin with {places[:4].tolist()}"
        if problem:
            raise DataError(
                f"{self.source}: got {problem}, expected one for each plane along Z, from 0 and "
                "strictly rising; correct them, or leave them out"
            )

    @property
    def voxel_size(self) -> VoxelSize | None:
        """Spacing along Z, Y and X where all three are known, else None."""
        return voxel_size_of(self.spacing)

    def size(self, axis: str) -> int:
        """Length along `axis`; 1 where the volume has no such axis.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> stack = isoslice.Volume(np.zeros((3, 8, 9), np.uint8), "ZYX", {"Z": 4.0})
        >>> stack.size("Z"), stack.size("C")
        (3, 1)
        """
        return self.data.shape[self.axes.index(axis)] if axis in self.axes else 1

    def tczyx(self) -> NDArray[Any]:
        """Return a view of the voxels as (T, C, Z, Y, X), missing axes of length 1.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> stack = isoslice.Volume(np.zeros((3, 8, 9), np.uint8), "ZYX", {"Z": 4.0})
        >>> stack.tczyx().shape
        (1, 1, 3, 8, 9)
        """
        present = [axis for axis in AXES if axis in self.axes]
        view = self.data.transpose([self.axes.index(axis) for axis in present])
        return view.reshape([self.size(axis) for axis in AXES])

    def read(self, index: tuple[int | slice, ...]) -> NDArray[Any]:
        """Read a part, given by an index of (T, C, Z, Y, X), into memory.

        Raises
        ------
        DataError
            If the voxels are still on disk, and their file can no longer be read.

        Examples
        --------
        >>> import numpy as np
        >>> import isoslice
        >>> stack = isoslice.Volume(np.zeros((3, 8, 9), np.uint8), "ZYX", {"Z": 4.0})
        >>> stack.read((0, 0, slice(0, 2))).shape
        (2, 8, 9)
        """
        return np.asarray(self.tczyx()[index])


def voxel_size_of(spacing: Mapping[str, float]) -> VoxelSize | None:
    """Return the spacing along Z, Y and X where all three are known, else None."""
    if all(axis in spacing for axis in "ZYX"):
        return VoxelSize(spacing["Z"], spacing["Y"], spacing["X"])
    return None


def from_tczyx(data: NDArray[Any], axes: str) -> NDArray[Any]:
    """Undo `Volume.tczyx`: return voxels (T, C, Z, Y, X) in the order of `axes`.

    Axes not in `axes` must have length 1.
    """
    squeezed = data.reshape([n for axis, n in zip(AXES, data.shape, strict=True) if axis in axes])
    present = [axis for axis in AXES if axis in axes]
    return np.ascontiguousarray(squeezed.transpose([present.index(axis) for axis in axes]))


def voxel_type_message(source: str, dtype: str) -> str:
    """Return the message that voxels of a type are not accepted, and what to do."""
    advice = "convert them to one of these, for example with numpy.astype"
    if dtype in ("bool", "int64", "uint64"):
        advice = (
            "such files mostly hold labels or masks, which must not be interpolated: give the "
            "image they were made from, or convert it if it is one"
        )
    if dtype.startswith("complex"):
        advice = "give the magnitude or one of the two parts"
    return f"{source}: got voxels of type {dtype}, expected one of {', '.join(DTYPES)}; {advice}"


def check_axes(axes: str, ndim: int, source: str = "array") -> None:
    """Raise `DataError` unless `axes` names `ndim` different axes of TCZYX, Y and X among them."""
    problem = None
    if len(axes) != ndim:
        problem = f"{len(axes)} letters for an image of {ndim} dimensions"
    elif len(set(axes)) != len(axes) or not set(axes) <= set(AXES):
        problem = "a letter that repeats or is none of T, C, Z, Y, X"
    elif not {"Y", "X"} <= set(axes):
        problem = "no Y or no X"
    if problem:
        example = AXES[-ndim:] if 1 < ndim < 6 else "ZYX"
        raise DataError(
            f"{source}: got axes {axes!r}, {problem}; expected one letter of TCZYX per dimension "
            f"(here {ndim}); give them, for example with --axes {example}"
        )


def parse_voxel_size(value: str | Sequence[float]) -> VoxelSize:
    """Parse ``"4.0,0.83,0.83"`` or a sequence of three positive numbers as Z, Y, X spacing."""
    parts = value.split(",") if isinstance(value, str) else list(value)
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if len(numbers) != 3 or not all(np.isfinite(n) and n > 0 for n in numbers):
        raise DataError(
            f"got voxel size {value!r}, expected three positive numbers Z,Y,X; "
            "for example --voxel-size 4.0,0.83,0.83"
        )
    return VoxelSize(*numbers)
