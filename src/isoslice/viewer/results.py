"""Restored volumes as layers: at the place and scale of the layer that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.viewer.messages import Restored
from isoslice.viewer.placement import measured_labels, result_scale

#: Bytes of a volume that is held in memory; larger ones are read where they are looked at.
IN_MEMORY = 10**9
#: Colours of the labels, red, green, blue and opacity: measured planes blue, invented orange.
COLORS = {None: (0, 0, 0, 0), 1: (0.0, 0.45, 0.70, 1.0), 2: (0.90, 0.62, 0.0, 1.0)}


@dataclass(frozen=True)
class ReadResult:
    """Volumes of a result, read or ready to be: each a list of resolutions, finest first."""

    restored: Restored
    volume: list[Any]
    std: list[Any] | None


def read_result(restored: Restored) -> ReadResult:
    """Read a result, or as much of a large one as a layer needs. Not for the window's thread."""
    std = None if restored.std is None else read_levels(Path(restored.std), restored.axes)
    return ReadResult(restored, read_levels(Path(restored.path), restored.axes), std)


def read_levels(path: Path, axes: str, limit: int = IN_MEMORY) -> list[Any]:
    """Read an OME-Zarr image with its dimensions in the order of `axes`.

    Returns
    -------
    The image in memory, alone, if it takes `limit` bytes at most; else all of its resolutions,
    read where they are indexed.
    """
    import dask.array
    import zarr

    group: Any = zarr.open_group(path, mode="r")
    image = dict(group.attrs)["ome"]["multiscales"][0]
    stored = "".join(str(axis["name"]).upper() for axis in image["axes"])
    order = [stored.index(axis) for axis in axes]
    levels = [group[dataset["path"]] for dataset in image["datasets"]]
    if levels[0].nbytes <= limit:
        return [np.ascontiguousarray(np.asarray(levels[0][...]).transpose(order))]
    lazily: Any = dask.array.from_zarr
    return [lazily(level).transpose(order) for level in levels]


def add_result(viewer: Any, layer: Any, axes: str, result: ReadResult) -> list[Any]:
    """Add the layers of a result to a viewer: restored, uncertainty, measured or invented.

    Parameters
    ----------
    viewer, layer
        The viewer, and the layer that was restored.
    axes
        Of the layer, colours included.
    result
        What was made of it.

    Returns
    -------
    The new layers.
    """
    made = result.restored
    rgb = bool(getattr(layer, "rgb", False))
    dimensions = axes[:-1] if rgb else axes
    place = placed_like(layer, result_scale(dimensions, layer.scale, made.along, made.ratio))
    shown = {} if rgb else {"colormap": layer.colormap, "contrast_limits": layer.contrast_limits}
    layers = [
        viewer.add_image(
            _data(result.volume),
            multiscale=len(result.volume) > 1,
            name=f"{layer.name}, restored",
            rgb=rgb,
            metadata={"isoslice": made},
            **shown,
            **place,
        )
    ]
    if result.std is not None and not rgb:
        low, high = layer.contrast_limits
        layers.append(
            viewer.add_image(
                _data(result.std),
                multiscale=len(result.std) > 1,
                name=f"{layer.name}, uncertainty",
                colormap="magma",
                contrast_limits=(0, max((high - low) / 10, 1e-9)),
                visible=False,
                **place,
            )
        )
    labels = measured_labels(made.measured, dimensions, made.along)
    shape = result.volume[0].shape[: len(dimensions)]
    marks = viewer.add_labels(
        np.broadcast_to(labels, shape),
        name=f"{layer.name}, measured (1) or invented (2)",
        opacity=0.3,
        visible=False,
        colormap=_label_colors(),
        **place,
    )
    marks.editable = False
    return [*layers, marks]


def placed_like(layer: Any, scale: list[float]) -> dict[str, Any]:
    """Return what places a new layer like another, at another scale."""
    return {
        "scale": scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def _data(levels: list[Any]) -> Any:
    return levels if len(levels) > 1 else levels[0]


def _label_colors() -> Any:
    from napari.utils import DirectLabelColormap

    return DirectLabelColormap(color_dict=COLORS)
