"""Writing OME-Zarr 0.5: a pyramid with true spacing and offsets at every level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from isoslice.io.notes import KEY, make_note
from isoslice.io.pyramid import Level, pyramid
from isoslice.io.units import unit_name
from isoslice.volume import Volume

#: The order that the specification demands.
ORDER = "TCZYX"
#: Longest side of a chunk, by axis; about 2 MB of 16-bit voxels in 3D.
_CHUNK = {"T": 1, "C": 1, "Z": 64, "Y": 128, "X": 128}
_COLOURS = ("FFFFFF", "00FF00", "FF00FF", "00FFFF", "FF0000", "FFFF00", "0000FF")


def write_omezarr(path: Path, volume: Volume) -> None:
    """Write `volume` as an OME-Zarr 0.5 image (Zarr format 3), axes in the order TCZYX."""
    import zarr

    axes = "".join(axis for axis in ORDER if axis in volume.axes)
    data = volume.data.transpose([volume.axes.index(axis) for axis in axes])
    group = zarr.create_group(store=path, zarr_format=3)
    levels: list[Level] = []
    for number, level in enumerate(pyramid(data, axes, volume.spacing)):
        array = group.create_array(
            str(number),
            shape=level.data.shape,
            dtype=level.data.dtype,
            chunks=tuple(
                min(_CHUNK[axis], n) for axis, n in zip(axes, level.data.shape, strict=True)
            ),
            dimension_names=list(axes.lower()),
        )
        array[...] = level.data
        # Only the shape is needed from here on; the voxels would fill the memory.
        levels.append(Level(np.empty(0), level.factors))
    # Written last: without it the folder is no image yet.
    group.attrs.update({"ome": _metadata(volume, axes, levels), KEY: make_note(volume, axes)})


def _metadata(volume: Volume, axes: str, levels: list[Level]) -> dict[str, Any]:
    from yaozarrs import v05

    scale = [float(volume.spacing.get(axis, 1.0)) for axis in axes]
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
        axes=[_axis(axis, volume) for axis in axes],
        datasets=datasets,
        type="mean",
    )
    image = v05.Image(multiscales=[multiscale], omero=_omero(volume))
    dump: dict[str, Any] = image.model_dump(mode="json", exclude_none=True)
    return dump


def _axis(axis: str, volume: Volume) -> Any:
    from yaozarrs import v05

    if axis == "T":
        return v05.TimeAxis(name="t", type="time")
    if axis == "C":
        return v05.ChannelAxis(name="c", type="channel")
    # No unit where the spacing is unknown: its scale of 1 then reads as "not given".
    unit = unit_name(volume.unit) if axis in volume.spacing else None
    return v05.SpaceAxis(name=axis.lower(), type="space", unit=unit)


def _omero(volume: Volume) -> Any:
    """Return display settings with the channel names, or None where there are no names."""
    from yaozarrs import v05

    names = volume.channel_names
    if not names or len(names) != volume.size("C"):
        return None
    channels = []
    for index, name in enumerate(names):
        values = volume.tczyx()[:, index]
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        if not (np.isfinite(low) and np.isfinite(high)):
            low, high = 0.0, 1.0
        limits = (low, high)
        if volume.data.dtype.kind == "u":
            limits = (0.0, float(np.iinfo(volume.data.dtype).max))
        channels.append(
            v05.OmeroChannel(
                label=name,
                color=_COLOURS[index % len(_COLOURS)],
                window=v05.OmeroWindow(start=low, end=high, min=limits[0], max=limits[1]),
                active=True,
            )
        )
    return v05.Omero(channels=channels)
