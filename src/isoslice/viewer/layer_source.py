"""The chosen layer as a file that the computing process reads."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from qtpy.QtCore import QObject, Signal

from isoslice.data.volume import AXES
from isoslice.viewer.jobs import Jobs
from isoslice.viewer.messages import Describe, Described
from isoslice.viewer.placement import (
    LayerFacts,
    full_resolution,
    layer_facts,
    on_scale_of,
    scale_of,
    stack_index,
)
from isoslice.viewer.snapshot import snapshot


class LayerSource(QObject):
    """A layer, what it says of itself, and its voxels in a file.

    Layers that are read where they are indexed, such as large Zarr images, are read from their own
    file where that holds the same voxels; all others are written to a folder first.
    """

    #: What the layer's own file says of itself.
    described = Signal(object)
    #: The voxels are in a file: `path`.
    written = Signal()
    failed = Signal(str)
    #: The layer is shown with other contrast limits.
    contrast = Signal()

    def __init__(self, jobs: Jobs, folder: Path) -> None:
        super().__init__()
        self._jobs, self._folder = jobs, folder
        self._asked = 0
        self.layer: Any = None
        self.facts: LayerFacts | None = None
        self.path: Path | None = None
        #: Of the planes along Z, where the layer's own file says that they are unevenly spaced.
        self.positions: tuple[float, ...] | None = None
        jobs.answered.connect(self._answered)
        jobs.ended.connect(self._ended)

    def choose(self, layer: Any) -> LayerFacts | None:
        """Take a layer, and begin to bring it to a file; None takes none.

        Raises
        ------
        DataError
            If it cannot be a stack.
        """
        if self.layer is not None:
            self.layer.events.data.disconnect(self._edited)
            self.layer.events.contrast_limits.disconnect(self._shown)
        self.layer, self.facts, self.path, self._asked = None, None, None, 0
        self.positions = None
        if layer is None:
            return None
        facts = layer_facts(layer)
        self.layer, self.facts = layer, facts
        layer.events.data.connect(self._edited)
        layer.events.contrast_limits.connect(self._shown)
        if facts.path is not None and facts.path.exists():
            self._asked = self._jobs.ask(Describe(str(facts.path)))
        else:
            self._write()
        return facts

    def rename(self, axes: str) -> bool:
        """Take other axes than the layer says, if they can be its; return whether they differ."""
        facts, wanted = self.facts, axes.strip().upper()
        if facts is None or wanted == facts.axes:
            return False
        if len(wanted) != len(facts.shape) or len(set(wanted) & set(AXES)) != len(wanted):
            return False  # told when it is asked for
        self.facts = replace(facts, axes=wanted)
        return True

    def place(self, position: Sequence[float]) -> dict[str, int]:
        """Return the voxel of the layer at a position in the viewer's world, by axis."""
        if self.layer is None or self.facts is None:
            return {}
        data = full_resolution(self.layer)
        return stack_index(self.facts.axes, self.layer.world_to_data(position), data.shape)

    def named(self, message: str) -> str:
        """Name the layer in place of the file that was written of it, which nobody knows."""
        if self.path is None or self.facts is None or self.path == self.facts.path:
            return message
        return message.replace(str(self.path), self.facts.name)

    def _shown(self, event: object = None) -> None:
        self.contrast.emit()

    def _edited(self, event: object = None) -> None:
        """Write the layer anew: its voxels have changed."""
        data = full_resolution(self.layer)
        if self.facts is not None and tuple(data.shape) == self.facts.shape:
            self.path = None
            self._write()

    def _answered(self, number: int, value: object) -> None:
        if number != self._asked or not isinstance(value, Described) or self.facts is None:
            return
        if value.shape == self.facts.shape and not self.facts.named:
            self.facts = replace(self.facts, axes=value.axes)
        scaled = on_scale_of(self.facts, value)
        if value.shape == self.facts.shape:
            self.positions = scaled.positions
        self.described.emit(scaled)
        if self.facts.lazy and value.shape == self.facts.shape and self.facts.path is not None:
            self.path = self.facts.path
            self.written.emit()

    def _ended(self, number: int, error: str, cancelled: bool) -> None:
        """Write the layer, if its own file is of no use."""
        if number == self._asked and self._asked and self.path is None:
            self._asked = 0
            self._write()

    def _write(self) -> None:
        layer, facts = self.layer, self.facts
        assert facts is not None  # there is a layer
        data = full_resolution(layer)

        def written(path: Path) -> None:
            if self.layer is layer:
                self.path = path
                self.written.emit()

        self._jobs.in_thread(lambda: snapshot(data, facts, self._folder), written, self.failed.emit)


def show_at(
    layer: Any, facts: LayerFacts, voxel_size: Sequence[float | None], unit: str | None
) -> None:
    """Show a layer at its voxel size (Z, Y, X), in a unit, with its axes named."""
    dimensions = facts.axes[: len(layer.scale)]
    if unit is not None:  # before the scale: in another order, napari shows nothing
        layer.units = [
            unit if axis in "ZYX" else str(old)
            for axis, old in zip(dimensions, layer.units, strict=True)
        ]
    layer.scale = scale_of(facts, voxel_size, layer.scale)
    if not facts.named:
        layer.axis_labels = list(dimensions.lower())
