"""Side-by-side pictures of volumes; needs matplotlib."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import VoxelSize
from isoslice.errors import DataError, SettingsError
from isoslice.io.atomic import atomic_output
from isoslice.io.extras import require_installed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Layout, in pixels of the finished picture.
DPI = 200
PANEL, GAP, MARGIN, TITLE, LABEL, FOOT = 300, 10, 24, 44, 52, 44
BACKGROUND, TEXT, FAINT = "#0e1014", "#f2f3f5", "#9aa0aa"
#: Rows of panels, and the colour of their names and of their cuts through the XY panel.
ROWS = {"XY": TEXT, "XZ": "#ffb454", "YZ": "#59c2ff"}


@dataclass(frozen=True)
class View:
    """What all panels show: one plane of each direction, cropped to one window.

    Attributes
    ----------
    z, y, x
        Plane shown as XY, row cut for XZ, column cut for YZ.
    rows, columns
        Window along Y and along X.
    """

    z: int
    y: int
    x: int
    rows: slice
    columns: slice

    def panels(self, volume: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Return the three images of `volume`, shape (Z, Y, X), named as in `ROWS`."""
        return {
            "XY": volume[self.z, self.rows, self.columns],
            "XZ": volume[:, self.y, self.columns],
            "YZ": volume[:, self.rows, self.x],
        }


