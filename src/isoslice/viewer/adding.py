"""New layers, added so that the window goes on between them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from qtpy.QtCore import QTimer

from isoslice.viewer.results import NewLayer

#: Milliseconds between two layers, for all else that the window has to do.
BETWEEN = 30


def add_one_by_one(viewer: Any, layers: Sequence[NewLayer], done: Callable[[], None]) -> None:
    """Add layers to a viewer, whose selection stays as it is, and call `done`."""
    if not layers:
        done()
        return
    active = viewer.layers.selection.active
    layers[0].add(viewer)
    if viewer.layers.selection.active is not active:
        viewer.layers.selection.active = active
    pause = BETWEEN if layers[1:] else 0
    QTimer.singleShot(pause, lambda: add_one_by_one(viewer, layers[1:], done))
