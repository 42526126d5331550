"""Lay out blocks of pictures on a white page, enlarged by a whole number of pixels."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from isoslice.evaluation.figures import check_matplotlib
from isoslice.io.atomic import atomic_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Layout, in pixels of the finished page.
DPI = 200
MARGIN, GAP, GROUP_GAP, BLOCK_GAP, PAD = 24, 8, 24, 28, 12
#: Panels are enlarged by the smallest whole number that makes them at least this wide.
PANEL = 160
FONT, LINE = 8, 28
TEXT, RULE = "#16181d", 120
#: Pieces that headings are broken into: words, else parts of words, else characters.
_PIECES = tuple(map(re.compile, (r"\S+", r"[^-_/+]+[-_/+]*|[-_/+]+", r".")))


@dataclass(frozen=True)
class RowBlock:
    """Rows of pictures that belong together.

    Attributes
    ----------
    label
        Shown at the left of all its rows.
    rows
        Label and pictures, shape (H, W, 3), of each row; one picture for each of the page's
        columns, all of a row equally high.
    """

    label: str
    rows: tuple[tuple[str, tuple[NDArray[np.uint8], ...]], ...]


@dataclass(frozen=True)
class Page:
    """Columns, groups of columns, and blocks of rows to draw.

    Attributes
    ----------
    columns
        Heading of each column.
    groups
        Heading over neighbouring columns that share it, for each column; empty for none.
    blocks
        From top to bottom.
    """

    columns: tuple[str, ...]
    groups: tuple[str, ...]
    blocks: tuple[RowBlock, ...]


@dataclass(frozen=True)
class TextItem:
    """Text on the page; `x` and `y` are its anchor, in pixels from the left and the top."""

    text: str
    x: float
    y: float
    across: Literal["left", "center"] = "center"
    along: Literal["baseline", "center"] = "center"
    bold: bool = False


def save_page(page: Page, path: str | Path, *, overwrite: bool = False) -> None:
    """Draw `page` and save it as a PNG.

    Raises
    ------
    OutputError
        If the picture cannot be written, or exists and `overwrite` is False.
    SettingsError
        If matplotlib is missing.
    """
    check_matplotlib()
    pixels, words = compose(page, text_width)
    figure = _draw(pixels, words)
    with atomic_output(Path(path), overwrite=overwrite) as draft:
        figure.savefig(draft, dpi=DPI, format="png", facecolor="white")


def compose(
    page: Page, measure: Callable[[str, bool], float]
) -> tuple[NDArray[np.uint8], list[TextItem]]:
    """Lay out `page`: its pixels, shape (H, W, 3), and the text to write on them.

    `measure` returns the width in pixels of a text, bold or not.
    """
    zoom, widths = _panel_widths(page)
    lefts, right = _column_lefts(page, widths, measure)
    words: list[TextItem] = []
    heads = [
        wrap(name, wide - GAP, lambda text: measure(text, False))
        for name, wide in zip(page.columns, widths, strict=True)
    ]
    top = MARGIN
    lines: list[tuple[int, int, int]] = []
    if any(page.groups):
        for first, last in _runs(page.groups):
            ends = lefts[first], lefts[last] + widths[last]
            if page.groups[first]:
                middle = sum(ends) / 2
                words.append(TextItem(page.groups[first], middle, top + LINE / 2, bold=True))
                lines.append((top + LINE + 4, *ends))
        top += LINE + PAD
    top += LINE * max(map(len, heads), default=0)
    for head, left, wide in zip(heads, lefts, widths, strict=True):
        words.append(TextItem("\n".join(head), left + wide / 2, top - PAD, along="baseline"))
    top += 4
    panels: list[tuple[int, int, NDArray[np.uint8]]] = []
    name_left = MARGIN + _label_width([block.label for block in page.blocks], True, measure)
    for block in page.blocks:
        start = top
        for name, pictures in block.rows:
            for left, picture in zip(lefts, pictures, strict=True):
                panels.append((top, left, picture))
            high = zoom * pictures[0].shape[0]
            words.append(TextItem(name, name_left, top + high / 2, "left"))
            top += high + GAP
        top -= GAP
        words.append(TextItem(block.label, MARGIN, (start + top) / 2, "left", bold=True))
        top += BLOCK_GAP
    bottom = top - BLOCK_GAP + MARGIN
    pixels = np.full((bottom, right + MARGIN, 3), 255, np.uint8)
    for y, first_x, last_x in lines:
        pixels[y : y + 2, first_x:last_x] = RULE
    for y, x, picture in panels:
        large = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
        pixels[y : y + large.shape[0], x : x + large.shape[1]] = large
    return pixels, [word for word in words if word.text]


def wrap(name: str, width: float, measure: Callable[[str], float]) -> list[str]:
    """Break `name` into lines no wider than `width`.

    Lines end at spaces; within a word only if it is too wide for a line of its own: after ``-``,
    ``_``, ``/`` or ``+`` if possible, else anywhere.
    """
    return _fill(name, width, measure, level=0)


def _fill(name: str, width: float, measure: Callable[[str], float], level: int) -> list[str]:
    """Fill lines with ever smaller pieces: words at level 0, parts of them, characters."""
    between = " " if level == 0 else ""
    lines: list[str] = []
    for piece in _PIECES[level].findall(name):
        joined = f"{lines[-1]}{between}{piece}" if lines else piece
        if measure(joined) <= width:
            lines[-1:] = [joined]
        elif measure(piece) > width and level + 1 < len(_PIECES):
            lines += _fill(piece, width, measure, level + 1)
        else:
            lines.append(piece)
    return lines


def text_width(text: str, bold: bool) -> float:
    """Measure the width in pixels of `text` on one line, as drawn on the page."""
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(weight="bold" if bold else "normal")
    # A dollar does not begin a formula here.
    path = TextPath((0, 0), text.replace("$", r"\$"), size=FONT * DPI / 72, prop=font)
    return float(path.get_extents().width)


def _panel_widths(page: Page) -> tuple[int, list[int]]:
    """Return the zoom, and each column's width in page pixels."""
    rows = [pictures for block in page.blocks for _, pictures in block.rows]
    widths = [max(pictures[c].shape[1] for pictures in rows) for c in range(len(page.columns))]
    zoom = max(1, -(-PANEL // max(widths)))
    return zoom, [zoom * width for width in widths]


def _column_lefts(
    page: Page, widths: Sequence[int], measure: Callable[[str, bool], float]
) -> tuple[list[int], int]:
    """Return left ends of the columns, and the right end of the last one."""
    left = MARGIN + _label_width([block.label for block in page.blocks], True, measure)
    left += _label_width([name for block in page.blocks for name, _ in block.rows], False, measure)
    starts = {first for first, _ in _runs(page.groups)}
    lefts: list[int] = []
    for column, width in enumerate(widths):
        if column:
            left += GROUP_GAP if any(page.groups) and column in starts else GAP
        lefts.append(left)
        left += width
    return lefts, left


def _label_width(labels: Sequence[str], bold: bool, measure: Callable[[str, bool], float]) -> int:
    wide = max((measure(label, bold) for label in labels if label), default=0.0)
    return int(np.ceil(wide)) + PAD if wide else 0


def _runs(groups: Sequence[str]) -> list[tuple[int, int]]:
    """Return first and last column of each run of the same group."""
    starts = [i for i, group in enumerate(groups) if not i or group != groups[i - 1]]
    return list(zip(starts, [start - 1 for start in starts[1:]] + [len(groups) - 1], strict=True))


def _draw(pixels: NDArray[np.uint8], words: Sequence[TextItem]) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    height, width = pixels.shape[:2]
    # Matplotlib rounds the size down; one pixel less would shift the rest.
    figure = Figure(figsize=((width + 0.1) / DPI, (height + 0.1) / DPI), dpi=DPI)
    FigureCanvasAgg(figure)
    figure.figimage(pixels, origin="upper")
    for word in words:
        figure.text(
            word.x / width,
            1 - word.y / height,
            word.text,
            color=TEXT,
            fontsize=FONT,
            linespacing=1.1,
            weight="bold" if word.bold else "normal",
            ha=word.across,
            va=word.along,
            parse_math=False,
        )
    return figure
