"""Layers as stacks, and results as layers: axes, voxel size, units, and the place of voxels.

Pure functions of what a layer says; a napari layer, or anything with the same attributes, will do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoslice.data.units import common_unit, unit_name
from isoslice.data.volume import AXES
from isoslice.errors import DataError
from isoslice.viewer.messages import Described, Slab

#: Axes as layers name them.
_NAMES: Mapping[str, str] = {
    **{axis.lower(): axis for axis in AXES},
    "time": "T",
    "channel": "C",
    "channels": "C",
    "depth": "Z",
    "height": "Y",
    "width": "X",
}
#: The longest first dimension of four that is taken for channels where nothing names it.
MOST_CHANNELS = 4


@dataclass(frozen=True)
class LayerFacts:
    """What a layer says of its voxels.

    Attributes
    ----------
    name
        Of the layer.
    shape, dtype
        Of its voxels at full resolution.
    axes
        One letter of TCZYX per dimension; guessed where the layer does not name them.
    named
        Whether the layer names them.
    spacing
        Along those of Z, Y and X for which it is known.
    unit
        Of the spacing, as OME spells it, or None.
    lazy
        Whether voxels are read, or computed, where they are indexed.
    path
        The file that the layer was read from, or None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    axes: str
    named: bool
    spacing: Mapping[str, float] = field(default_factory=dict)
    unit: str | None = None
    lazy: bool = False
    path: Path | None = None

    @property
    def voxel_size(self) -> tuple[float, float, float] | None:
        """Spacing along Z, Y and X where all three are known."""
        if not all(axis in self.spacing for axis in "ZYX"):
            return None
        return self.spacing["Z"], self.spacing["Y"], self.spacing["X"]

    @property
    def nbytes(self) -> int:
        """Bytes of all voxels."""
        return int(np.prod(self.shape, dtype=np.int64)) * self.dtype.itemsize


def layer_facts(layer: Any) -> LayerFacts:
    """Read what a layer says of its voxels.

    Raises
    ------
    DataError
        If it has fewer than three dimensions, or more than five.
    """
    data = full_resolution(layer)
    labels = [str(label) for label in getattr(layer, "axis_labels", ())]
    count = len(data.shape) - bool(getattr(layer, "rgb", False))
    axes, named = layer_axes(labels[-count:], data.shape[:count], str(layer.name))
    units = [str(unit) for unit in getattr(layer, "units", None) or ()]
    spacing, unit = layer_spacing(axes, layer.scale, units)
    source = getattr(getattr(layer, "source", None), "path", None)
    return LayerFacts(
        str(layer.name),
        tuple(map(int, data.shape)),
        np.dtype(data.dtype),
        axes + ("C" if len(data.shape) > count else ""),
        named,
        spacing,
        unit,
        not isinstance(data, np.ndarray),
        Path(source) if source else None,
    )


def on_scale_of(facts: LayerFacts, found: Described) -> Described:
    """Return what a file says of its planes, on the scale of its layer.

    A layer may count in another unit than its file, or have been given another spacing.
    """
    step = found.voxel_size[0]
    if step is None or "Z" not in facts.spacing:
        return found
    ratio = facts.spacing["Z"] / step
    positions, profile = found.positions, found.profile
    if positions is not None:
        positions = tuple(z * ratio for z in positions)
    if profile is not None:
        kind, _, width = profile.partition(":")
        profile = f"{kind}:{float(width) * ratio:g}"
    return replace(found, positions=positions, profile=profile)


def full_resolution(layer: Any) -> Any:
    """Return a layer's voxels at full resolution."""
    return layer.data[0] if getattr(layer, "multiscale", False) else layer.data


def layer_axes(labels: Sequence[str], shape: Sequence[int], name: str) -> tuple[str, bool]:
    """Return the axes of a layer without colours, and whether its labels name them all.

    Raises
    ------
    DataError
        If there are fewer than three dimensions, or more than five.
    """
    axes = "".join(_NAMES.get(label.strip().lower(), "?") for label in labels)
    known = len(axes) == len(shape) and "?" not in axes and len(set(axes)) == len(axes)
    if known and {"Y", "X"} <= set(axes):
        return axes, True
    if not 3 <= len(shape) <= 5:
        raise DataError(
            f"{name}: got a layer of {len(shape)} dimensions, expected a z-stack of three, or one "
            "of several channels or time points; choose another layer"
        )
    if len(shape) == 4:
        return ("C" if shape[0] <= MOST_CHANNELS else "T") + "ZYX", False
    return AXES[-len(shape) :] if len(shape) == 3 else AXES, False


