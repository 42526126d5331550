"""Metadata of an image in OME-Zarr 0.5: axes, spacing and position of levels, time, channels."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.blocks import blocks, chunks_of
from isoslice.data.metadata import Metadata
from isoslice.data.time_units import time_name
from isoslice.data.units import unit_name
from isoslice.data.volume import Volume
from isoslice.io.formats.omezarr.display import DisplayRange, find_window, make_omero
from isoslice.io.formats.omezarr.pyramid import Level

#: Stored instead of isoslice's note until an image is finished.
UNFINISHED = {"unfinished": True}


@dataclass(frozen=True)
class Description:
    """Description of an image without its voxels.

    Attributes
    ----------
    axes
        In the stored order.
    spacing, unit
        As of a `Volume`.
    channel_names
        One per channel, or None.
    windows
        Intensities shown as black and white per channel, where `metadata` has none.
    dtype
        Of the voxels.
    metadata
        Position, time and display, as of a `Volume`.
    """

    axes: str
    spacing: Mapping[str, float]
    unit: str | None
    channel_names: tuple[str, ...] | None
    windows: tuple[DisplayRange, ...]
    dtype: np.dtype[Any]
    metadata: Metadata = field(default_factory=Metadata)


def describe(volume: Volume, axes: str) -> Description:
    """Describe a volume."""
    names, displays = volume.channel_names, volume.metadata.displays
    windows: list[DisplayRange] = []
    if names or displays:  # else windows are not written
        known = [display.window for display in displays or ()]
        known += [None] * (volume.size("C") - len(known))
        windows = [
            window or find_window(_blocks_of(volume, index))
            for index, window in enumerate(known[: volume.size("C")])
        ]
    return Description(
        axes,
        volume.spacing,
        volume.unit,
        names,
        tuple(windows),
        volume.data.dtype,
        volume.metadata,
    )


def _blocks_of(volume: Volume, channel: int) -> Iterator[NDArray[Any]]:
    data = volume.tczyx()
    shape = (*data.shape[:1], 1, *data.shape[2:])
    for times, _, *space in blocks(shape, chunks_of(data), data.dtype.itemsize):
        yield volume.read((times, channel, *space))


def metadata(image: Description, levels: Sequence[Level]) -> dict[str, Any]:
    """Return the attribute ``ome`` of an image with these levels, finest first."""
    from yaozarrs import v05

    steps, known = {**image.spacing}, image.metadata
    if known.time_step is not None:
        steps["T"] = known.time_step
    scale = [float(steps.get(axis, 1.0)) for axis in image.axes]
    positions = {**known.origin}
    if known.time_step is not None and known.time_start is not None:
        positions["T"] = known.time_start
    origin = [float(positions.get(axis, 0.0)) for axis in image.axes]
    datasets = [
        v05.Dataset(
            path=str(number),
            coordinateTransformations=[
                v05.ScaleTransformation(
                    scale=[s * f for s, f in zip(scale, level.factors, strict=True)]
                ),
                v05.TranslationTransformation(
                    translation=[
                        start + s * o
                        for start, s, o in zip(origin, scale, level.offset, strict=True)
                    ]
                ),
            ],
        )
        for number, level in enumerate(levels)
    ]
    multiscale = v05.Multiscale(
        name="image",
        axes=[_axis(axis, image) for axis in image.axes],
        datasets=datasets,
        type="mean",
    )
    omero = make_omero(image.channel_names, known.displays, image.windows, image.dtype)
    whole = v05.Image(multiscales=[multiscale], omero=omero)
    dump: dict[str, Any] = whole.model_dump(mode="json", exclude_none=True)
    return dump


def _axis(axis: str, image: Description) -> Any:
    from yaozarrs import v05

    if axis == "T":
        known = image.metadata
        time_unit = time_name(known.time_unit) if known.time_step is not None else None
        return v05.TimeAxis(name="t", type="time", unit=time_unit)
    if axis == "C":
        return v05.ChannelAxis(name="c", type="channel")
    # Without a unit, the scale of 1 of unknown spacing is read as unknown.
    unit = unit_name(image.unit) if axis in image.spacing else None
    return v05.SpaceAxis(name=axis.lower(), type="space", unit=unit)
