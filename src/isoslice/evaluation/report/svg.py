"""Line plots as SVG, without a plotting library; colours come from the page's style."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.evaluation.figures import round_length
from isoslice.evaluation.report.text import safe

#: Size of a plot and its margins, in SVG user units.
WIDTH, HEIGHT = 360, 240
LEFT, RIGHT, TOP, BOTTOM = 52, 12, 12, 40
#: Most powers of ten that a logarithmic axis covers.
MAX_DECADES = 6


@dataclass(frozen=True)
class Line:
    """A curve.

    Attributes
    ----------
    kind
        Role of the volume, which sets colour and dashes; see `Scene.kind`.
    x, y
        Shape (n,); points that are not finite are left out.
    """

    kind: str
    label: str
    x: NDArray[np.float64]
    y: NDArray[np.float64]


@dataclass(frozen=True)
class Band:
    """An area between two curves over `x`."""

    x: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]


@dataclass(frozen=True)
class Plot:
    """What is drawn over a common x axis.

    Attributes
    ----------
    lines, bands, dots
        Curves, areas and points; y values must be positive if `logarithmic`.
    x_label, y_label
        Labels, with units.
    logarithmic
        Whether the y axis is logarithmic.
    y_range
        Range of the y axis (logarithms if `logarithmic`); by default that of the data.
    marker
        Position of a vertical line on the x axis.
    shade_from, shade_label
        Start of a shaded region on the x axis, and its label.
    """

    lines: Sequence[Line]
    x_label: str
    y_label: str
    bands: Sequence[Band] = ()
    dots: Sequence[Line] = ()
    logarithmic: bool = False
    y_range: tuple[float, float] | None = None
    marker: float | None = None
    shade_from: float | None = None
    shade_label: str = ""


@dataclass(frozen=True)
class _Axes:
    """Ranges of a plot's axes, the y axis in logarithms if `logarithmic`."""

    x_range: tuple[float, float]
    y_range: tuple[float, float]
    logarithmic: bool

    def across(self, x: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Map x values to SVG coordinates."""
        share = (np.asarray(x) - self.x_range[0]) / (self.x_range[1] - self.x_range[0])
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def down(self, y: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Map y values to SVG coordinates, clipped to the plot."""
        with np.errstate(divide="ignore", invalid="ignore"):
            value = np.log10(np.asarray(y, float)) if self.logarithmic else np.asarray(y, float)
        low, high = self.y_range
        return TOP + (1 - ((value - low) / (high - low)).clip(0, 1)) * (HEIGHT - TOP - BOTTOM)

    def path(self, x: NDArray[np.float64], y: NDArray[np.float64]) -> str:
        """Draw a path through the finite points."""
        points = zip(self.across(x), self.down(y), strict=True)
        shown = "L".join(f"{a:.1f} {b:.1f}" for a, b in points if math.isfinite(b))
        return f"M{shown}" if shown else ""

    def grid(self) -> list[str]:
        """Draw lines and numbers at the ticks of both axes."""
        parts = []
        for value in ticks(*self.y_range, whole=self.logarithmic):
            at = float(self.down(10.0**value if self.logarithmic else value))
            text = f"10{_superscript(round(value))}" if self.logarithmic else f"{value:g}"
            parts.append(
                f'<path class="grid" d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}"/><text x="{LEFT - 6}" '
                f'y="{at + 3.5:.1f}" text-anchor="end">{text}</text>'
            )
        for value in ticks(*self.x_range):
            at = float(self.across(value))
            parts.append(
                f'<path class="grid" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/><text x="{at:.1f}" '
                f'y="{HEIGHT - BOTTOM + 14}" text-anchor="middle">{value:g}</text>'
            )
        return parts


def line_plot(plot: Plot, alt: str) -> str:
    """Draw a plot as SVG, with an alternative text."""
    axes = _axes(plot)
    parts = [
        f'<svg class="plot" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{safe(alt)}">'
    ]
    if plot.shade_from is not None and plot.shade_from < axes.x_range[1]:
        left = float(axes.across(plot.shade_from))
        parts.append(
            f'<rect class="shade" x="{left:.1f}" y="{TOP}" width="{WIDTH - RIGHT - left:.1f}" '
            f'height="{HEIGHT - TOP - BOTTOM}"/><text class="shade-label" x="{WIDTH - RIGHT - 4}" '
            f'y="{TOP + 12}" text-anchor="end">{safe(plot.shade_label)}</text>'
        )
    parts += axes.grid()
    for band in plot.bands:
        there, back = axes.path(band.x, band.high), axes.path(band.x[::-1], band.low[::-1])
        if there and back:
            parts.append(f'<path class="band" d="{there}L{back[1:]}Z"/>')
    parts += [f'<path class="line {safe(c.kind)}" d="{axes.path(c.x, c.y)}"/>' for c in plot.lines]
    for curve in plot.dots:
        for a, b in zip(axes.across(curve.x), axes.down(curve.y), strict=True):
            if math.isfinite(b):
                kind = safe(curve.kind)
                parts.append(f'<circle class="dot {kind}" cx="{a:.1f}" cy="{b:.1f}" r="2.6"/>')
    if plot.marker is not None:
        at = float(axes.across(plot.marker))
        parts.append(f'<path class="marker" d="M{at:.1f} {TOP}V{HEIGHT - BOTTOM}"/>')
    middle = LEFT + (WIDTH - LEFT - RIGHT) / 2
    parts.append(
        f'<text class="label" x="{middle:.0f}" y="{HEIGHT - 6}" text-anchor="middle">'
        f'{safe(plot.x_label)}</text><text class="label" transform="translate(12 '
        f'{TOP + (HEIGHT - TOP - BOTTOM) / 2:.0f}) rotate(-90)" text-anchor="middle">'
        f"{safe(plot.y_label)}</text></svg>"
    )
    return "".join(parts)


def _axes(plot: Plot) -> _Axes:
    """Choose ranges that hold all curves, with a margin above and below."""
    curves = [*plot.lines, *plot.dots]
    ys = [c.y for c in curves] + [end for b in plot.bands for end in (b.low, b.high)]
    if plot.logarithmic:
        ys = [np.log10(y[y > 0]) for y in ys]
    low, high = plot.y_range or _range(ys)
    if plot.logarithmic:
        low = max(low, high - MAX_DECADES)
    margin = 0.05 * (high - low)
    x_range = _range([curve.x for curve in curves] + [band.x for band in plot.bands])
    return _Axes(x_range, (low - margin, high + margin), plot.logarithmic)


def ticks(low: float, high: float, whole: bool = False, most: int = 5) -> list[float]:
    """Choose about `most` ticks from `low` to `high` in steps of 1, 2 or 5 times a power of ten.

    With `whole`, only integers.
    """
    if not (math.isfinite(low) and math.isfinite(high) and high > low):
        return []
    step = round_length((high - low) / 2)
    while (high - low) / _finer(step) <= most and not (whole and _finer(step) < 1):
        step = _finer(step)
    if whole:
        step = max(1.0, round(step))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [float(f"{i * step:.12g}") for i in range(first, last + 1)]


def _finer(step: float) -> float:
    return round_length(step * 0.99)


def _range(values: Sequence[NDArray[np.float64]]) -> tuple[float, float]:
    finite = np.concatenate([v[np.isfinite(v)] for v in values]) if values else np.zeros(0)
    if not len(finite):
        return 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _superscript(number: int) -> str:
    return str(number).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
