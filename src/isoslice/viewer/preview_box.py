"""The preview in the panel: where, the slices, and one slider from mean to sample."""

from __future__ import annotations

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSlider,
    QSpinBox,
    QVBoxLayout,
    QWidget,
)

from isoslice.viewer.figure import PreviewFigure
from isoslice.viewer.messages import Previewed

#: Places of the slider, from the mean to a whole sample.
PLACES = 20


class PreviewBox(QWidget):
    """Asks for previews (`wanted`) and shows them; the slider only blends what is there."""

    wanted = Signal()
    moved = Signal()

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        row = QHBoxLayout()
        self.button = QPushButton("Pr&eview")
        self.button.setToolTip(
            "Restore one XZ and one YZ slab, at the voxel that was clicked in the viewer last; a "
            "layer of two lines marks them, and can be hidden or removed"
        )
        row.addWidget(self.button)
        self.at = {}
        for axis in "YX":
            label = QLabel("&Y" if axis == "Y" else axis)
            box = QSpinBox()
            box.setToolTip(f"Where to preview, along {axis}; a click in the viewer sets it, too")
            box.setAccessibleName(f"Preview at {axis}")
            box.setKeyboardTracking(False)
            label.setBuddy(box)
            row.addWidget(label)
            row.addWidget(box, 1)
            self.at[axis] = box
        column.addLayout(row)
        self.figure = PreviewFigure()
        self.figure.setToolTip("Marks at both sides: measured rows. All other rows are invented")
        self.figure.show_message("Orange marks will show which rows were measured.")
        column.addWidget(self.figure)
        dial = QHBoxLayout()
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, PLACES)
        self.slider.setValue(PLACES)
        self.slider.setPageStep(5)
        self.slider.setAccessibleName("Detail, from the mean to a sample")
        self.slider.setToolTip(
            "How much invented detail is kept. Mean: the most faithful, smooth. Sample: as sharp "
            "as the planes. It acts at once on the preview, and holds for the restoration"
        )
        mean = QLabel("Mean")
        mean.setBuddy(self.slider)
        self.value = QLabel("Sample")
        dial.addWidget(mean)
        dial.addWidget(self.slider, 1)
        dial.addWidget(self.value)
        column.addLayout(dial)
        boxes = QHBoxLayout()
        self.interpolated = QCheckBox("Linear interpolation")
        self.interpolated.setToolTip("Show what linear interpolation makes of the same planes")
        self.follow = QCheckBox("&Update automatically")
        self.follow.setChecked(True)
        self.follow.setToolTip("Preview again when a setting or the place changes")
        boxes.addWidget(self.interpolated)
        boxes.addWidget(self.follow)
        column.addLayout(boxes)
        self.button.clicked.connect(self.wanted)
        for box in self.at.values():
            box.valueChanged.connect(self.moved)
        self.slider.valueChanged.connect(self._turned)
        self.interpolated.toggled.connect(self.figure.set_interpolated)
        self._turned(PLACES)

    @property
    def detail(self) -> float:
        """Where the slider stands, from 0 (the mean) to 1 (a sample)."""
        return float(self.slider.value()) / PLACES

    def set_range(self, sizes: dict[str, int]) -> None:
        """Set how many voxels there are along Y and X, and go to the middle."""
        for axis, box in self.at.items():
            self._set(box, sizes.get(axis, 1) // 2, sizes.get(axis, 1) - 1)

    def move_to(self, at: dict[str, int]) -> None:
        """Go to a voxel, and tell that it moved."""
        for axis, box in self.at.items():
            self._set(box, at.get(axis, box.value()), box.maximum())
        self.moved.emit()

    def show_preview(self, preview: Previewed, window: tuple[float, float], aspect: float) -> None:
        """Show a preview; the slider is of use if it has several places."""
        self.slider.setEnabled(len(preview.dial) > 1)
        self.figure.show_preview(preview, window, aspect)

    def _set(self, box: QSpinBox, value: int, most: int) -> None:
        box.blockSignals(True)
        box.setRange(0, max(0, most))
        box.setValue(value)
        box.blockSignals(False)

    def _turned(self, place: int) -> None:
        self.figure.set_place(place)
        self.value.setText("Sample" if place == PLACES else f"{place / PLACES:.0%}")
