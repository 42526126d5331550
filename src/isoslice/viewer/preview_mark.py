"""The place of a preview in the viewer: a line along each of its slices."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import numpy as np
from qtpy.QtCore import QTimer

from isoslice.viewer.figure import MARKED
from isoslice.viewer.messages import Slab
from isoslice.viewer.placement import in_plane, slab_lines

NAME = "place of the preview"
#: Milliseconds from adding the layer to drawing it, which together would hold up the window.
DRAWN_AFTER = 30


class PreviewMark:
    """Marks where a preview was made, in a layer that can be hidden or removed as any other.

    What a person has removed does not come back, and it is there only while the viewer shows XY:
    elsewhere its lines would lie at no place of the stack.
    """

    def __init__(self, viewer: Any) -> None:
        self._viewer = viewer
        self._layer: Any = None
        self._unwanted = False
        self._next: tuple[Any, Any] | None = None
        # A new layer takes a while: after the preview is drawn.
        self._soon, self._drawn = QTimer(), QTimer()
        for timer, then in ((self._soon, self._show), (self._drawn, self._appear)):
            timer.setSingleShot(True)
            timer.timeout.connect(then)
        self._events = (viewer.dims.events.ndisplay, viewer.dims.events.order)
        for event in self._events:
            event.connect(self._turned)
        viewer.layers.events.removed.connect(self._removed)

    def show(self, source: Any, axes: str, slabs: Sequence[Slab]) -> None:
        """Mark the slices of a preview of a layer, or nothing where they have no place in XY."""
        flat = axes.strip().upper()[: source.ndim].endswith("YX")
        self._next = (source, slab_lines(slabs if flat else ()))
        self._soon.start(0)

    def _show(self) -> None:
        if self._next is None:
            return
        source, lines = self._next
        matrix = in_plane(source.data_to_world, source.ndim)
        if self._unwanted or not self._shows_xy() or not len(lines) or matrix is None:
            self.hide()
        elif self._layer is not None:
            self._layer.affine = matrix
            self._layer.data = lines
        else:
            self._add(source, lines, matrix)

    def hide(self) -> None:
        """Remove the mark; the next preview has one again."""
        self._soon.stop()
        self._drawn.stop()
        layer, self._layer, self._next = self._layer, None, None
        if layer is not None:
            with suppress(ValueError):  # it is being removed with all others
                self._viewer.layers.remove(layer)

    def let_go(self) -> None:
        """Remove the mark, and hear of the viewer no more."""
        for event in self._events:
            event.disconnect(self._turned)
        self._viewer.layers.events.removed.disconnect(self._removed)
        self.hide()

    def _add(self, source: Any, lines: Any, matrix: Any) -> None:
        active = self._viewer.layers.selection.active
        self._layer = self._viewer.add_vectors(  # shapes take three times as long
            lines,
            vector_style="line",
            edge_color=MARKED.name(),
            edge_width=1,
            opacity=0.7,
            name=NAME,
            visible=False,
            affine=matrix,
            units=[str(unit) for unit in source.units[-2:]],
            axis_labels=source.axis_labels[-2:],
        )
        self._viewer.layers.selection.active = active
        self._drawn.start(DRAWN_AFTER)

    def _appear(self) -> None:
        if self._layer is not None:
            self._layer.visible = True

    def _shows_xy(self) -> bool:
        dims = self._viewer.dims
        last = set(range(dims.ndim)[-2:])
        return dims.ndisplay == 2 and set(np.asarray(dims.displayed).tolist()) == last

    def _turned(self, event: object = None) -> None:
        if not self._shows_xy():
            self.hide()

    def _removed(self, event: Any) -> None:
        if self._layer is not None and event.value is self._layer:
            self._layer, self._unwanted = None, True
