"""Which axis of a stack is coarse: Z of most, X or Y of a sagittal or coronal scan.

Everything that restores takes Z for the coarse axis. A stack that is coarse along another one is
renamed before, so that its coarse axis is called Z, and back again after: no voxel moves.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError

#: Spacing of a coarse axis over that of the others, at least.
COARSE = 1.5


def coarse_axis(volume: Volume, along: str | None = None) -> str:
    """Return the axis that is coarse: Z, Y or X.

    Parameters
    ----------
    volume
        The stack.
    along
        The axis that the caller named; by default Z, unless only another one is coarse.

    Raises
    ------
    SettingsError, DataError
        If `along` is no axis, or none of the stack's.
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
    if size is None or "Z" not in volume.axes:
        return "Z"
    least = COARSE * (1 - 1e-6)
    if size.z >= least * np.sqrt(size.y * size.x):
        return "Z"
    # Of X and Y, the one that is coarser than both others.
    for axis, step, others in (("X", size.x, (size.z, size.y)), ("Y", size.y, (size.z, size.x))):
        if step >= least * max(others):
            return axis
    return "Z"


def turned(volume: Volume, axis: str) -> Volume:
    """Rename a volume's axes so that `axis` is called Z, and Z as that one was; its own inverse."""
    if axis == "Z":
        return volume
    names = {"Z": axis, axis: "Z"}
    return replace(
        volume,
        axes=renamed(volume.axes, axis),
        spacing={names.get(name, name): step for name, step in volume.spacing.items()},
        metadata=volume.metadata.renamed(names),
    )


def renamed(axes: str, axis: str) -> str:
    """Exchange Z and `axis` in a string of axes."""
    return axes.translate(str.maketrans("Z" + axis, axis + "Z"))


def refined(volume: Volume, axis: str, factor: int) -> tuple[dict[str, float], Metadata]:
    """Return spacing and metadata of a stack that has `factor` times the planes along `axis`."""
    spacing = dict(volume.spacing)
    if axis in spacing:
        spacing[axis] /= factor
    return spacing, volume.metadata.refined(axis, factor)
