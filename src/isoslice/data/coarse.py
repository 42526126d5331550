"""Which axis of a stack is coarse: mostly Z, X or Y of a sagittal or coronal scan.

Restoration takes Z for the coarse axis. Axes of other stacks are renamed before, so that the coarse
one is called Z, and back afterwards: no voxel moves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume, VoxelSize
from isoslice.errors import DataError, SettingsError

#: Smallest ratio of a coarse axis' spacing to that of the others.
COARSE_RATIO = 1.5


def coarse_axis(volume: Volume, along: str | None = None) -> str:
    """Return the coarse axis of a stack: Z, Y or X.

    Parameters
    ----------
    volume
        The stack.
    along
        The axis that the user named; by default Z, unless only Y or X is coarse.

    Raises
    ------
    SettingsError, DataError
        If `along` is not Z, Y or X, or the stack has no such axis.
    """
    if along is not None:
        axis = along.upper()
        if axis not in tuple("ZYX"):
            raise SettingsError(f"got axis {along!r} to restore along, expected Z, Y or X")
        if axis not in volume.axes or "Z" not in volume.axes:
            raise DataError(
                f"{volume.source}: got axes {volume.axes}, expected a stack with Z, Y and X to be "
                f"restored along {axis}; name the axes with --axes, for example --axes ZYX"
            )
        return axis
    size = volume.voxel_size
    if size is None or "Z" not in volume.axes or is_coarse(size):
        return "Z"
    least = COARSE_RATIO * (1 - 1e-6)
    # X or Y, if coarser than both others.
    for axis, step, others in (("X", size.x, (size.z, size.y)), ("Y", size.y, (size.z, size.x))):
        if step >= least * max(others):
            return axis
    return "Z"


def is_coarse(size: VoxelSize) -> bool:
    """Tell whether voxels are longer along Z, by `COARSE_RATIO` at least."""
    return bool(size.z >= COARSE_RATIO * (1 - 1e-6) * np.sqrt(size.y * size.x))


def turned(volume: Volume, axis: str) -> Volume:
    """Exchange the names of `axis` and Z in a volume; its own inverse but for uneven planes.

    Their positions describe Z, and are dropped.
    """
    if axis == "Z":
        return volume
    names = {"Z": axis, axis: "Z"}
    return replace(
        volume,
        axes=renamed(volume.axes, axis),
        spacing={names.get(name, name): step for name, step in volume.spacing.items()},
        metadata=volume.metadata.renamed(names),
        z_positions=None,
    )


def renamed(axes: str, axis: str) -> str:
    """Exchange Z and `axis` in a string of axes."""
    return axes.translate(str.maketrans("Z" + axis, axis + "Z"))


def refined(
    volume: Volume, axis: str, ratio: float, step: float | None = None
) -> tuple[dict[str, float], Metadata]:
    """Return spacing and metadata of a stack with `ratio` times the planes along `axis`.

    `step` is their spacing, where that is not the stack's over `ratio` to the last bit.
    """
    spacing = dict(volume.spacing)
    if axis in spacing:
        spacing[axis] = spacing[axis] / ratio if step is None else step
    return spacing, volume.metadata.refined(axis, ratio)
