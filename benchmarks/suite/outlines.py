"""A picture of what is found: XZ slices of several volumes with the bodies' outlines."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.io.atomic import atomic_output
from suite.segmentation import Recipe, segment

#: Colours of the truth's outline and of the volume's own: apart for colour-blind eyes too.
TRUE, OWN = "#56b4e9", "#d55e00"
WIDTH, DPI = 248, 110


def busiest(labels: NDArray[Any], width: int) -> tuple[int, slice]:
    """Return the row (Y) and the `width` columns (X) whose XZ slice crosses most outlines."""
    inside = labels > 0
    edges = np.abs(np.diff(inside.astype(np.int8), axis=0)).sum(0)
    width = min(width, edges.shape[1])
    sums = np.apply_along_axis(np.convolve, 1, edges, np.ones(width, int), "valid")
    y, x = np.unravel_index(int(sums.argmax()), sums.shape)
    return int(y), slice(int(x), int(x) + width)


def outlines_figure(volumes: Mapping[str, NDArray[Any]], recipe: Recipe, path: Path) -> None:
    """Draw one XZ slice of each volume with what is found in it, and what is in the truth.

    Parameters
    ----------
    volumes
        Whole volumes (Z, Y, X) by method, the truth first.
    recipe
        What to look for.
    path
        Of the PNG; replaced if it is there.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    bodies = {name: segment(volume, recipe) for name, volume in volumes.items()}
    (first, truth), *_ = bodies.items()
    step = recipe.step
    row, columns = busiest(truth, WIDTH // step)
    y, x = row * step, slice(columns.start * step, columns.stop * step)
    low, high = np.percentile(volumes[first][:, y, x], (0.5, 99.5))
    depth, width = volumes[first][:, y, x].shape
    across = 2 if len(volumes) > 3 else len(volumes)
    down = -(-len(volumes) // across)
    figure = Figure(
        figsize=(4.2 * across, (4.2 * depth / width + 0.3) * down), dpi=DPI, layout="constrained"
    )
    FigureCanvasAgg(figure)
    panels = figure.subplots(down, across, squeeze=False).ravel()
    for panel in panels:
        panel.set_axis_off()
    for panel, (name, volume) in zip(panels, volumes.items(), strict=False):
        panel.imshow(volume[:, y, x], cmap="gray", vmin=low, vmax=high, aspect="equal")
        at = np.arange(columns.stop - columns.start) * step
        planes = np.arange(depth)
        _outline(panel, at, planes, truth[:, row, columns], TRUE, 1.6)
        if name != first:
            _outline(panel, at, planes, bodies[name][:, row, columns], OWN, 1.1)
        panel.set_title(name, fontsize=10)
    with atomic_output(path, overwrite=True) as draft:
        figure.savefig(draft, format="png", facecolor="white")


def _outline(
    panel: Any, x: NDArray[Any], z: NDArray[Any], labels: NDArray[Any], colour: str, width: float
) -> None:
    inside = labels > 0
    if inside.any() and not inside.all():
        panel.contour(x, z, inside.astype(float), levels=[0.5], colors=colour, linewidths=width)