def layer_spacing(
    axes: str, scale: Sequence[float], units: Sequence[str]
) -> tuple[dict[str, float], str | None]:
    """Return spacing and unit of a layer; none where it only has napari's defaults.

    Parameters
    ----------
    axes
        Of the layer.
    scale
        Of each dimension.
    units
        Of each dimension; pixels and others than lengths say nothing.
    """
    steps = {
        axis: abs(float(step)) for axis, step in zip(axes, scale, strict=False) if axis in "ZYX"
    }
    steps = {axis: step for axis, step in steps.items() if np.isfinite(step) and step > 0}
    names = {axis: unit_name(unit) for axis, unit in zip(axes, units, strict=False)}
    known = {axis: name for axis, name in names.items() if axis in "ZYX" and name}
    if not known and all(step == 1 for step in steps.values()):
        return {}, None
    return common_unit(steps, known)


def scale_of(
    facts: LayerFacts, voxel_size: Sequence[float | None], before: Sequence[float]
) -> list[float]:
    """Return the scale of a layer whose voxels have a size (Z, Y, X); other axes stay as before."""
    size = {axis: step for axis, step in zip("ZYX", voxel_size, strict=True) if step is not None}
    return [size.get(axis, float(old)) for axis, old in zip(facts.axes, before, strict=False)]


def row_aspect(voxel_size: Sequence[float] | None, factor: int | None, along: str | None) -> float:
    """Return the height of a restored row over the width of a pixel, for showing it.

    Parameters
    ----------
    voxel_size
        Of the stack, (Z, Y, X); without one, rows are as high as pixels are wide.
    factor, along
        As in `Model.predict`; None for its defaults.
    """
    if voxel_size is None:
        return 1.0
    fine = min(voxel_size)
    coarse = max(voxel_size) if along is None else voxel_size["ZYX".index(along)]
    return coarse / (factor or max(2, round(coarse / fine))) / fine


def result_scale(axes: str, scale: Sequence[float], along: str, ratio: float) -> list[float]:
    """Return the scale of a volume with `ratio` times the planes of a layer, at the same place.

    The first plane of both is the same, and so is every measured one: all else of the layer's
    transform (translation, rotation, shear, affine) holds for the result as it is.
    """
    return [
        float(step) / ratio if axis == along else float(step)
        for axis, step in zip(axes, scale, strict=False)
    ]


def stack_index(axes: str, position: Sequence[float], shape: Sequence[int]) -> dict[str, int]:
    """Return the voxel at, or next to, a position in a layer's data coordinates, by axis."""
    return {
        axis: int(min(max(round(float(at)), 0), size - 1))
        for axis, at, size in zip(axes, position, shape, strict=False)
    }


def slab_lines(slabs: Sequence[Slab]) -> NDArray[np.float64]:
    """Return the lines in XY along which slices of a preview lie: start and length, (y, x) each.

    None for slices that XY does not cut in a line: those of a stack that is coarse along X or Y.
    """
    if any(slab.axes[1] != "Z" for slab in slabs):
        return np.zeros((0, 2, 2))
    lines = np.zeros((len(slabs), 2, 2))
    for line, slab in zip(lines, slabs, strict=True):
        start, place = slab.first
        line[:] = (place, start), (0, slab.linear.shape[1] - 1)
        if slab.axes[0] != "X":
            line[:] = line[:, ::-1].copy()
    return lines


def in_plane(to_world: Callable[[ArrayLike], ArrayLike], ndim: int) -> NDArray[np.float64] | None:
    """Return what places a layer's last two axes in the world, (3, 3); None for an oblique layer.

    Parameters
    ----------
    to_world
        From a place in the layer's data to one in the world: affine.
    ndim
        Number of axes.
    """
    origin = np.asarray(to_world([0.0] * ndim), np.float64)
    steps = np.stack([np.asarray(to_world(row), np.float64) - origin for row in np.eye(ndim)], 1)
    apart = np.abs(np.concatenate([steps[:-2, -2:].ravel(), steps[-2:, :-2].ravel()]))
    if apart.size and apart.max() > 1e-6 * np.abs(steps).max():
        return None
    matrix = np.eye(3)
    matrix[:2, :2], matrix[:2, 2] = steps[-2:, -2:], origin[-2:]
    return matrix


def measured_voxels(measured: NDArray[np.float32], axes: str, along: str) -> NDArray[np.float32]:
    """Return which share of each plane of a result was measured: its axes, of length 1 within.

    Parameters
    ----------
    measured
        Share of each plane that was measured, (T, C, planes), from 0 (invented) to 1.
    axes
        Of the result.
    along
        The axis of the planes.
    """
    names = ["T", "C", along]
    absent = tuple(i for i, axis in enumerate(names) if axis not in axes)
    kept = [axis for axis in names if axis in axes]
    # Colours are one layer: where one of them is invented, their voxel is.
    shares = measured.min(axis=absent).transpose([kept.index(a) for a in axes if a in kept])
    full: NDArray[np.float32] = shares[tuple(slice(None) if a in kept else None for a in axes)]
    return full
