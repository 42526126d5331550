"""Stacks to restore: what they must be, and by which factor."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import coarse_axis, refined, renamed, turned
from isoslice.data.metadata import Metadata
from isoslice.data.missing import FOUND, Missing
from isoslice.data.output_spacing import OutputSpacing, Wanted, output_spacing
from isoslice.data.srh import srh_channels
from isoslice.data.subsampling import evenly_spaced
from isoslice.data.volume import AXES, Volume, parse_voxel_size
from isoslice.data.z_positions import at_planes
from isoslice.errors import DataError
from isoslice.io.decoded import placed
from isoslice.io.options import Positions, ReadOptions, given_positions
from isoslice.models.config import AnyConfig
from isoslice.runtime.progress import Progress

#: Bytes of planes that are read to train on.
LEARNED_FROM = 2 * 10**9
#: Bytes that take more than an instant to read, which is told.
WORTH_TELLING = 10**8


def as_volume(
    stack: NDArray[Any] | Volume,
    axes: str | None,
    voxel_size: Sequence[float] | None,
    positions: Positions | None = None,
) -> Volume:
    """Return what `Model.predict` was given as a volume; what is given beside it goes first."""
    size = None if voxel_size is None else parse_voxel_size(voxel_size)
    options = ReadOptions(axes=axes, voxel_size=size, positions=given_positions(positions))
    return placed(_as_volume(stack, options), options)


def _as_volume(stack: NDArray[Any] | Volume, options: ReadOptions) -> Volume:
    size, axes = options.voxel_size, options.axes
    spacing = {} if size is None else dict(zip("ZYX", size, strict=True))
    if isinstance(stack, Volume):
        places, before = stack.z_positions, stack.spacing.get("Z")
        if places is not None and axes and axes.find("Z") != stack.axes.find("Z"):
            places = None  # they were those of another axis
        if places is not None and spacing and before is not None:
            places = tuple(z * (spacing["Z"] / before) for z in places)
        return replace(
            stack,
            data=np.asarray(stack.data),
            axes=axes or stack.axes,
            spacing=spacing or stack.spacing,
            z_positions=places,
        )
    if axes is None:
        raise DataError(
            f"got an array of shape {stack.shape} without axes, expected them named; "
            'for example axes="ZYX"'
        )
    return Volume(np.asarray(stack), axes, spacing)


@dataclass(frozen=True)
class Stack:
    """A stack that a model can restore.

    Attributes
    ----------
    volume
        Its voxels and spacing, the coarse axis called Z; the three channels of SRH where the model
        works on these.
    along
        What the coarse axis is really called.
    spacing
        Of the output along the coarse axis, and where planes lie.
    separate
        Whether each channel is restored by itself.
    refined_spacing, refined_metadata
        Spacing, place, time and display of the restored volume, by the axes' true names.
    """

    volume: Volume
    along: str
    spacing: OutputSpacing
    separate: bool
    refined_spacing: Mapping[str, float]
    refined_metadata: Metadata

    @property
    def factor(self) -> int:
        """Output planes per measured plane, the nearest integer of at least 2."""
        return self.spacing.factor


def stack_to_restore(
    given: Volume,
    config: AnyConfig,
    wanted: Wanted,
    progress: Progress,
    along: str | None = None,
) -> Stack:
    """Check that a model of these settings can restore a volume, and place its planes.

    Raises
    ------
    DataError
        If there is nothing to fill in, the channels are not the model's, or the voxel size is
        unknown and no factor given.
    SettingsError
        If the output spacing is out of range, or there is no such axis.
    """
    along = coarse_axis(given, along)
    volume = turned(given, along)
    if config.srh:
        volume = srh_channels(volume)
    separate = restores_separately(config, volume)
    check_stack(volume, volume.size("C") if separate else config.network.channels)
    chosen = choose_spacing(volume, wanted, progress, along)
    return Stack(
        volume,
        along,
        chosen,
        separate,
        *refined(given, along, chosen.ratio, chosen.step),
    )


def check_stack(volume: Volume, channels: int) -> None:
    """Raise `DataError` if there is nothing to fill in, or the channels are not the model's."""
    if volume.size("Z") < 2:
        raise DataError(planes_message(volume))
    if volume.size("C") != channels:
        fewer = volume.size("C") > channels
        chosen = ",".join(map(str, range(channels)))
        advice = f"choose channels with --channel, such as --channel {chosen}, " if fewer else ""
        raise DataError(
            f"{volume.source}: got {volume.size('C')} channel(s), expected {channels} as the "
            f"model was trained on; {advice}use a model for these channels, or train one on this "
            "stack"
        )


