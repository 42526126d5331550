"""Restored volumes as layers: at the place and scale of the layer that they were made from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from isoslice.viewer.messages import Restored
from isoslice.viewer.placement import measured_voxels, result_scale

#: Bytes of a volume that is held in memory; larger ones are read where they are looked at.
IN_MEMORY = 10**9


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


class NewLayer(NamedTuple):
    """An image layer to be added: voxels, in one resolution or several, and its properties."""

    levels: list[Any]
    options: dict[str, Any]

    def add(self, viewer: Any) -> Any:
        """Add it to a viewer; return the layer."""
        several = len(self.levels) > 1
        data = self.levels if several else self.levels[0]
        return viewer.add_image(data, multiscale=several, **self.options)


def result_layers(layer: Any, result: ReadResult) -> list[NewLayer]:
    """Describe the layers of a result: restored, uncertainty, measured or invented.

    Parameters
    ----------
    layer
        The layer that was restored.
    result
        What was made of it.
    """
    made = result.restored
    rgb = bool(getattr(layer, "rgb", False))
    axes = made.axes[:-1] if rgb else made.axes
    place = placed_like(layer, axes, result_scale(axes, layer.scale, made.along, made.ratio))
    shown = {} if rgb else {"colormap": layer.colormap, "contrast_limits": layer.contrast_limits}
    options = {"name": f"{layer.name}, restored", "rgb": rgb, "metadata": {"isoslice": made}}
    layers = [NewLayer(result.volume, {**options, **shown, **place})]
    if result.std is not None and not rgb:
        low, high = layer.contrast_limits
        shown = {"colormap": "magma", "contrast_limits": (0, max((high - low) / 10, 1e-9))}
        options = {"name": f"{layer.name}, uncertainty", "metadata": {"isoslice": made}}
        layers.append(NewLayer(result.std, {**options, **shown, **place, "visible": False}))
    shares = measured_voxels(made.measured, axes, made.along)
    options = {
        "name": f"{layer.name}, measured (1) or invented (0)",
        "opacity": 0.4,
        "visible": False,
        "colormap": "viridis",
        "contrast_limits": (0, 1),
        "metadata": {"isoslice": made},
    }
    whole = np.broadcast_to(shares, result.volume[0].shape[: len(axes)])
    return [*layers, NewLayer([whole], {**options, **place})]


def placed_like(layer: Any, axes: str, scale: list[float]) -> dict[str, Any]:
    """Return what places a new layer like another, at another scale."""
    return {
        "scale": scale,
        "translate": layer.translate,
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": tuple(axes.lower()),
    }
