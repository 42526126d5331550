"""The list of the layers that can be restored."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QComboBox


class LayerChoice(QComboBox):
    """Lists a viewer's image layers, but for results; `chosen` tells that another one is meant.

    The active layer is chosen first.
    """

    chosen = Signal()

    def __init__(self, viewer: Any) -> None:
        super().__init__()
        self._viewer = viewer
        self._told: Any = self  # no layer: the first choice is told, even that of none
        self.setToolTip("The layer to restore: a z-stack that is coarse along one axis")
        self.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
        self.currentIndexChanged.connect(self._tell)
        for event in ("inserted", "removed", "reordered"):
            getattr(viewer.layers.events, event).connect(self.list_layers)

    @property
    def layer(self) -> Any:
        """The layer that is chosen, or None."""
        return self.currentData()

    def list_layers(self, event: object = None) -> None:
        """List the layers, and keep the one that is chosen, or take the active one."""
        images = [each for each in self._viewer.layers if type(each).__name__ == "Image"]
        ours = [each for each in images if "isoslice" not in each.metadata][::-1]  # topmost first
        before, active = self.layer, self._viewer.layers.selection.active
        self.blockSignals(True)
        self.clear()
        for each in ours:
            self.addItem(each.name, each)
        keep = next((each for each in (before, active) if each in ours), None)
        self.setCurrentIndex(ours.index(keep) if keep is not None else len(ours[:1]) - 1)
        self.blockSignals(False)
        self._tell()

    def let_go(self) -> None:
        """Hear of the viewer no more."""
        for event in ("inserted", "removed", "reordered"):
            getattr(self._viewer.layers.events, event).disconnect(self.list_layers)

    def _tell(self, index: int = 0) -> None:
        if self.layer is not self._told:
            self._told = self.layer
            self.chosen.emit()
