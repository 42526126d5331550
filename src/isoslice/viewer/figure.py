"""The picture of a preview: XZ and YZ slices, measured rows marked at both sides."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QRectF, Qt
from qtpy.QtGui import QColor, QImage, QPainter, QPaintEvent
from qtpy.QtWidgets import QSizePolicy, QWidget

from isoslice.viewer.messages import Previewed, Slab

#: Width of the marks of measured rows at each side, the gap between slices, in pixels.
MARK, GAP = 8, 6
#: Colour of the marks, which is read on dark and light grounds alike.
MARKED = QColor("#e69f00")
#: Height of a slice in the panel, at most.
TALLEST = 112


class PreviewFigure(QWidget):
    """Shows the slices of a preview at a place of the dial, or what interpolation makes."""

    def __init__(self) -> None:
        super().__init__()
        self._preview: Previewed | None = None
        self._place, self._interpolated = 0, False
        self._window, self._aspect = (0.0, 1.0), 1.0
        self._message = ""
        self.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.setFixedHeight(110)
        self.setAccessibleName("Preview of the restoration")

    def show_message(self, text: str) -> None:
        """Show a line of text in place of slices that there are none of."""
        self._message = text
        self.update()

    def show_preview(
        self, preview: Previewed | None, window: tuple[float, float], aspect: float
    ) -> None:
        """Show slices.

        Parameters
        ----------
        preview
            The slices; None for none.
        window
            Intensities that are shown as black and white.
        aspect
            Height of a row over width of a column, as lengths.
        """
        self._preview, self._window, self._aspect = preview, window, max(aspect, 1e-3)
        self._fit()
        self.update()

    def set_window(self, window: tuple[float, float]) -> None:
        """Show other intensities as black and white."""
        self._window = window
        self.update()

    def set_place(self, place: int) -> None:
        """Show another place of the dial."""
        self._place = place
        self.update()

    def set_interpolated(self, interpolated: bool) -> None:
        """Show linear interpolation instead of what the model restored."""
        self._interpolated = interpolated
        self.update()

    @property
    def images(self) -> list[NDArray[np.uint8]]:
        """The slices as they are shown, (rows, columns) each, 0 black and 255 white."""
        if self._preview is None:
            return []
        return [_grey(self._slice(slab), self._window) for slab in self._preview.slabs]

    def resizeEvent(self, event: object) -> None:
        """Fit the slices into the width."""
        self._fit()

    def paintEvent(self, event: QPaintEvent | None) -> None:
        """Draw slices, their axes, and the marks of measured rows."""
        painter = QPainter(self)
        colour = self.palette().color(self.foregroundRole())
        painter.setPen(colour)
        if self._preview is None:
            flags = Qt.AlignmentFlag.AlignCenter | Qt.TextFlag.TextWordWrap
            painter.drawText(self.rect(), int(flags.value), self._message)
            return
        painter.setRenderHint(QPainter.RenderHint.SmoothPixmapTransform)
        top = 0.0
        line = self.fontMetrics().height()
        for slab, grey in zip(self._preview.slabs, self.images, strict=True):
            width, height = self._size(slab)
            painter.setPen(colour)
            painter.drawText(QRectF(MARK, top, self.width(), line), 0, _caption(slab))
            top += line
            place = QRectF(MARK + GAP, top, width, height)
            painter.drawImage(place, _as_image(grey))
            painter.setPen(MARKED)
            painter.setBrush(MARKED)
            rows = len(slab.measured)
            for row in np.flatnonzero(slab.measured):
                y = top + (row + 0.5) * height / rows
                for x in (0.0, MARK + 2 * GAP + width):
                    painter.fillRect(QRectF(x, y - 1, MARK, 2), MARKED)
            top += height + GAP

    def _slice(self, slab: Slab) -> NDArray[np.generic]:
        if self._interpolated:
            return slab.linear
        shown: NDArray[np.generic] = slab.restored[min(self._place, len(slab.restored) - 1)]
        return shown

    def _size(self, slab: Slab) -> tuple[float, float]:
        """Return width and height of a slice in pixels of the screen."""
        rows, columns = slab.linear.shape
        room = max(self.width() - 2 * (MARK + GAP), 16)
        zoom = min(room / columns, TALLEST / (rows * self._aspect))
        return columns * zoom, rows * self._aspect * zoom

    def _fit(self) -> None:
        if self._preview is None:
            return
        line = self.fontMetrics().height()
        heights = [self._size(slab)[1] for slab in self._preview.slabs]
        self.setFixedHeight(round(sum(heights) + (line + GAP) * len(heights)))


def _caption(slab: Slab) -> str:
    across, down = slab.axes[0], slab.axes[1]
    fixed = next(axis for axis in "ZYX" if axis not in slab.axes)
    start, place = slab.first
    stop = start + slab.linear.shape[1] - 1
    return f"{across}{down} at {fixed} = {place}, {across} {start} to {stop}"


def _grey(values: NDArray[np.generic], window: tuple[float, float]) -> NDArray[np.uint8]:
    low, high = window
    scaled = (values.astype(np.float32) - low) * (255 / max(high - low, 1e-9))
    grey: NDArray[np.uint8] = np.nan_to_num(scaled).clip(0, 255).astype(np.uint8)
    return grey


def _as_image(grey: NDArray[np.uint8]) -> QImage:
    rows, columns = grey.shape
    data = np.ascontiguousarray(grey).tobytes()
    return QImage(data, columns, rows, columns, QImage.Format.Format_Grayscale8).copy()
