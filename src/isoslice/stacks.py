"""Stacks to restore: what they must be, and by which factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError
from isoslice.geometry import check_factor, factor_from_voxel_size, output_voxel_size
from isoslice.io.read import read_part
from isoslice.progress import Progress
from isoslice.volume import AXES, Volume, parse_voxel_size

#: Bytes of planes that are read to train on.
LEARNED_FROM = 2 * 10**9


def as_volume(
    stack: NDArray[Any] | Volume, axes: str | None, voxel_size: Sequence[float] | None
) -> Volume:
    """Return what `Model.predict` was given as a volume; what is given beside it goes first."""
    size = None if voxel_size is None else parse_voxel_size(voxel_size)
    spacing = {} if size is None else dict(zip("ZYX", size, strict=True))
    if isinstance(stack, Volume):
        return Volume(
            np.asarray(stack.data),
            axes or stack.axes,
            spacing or stack.spacing,
            stack.unit,
            stack.channel_names,
            stack.provenance,
            stack.source,
        )
    if axes is None:
        raise DataError(
            f"got an array of shape {stack.shape} without axes, expected them named; "
            'for example axes="ZYX"'
        )
    return Volume(np.asarray(stack), axes, spacing)


def check_stack(volume: Volume, channels: int) -> None:
    """Raise `DataError` if there is nothing to fill in, or the channels are not the model's."""
    if volume.size("Z") < 2:
        raise DataError(no_stack(volume))
    if volume.size("C") != channels:
        raise DataError(
            f"{volume.source}: got {volume.size('C')} channel(s), expected {channels} as the "
            "model was trained on; use a model for these channels, or train one on this stack"
        )


def no_stack(volume: Volume) -> str:
    """Say that a volume has no planes to fill in between, and which axis may be meant."""
    text = (
        f"{volume.source}: got {volume.size('Z')} plane(s) (axes {volume.axes}, shape "
        f"{volume.data.shape}), expected a z-stack of at least two"
    )
    longer = [axis for axis in "TC" if volume.size(axis) > 1]
    if not longer:
        return text + "; if the axes are named wrongly, give them with --axes"
    # Planes that were stored as time points: T and Z change places.
    axis = longer[0]
    names = volume.axes.translate(str.maketrans(f"{axis}Z", f"Z{axis}"))
    return (
        f"{text}: {axis} has {volume.size(axis)} and Z {volume.size('Z')}; if these are its "
        f"planes, name the axes with --axes {names}"
    )


def planes_to_learn_from(volume: Volume, limit: int = LEARNED_FROM) -> Volume:
    """Read a stack's planes, or as many of them, evenly spaced, as fit into `limit` bytes."""
    depth = volume.size("Z")
    count = max(2, min(depth, limit // max(1, volume.data.nbytes // depth)))
    if count == depth:
        return replace(volume, data=read_part(volume, (slice(None),) * 5), axes=AXES)
    planes = np.linspace(0, depth - 1, count).round().astype(int).tolist()
    every = slice(None)
    parts = [read_part(volume, (every, every, slice(z, z + 1), every, every)) for z in planes]
    return replace(volume, data=np.concatenate(parts, axis=2), axes=AXES)


def choose_factor(volume: Volume, factor: int | None, progress: Progress) -> int:
    """Return the factor asked for, or the one the voxel size gives; either way tell the user."""
    size = volume.voxel_size
    if factor is not None:
        factor, reason = check_factor(factor), "as asked"
    elif size is None:
        raise DataError(
            f"{volume.source}: got no voxel size (known: {dict(volume.spacing) or 'nothing'}), "
            "expected the spacing along Z, Y and X; give it with --voxel-size Z,Y,X"
        )
    else:
        factor = factor_from_voxel_size(size)
        reason = (
            f"the nearest integer to Z over XY spacing, {size.z / np.sqrt(size.y * size.x):.2f}"
        )
    planes = volume.size("Z")
    note = f"factor {factor} ({reason}): {planes} planes become {(planes - 1) * factor + 1}"
    if size is not None:
        new = output_voxel_size(size, factor)
        unit = f" {volume.unit}" if volume.unit else ""
        note += f", voxel size (Z, Y, X) {new.z:.4g}, {new.y:.4g}, {new.x:.4g}{unit}"
    progress.note(note)
    return factor