def planes_message(volume: Volume) -> str:
    """Say that there are no planes to fill in between, and which axis may hold them by mistake."""
    shape = " x ".join(map(str, volume.data.shape))
    got = f"{volume.source}: got {volume.size('Z')} plane(s) (axes {volume.axes}, {shape})"
    for axis in "TC":
        if volume.size(axis) > 1:
            # Planes that were stored as time points or channels.
            axes = volume.axes.replace("Z", "").replace(axis, "Z")
            return (
                f"{got}, expected a z-stack of at least two: {axis} has {volume.size(axis)} and Z "
                f"{volume.size('Z')}; if these are its planes, name the axes with --axes {axes}"
            )
    return (
        f"{got}, expected a z-stack of at least two planes; give the whole stack, or all of its "
        "planes as one file"
    )


def restores_separately(config: AnyConfig, volume: Volume) -> bool:
    """Tell whether each channel is restored by itself: a model of one channel, several channels."""
    return not config.srh and config.network.channels == 1 and volume.size("C") > 1


def planes_to_learn_from(
    volume: Volume,
    limit: int = LEARNED_FROM,
    along: str | None = None,
    missing: Missing = FOUND,
    progress: Progress | None = None,
) -> Volume:
    """Read a stack's planes, or as many of them, evenly spaced, as fit into `limit` bytes.

    They are the planes across the coarse axis, which is called Z then; see `coarse`. Those that are
    said to be missing are left out.
    """
    volume = turned(volume, coarse_axis(volume, along))
    depth = volume.size("Z")
    each = max(1, volume.data.nbytes // depth)
    count = max(2, min(depth, limit // each))
    is_large = count * each > WORTH_TELLING and not isinstance(volume.data, np.ndarray)
    told = partial((progress if progress and is_large else Progress()).update, "reading planes")
    told(0.0)
    if count == depth and not missing.planes:
        data = volume.read((slice(None),) * 5)
        told(1.0)
        return replace(volume, data=data, axes=AXES)
    sound = [z for z in range(depth) if z not in set(missing.planes)]
    planes = [sound[i] for i in evenly_spaced(len(sound), min(count, len(sound)))]
    places = at_planes(volume.z_positions, planes)
    every = slice(None)
    parts = []
    for number, z in enumerate(planes):
        parts.append(volume.read((every, every, slice(z, z + 1), every, every)))
        told((number + 1) / len(planes))
    return replace(volume, data=np.concatenate(parts, axis=2), axes=AXES, z_positions=places)


def choose_spacing(
    volume: Volume, wanted: Wanted, progress: Progress, along: str = "Z"
) -> OutputSpacing:
    """Return the output spacing that was asked for, or that the voxel size gives; tell the user.

    Parameters
    ----------
    volume
        The stack, its coarse axis called Z.
    wanted
        What was asked for; nothing takes a factor from the voxel size.
    progress
        Is told.
    along
        What the coarse axis is really called.
    """
    chosen = output_spacing(volume, wanted)
    size = volume.voxel_size
    reason = "as asked"
    if wanted == Wanted() and size is not None:
        others = "XYZ".replace(along, "")
        ratio = size.z / np.sqrt(size.y * size.x)
        reason = f"the nearest integer to {along} over {others} spacing, {ratio:.2f}"
    factor = f"{chosen.ratio:.4g}"
    note = f"factor {factor} ({reason}): {volume.size('Z')} planes become {chosen.depth}"
    if volume.z_positions is not None:
        gaps = np.diff(volume.z_positions)
        note += f"; they are {gaps.min():.4g} to {gaps.max():.4g} apart"
    if size is not None and chosen.step is not None:
        steps = {"z": chosen.step, "y": size.y, "x": size.x}
        new = [steps[axis.lower()] for axis in renamed("ZYX", along)]
        unit = f" {volume.unit}" if volume.unit else ""
        note += f", voxel size (Z, Y, X) {new[0]:.4g}, {new[1]:.4g}, {new[2]:.4g}{unit}"
    progress.note(note)
    return chosen
