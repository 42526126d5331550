"""What OME-Zarr 0.5 says of an image: axes, spacing and offset of every level, channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from isoslice.io.pyramid import Level
from isoslice.io.units import unit_name
from isoslice.volume import Volume

_COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FF0000", "FFFF00", "0000FF")


@dataclass(frozen=True)
class Description:
    """What is known of an image beside its voxels.

    Attributes
    ----------
    axes
        In the order in which they are stored.
    spacing, unit
        As of a `Volume`.
    channel_names
        One per channel, or None.
    windows
        Intensities to be shown as black and white, per channel, where there are names.
    dtype
        Of the voxels.
    """

    axes: str
    spacing: Mapping[str, float]
    unit: str | None
    channel_names: tuple[str, ...] | None
    windows: tuple[tuple[float, float], ...]
    dtype: np.dtype[Any]


def describe(volume: Volume, axes: str) -> Description:
    """Describe a volume in memory."""
    names, windows = volume.channel_names, []
    if names and len(names) == volume.size("C"):
        for index in range(len(names)):
            values = volume.tczyx()[:, index]
            windows.append((float(np.nanmin(values)), float(np.nanmax(values))))
    return Description(axes, volume.spacing, volume.unit, names, tuple(windows), volume.data.dtype)


def metadata(image: Description, levels: Sequence[Level]) -> dict[str, Any]:
    """Return the attribute ``ome`` of an image with these levels, finest first."""
    from yaozarrs import v05

    scale = [float(image.spacing.get(axis, 1.0)) for axis in image.axes]
    datasets = [
        v05.Dataset(
            path=str(number),
            coordinateTransformations=[
                v05.ScaleTransformation(
                    scale=[s * f for s, f in zip(scale, level.factors, strict=True)]
                ),
                v05.TranslationTransformation(
                    translation=[s * o for s, o in zip(scale, level.offset, strict=True)]
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
    whole = v05.Image(multiscales=[multiscale], omero=_omero(image))
    dump: dict[str, Any] = whole.model_dump(mode="json", exclude_none=True)
    return dump


def _axis(axis: str, image: Description) -> Any:
    from yaozarrs import v05

    if axis == "T":
        return v05.TimeAxis(name="t", type="time")
    if axis == "C":
        return v05.ChannelAxis(name="c", type="channel")
    # No unit where the spacing is unknown: its scale of 1 then reads as "not given".
    unit = unit_name(image.unit) if axis in image.spacing else None
    return v05.SpaceAxis(name=axis.lower(), type="space", unit=unit)


def _omero(image: Description) -> Any:
    """Return display settings with the channel names, or None where there are no names."""
    from yaozarrs import v05

    names = image.channel_names
    if not names or len(names) != len(image.windows):
        return None
    channels = []
    for index, (name, (low, high)) in enumerate(zip(names, image.windows, strict=True)):
        if not (np.isfinite(low) and np.isfinite(high)):
            low, high = 0.0, 1.0
        limits = (low, high)
        if image.dtype.kind == "u":
            limits = (0.0, float(np.iinfo(image.dtype).max))
        channels.append(
            v05.OmeroChannel(
                label=name,
                color=_COLOURS[index % len(_COLOURS)],
                window=v05.OmeroWindow(start=low, end=high, min=limits[0], max=limits[1]),
                active=True,
            )
        )
    return v05.Omero(channels=channels)