def choose_view(reference: NDArray[Any], factor: int = 1, crop: int = 128) -> View:
    """Choose the window and the planes with the highest variance.

    Parameters
    ----------
    reference
        The volume to choose by, shape (Z, Y, X); the truth where there is one.
    factor
        Output planes per measured plane: the XY plane is one midway between two measured ones.
    crop
        Side of the window in pixels; smaller volumes are shown whole.
    """
    depth, height, width = reference.shape
    columns = reference.astype(np.float64)
    along_z = columns.var(axis=0) + columns.mean(axis=0).var()  # structure along Z, in one image
    rows, cols = _best_window(along_z, min(crop, height), min(crop, width))
    inside = columns[:, rows, cols]
    # Planes at the very edge of the window would say nothing about the XY panel.
    y = rows.start + _best_inside(inside.var(axis=(0, 2)))
    x = cols.start + _best_inside(inside.var(axis=(0, 1)))
    planes = np.arange(depth)
    midway = planes[planes % factor == factor // 2] if factor > 1 else planes
    candidates = midway if len(midway) else planes
    z = int(candidates[inside[candidates].var(axis=(1, 2)).argmax()])
    return View(z, y, x, rows, cols)


def check_matplotlib() -> None:
    """Raise `SettingsError` if matplotlib is missing."""
    require_installed("matplotlib", "matplotlib", "a figure to draw", SettingsError)


def comparison_figure(
    volumes: Mapping[str, NDArray[Any]],
    voxel_size: Sequence[float],
    path: str | Path,
    *,
    view: View | None = None,
    crop: int = 128,
    unit: str = "µm",
    overwrite: bool = False,
) -> None:
    """Draw volumes side by side: one column each, with rows XY, XZ and YZ, and save a PNG.

    All panels show the same region in the same intensity window at the same physical scale, both
    chosen by the last volume (the truth, where there is one).

    Parameters
    ----------
    volumes
        Title and voxels, shape (Z, Y, X), of each column. A coarse stack, with one plane for
        every `k` of the deepest, is shown by nearest neighbour: planes as thick as their spacing.
    voxel_size
        Spacing along Z, Y and X of the deepest volume.
    path
        Where to write the PNG.
    view
        What to show; by default `choose_view` of the last volume.
    crop
        Side of the window in pixels.
    unit
        Of `voxel_size`, for the scale bar.
    overwrite
        Replace an existing file.

    Raises
    ------
    DataError
        If shapes don't fit together.
    OutputError
        If the picture cannot be written, or exists and `overwrite` is False.
    SettingsError
        If matplotlib is missing.
    """
    check_matplotlib()
    size = VoxelSize(*voxel_size)
    depth = max((volume.shape[0] for volume in volumes.values()), default=0)
    fitted = {name: _fit(name, volume, depth) for name, volume in volumes.items()}
    _check_shapes(fitted)
    reference = list(fitted.values())[-1]
    factor = max((depth - 1) // max(v.shape[0] - 1, 1) for v in volumes.values())
    view = view or choose_view(reference, factor, crop)
    figure = _draw(fitted, size, view, _window(reference), unit)
    with atomic_output(Path(path), overwrite=overwrite) as draft:
        figure.savefig(draft, dpi=DPI, format="png", facecolor=BACKGROUND)


def _fit(name: str, volume: NDArray[Any], depth: int) -> NDArray[Any]:
    """Repeat planes of a coarse stack: each reaches halfway to its neighbours."""
    planes = volume.shape[0] if volume.ndim == 3 else 0
    if planes == depth:
        return volume
    if planes < 2 or (depth - 1) % (planes - 1):
        raise DataError(
            f"{name}: got shape {volume.shape}, expected (Z, Y, X) with {depth} planes, or with "
            "planes at every k-th of them"
        )
    factor = (depth - 1) // (planes - 1)
    nearest: NDArray[Any] = volume[(np.arange(depth) + (factor - 1) // 2) // factor]
    return nearest


def _check_shapes(volumes: Mapping[str, NDArray[Any]]) -> None:
    shapes = {name: volume.shape for name, volume in volumes.items()}
    if not shapes or len(set(shapes.values())) > 1 or 0 in next(iter(shapes.values())):
        raise DataError(f"got volumes of shapes {shapes}, expected one or more of the same size")


def _window(reference: NDArray[Any]) -> tuple[float, float]:
    low, high = np.percentile(reference, (0.5, 99.7))
    return float(low), float(max(high, low + 1e-12))


def _best_window(image: NDArray[np.float64], height: int, width: int) -> tuple[slice, slice]:
    """Find the window of the given sides with the highest sum of `image`."""
    total = np.pad(image, ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    sums = (
        total[height:, width:]
        - total[:-height, width:]
        - total[height:, :-width]
        + total[:-height, :-width]
    )
    top, left = (int(i) for i in np.unravel_index(int(sums.argmax()), sums.shape))
    return slice(top, top + height), slice(left, left + width)


def _best_inside(values: NDArray[np.float64]) -> int:
    margin = len(values) // 5
    return margin + int(values[margin : len(values) - margin].argmax())


def _draw(
    volumes: Mapping[str, NDArray[Any]],
    size: VoxelSize,
    view: View,
    window: tuple[float, float],
    unit: str,
) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    first = next(iter(volumes.values()))
    scale, heights = _panel_sizes(view.panels(first), size)
    width = 2 * MARGIN + LABEL + len(volumes) * (PANEL + GAP) - GAP
    height = 2 * MARGIN + TITLE + sum(heights.values()) + 2 * GAP + FOOT
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=BACKGROUND)
    FigureCanvasAgg(figure)

    def panel(left: float, top: float, wide: float, high: float) -> Axes:
        return figure.add_axes(
            (left / width, 1 - (top + high) / height, wide / width, high / height)
        )

    top = float(MARGIN + TITLE)
    for row, high in heights.items():
        label = panel(MARGIN, top, LABEL, high)
        label.set_axis_off()
        label.text(
            0.3, 0.5, row, color=ROWS[row], fontsize=9, weight="bold", ha="center", va="center"
        )
        for column, (title, volume) in enumerate(volumes.items()):
            axes = panel(MARGIN + LABEL + column * (PANEL + GAP), top, PANEL, high)
            axes.set_axis_off()
            image = view.panels(volume)[row]
            axes.imshow(image, "gray", vmin=window[0], vmax=window[1], aspect="auto")
            if row == "XY":
                axes.set_title(title, color=TEXT, fontsize=9.5, pad=6)
                _mark_cuts(axes, view)
        top += high + GAP
    foot = panel(MARGIN + LABEL, top + 4, width - 2 * MARGIN - LABEL, FOOT - 4)
    _annotate(foot, scale, view, unit)
    return figure


def _panel_sizes(
    panels: Mapping[str, NDArray[Any]], size: VoxelSize
) -> tuple[float, dict[str, float]]:
    """Return picture pixels per unit of length, and each row's height in picture pixels."""
    scale = PANEL / (panels["XY"].shape[1] * size.x)
    heights = {
        "XY": panels["XY"].shape[0] * size.y * scale,
        "XZ": panels["XZ"].shape[0] * size.z * scale,
        "YZ": panels["YZ"].shape[0] * size.z * PANEL / (panels["YZ"].shape[1] * size.y),
    }
    return scale, heights


def _mark_cuts(axes: Axes, view: View) -> None:
    """Mark at the edges of an XY panel where the XZ and YZ planes intersect it."""
    at_y = 1 - (view.y + 0.5 - view.rows.start) / (view.rows.stop - view.rows.start)
    at_x = (view.x + 0.5 - view.columns.start) / (view.columns.stop - view.columns.start)
    for ends in ((0, 0.05), (0.95, 1)):
        axes.plot(ends, (at_y, at_y), color=ROWS["XZ"], lw=1.6, transform=axes.transAxes)
        axes.plot((at_x, at_x), ends, color=ROWS["YZ"], lw=1.6, transform=axes.transAxes)


def _annotate(axes: Axes, scale: float, view: View, unit: str) -> None:
    """Draw the scale bar and a legend."""
    wide = axes.get_window_extent().width
    length = round_length(0.4 * PANEL / scale)
    axes.set_axis_off()
    axes.set(xlim=(0, wide), ylim=(0, 1))
    axes.plot((0, length * scale), (0.35, 0.35), color=TEXT, lw=3, solid_capstyle="butt")
    axes.text(
        length * scale + 12,
        0.35,
        f"{length:g} {unit}",
        color=TEXT,
        fontsize=8,
        va="center_baseline",
    )
    axes.text(
        wide,
        0.35,
        f"XY: plane {view.z}, not measured  ·  one intensity window for all panels",
        color=FAINT,
        fontsize=8,
        ha="right",
        va="center_baseline",
    )


def round_length(at_most: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is no more than `at_most`."""
    power = 10.0 ** math.floor(math.log10(at_most) + 1e-12)
    factor = max(step for step in (1, 2, 5) if step * power <= at_most * (1 + 1e-9))
    return float(f"{factor * power:.12g}")
