"""The lower part of the panel: restore, cancel, check, save; how far it is and what was said."""

from __future__ import annotations

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QFileDialog,
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QProgressBar,
    QPushButton,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)

from isoslice.viewer.messages import Restored
from isoslice.viewer.wording import in_the_panel

#: Suffixes of the formats that a result is saved in here, and what they are called.
FORMATS = "OME-Zarr (*.ome.zarr);;TIFF (*.tif);;OME-TIFF (*.ome.tif)"
INVENTED = "Detail between measured planes is invented."


class RestoreBox(QWidget):
    """Buttons for work that takes longer, and what it tells."""

    save_wanted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(3)
        into = QHBoxLayout()
        label = QLabel("Save to")
        self.output = QLineEdit()
        self.output.setPlaceholderText("memory; or NAME.ome.zarr")
        self.output.setToolTip(
            "OME-Zarr image to restore into. What a cancelled or interrupted run has finished is "
            "kept beside it. Needed for results that do not fit into memory"
        )
        label.setBuddy(self.output)
        self.choose = QPushButton("…")
        self.choose.setFixedWidth(28)
        self.choose.setToolTip("Choose where to restore into")
        self.choose.setAccessibleName("Choose where to restore into")
        self.uncertainty = QCheckBox("Un&certainty")
        self.uncertainty.setToolTip("Tell the standard deviation of every voxel too")
        for widget in (label, self.output, self.choose, self.uncertainty):
            into.addWidget(widget)
        column.addLayout(into)
        grid = QGridLayout()
        self.restore = self._button("&Restore", "Restore the whole layer; it becomes a new layer")
        self.check = self._button(
            "Chec&k",
            "Hide measured planes, restore them and compare: is the model to be trusted?",
        )
        self.cancel = self._button("Cancel", "End what is running, within a second (Escape)")
        self.save = self._button("&Save as…", "Write the result as OME-Zarr or TIFF")
        self.report = self._button("&Open report", "Look at the result's report in a browser")
        for place, button in enumerate((self.restore, self.check, self.cancel)):
            grid.addWidget(button, 0, place)
        grid.addWidget(self.save, 1, 0)
        grid.addWidget(self.report, 1, 1, 1, 2)
        column.addLayout(grid)
        self.bar = QProgressBar()
        self.bar.setRange(0, 1000)
        self.bar.setTextVisible(False)
        self.bar.setFixedHeight(6)
        self.bar.setToolTip("How far the work is")
        self.status = QLabel("")
        self.status.setWordWrap(True)
        self.status.setToolTip("What is being done, and how long it will take")
        column.addWidget(self.bar)
        column.addWidget(self.status)
        self.messages = QPlainTextEdit()
        self.messages.setReadOnly(True)
        self.messages.setMinimumHeight(40)
        self.messages.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Ignored)
        self.messages.setMaximumBlockCount(500)
        self.messages.setTabChangesFocus(True)
        self.messages.setToolTip("Notes, warnings, the verdict of the check, and errors")
        self.messages.setAccessibleName("Messages")
        column.addWidget(self.messages, 1)
        told = QLabel(INVENTED)
        told.setToolTip(
            "Do not count, measure or diagnose from structures that exist only there. Measured "
            "planes pass through unchanged, bit for bit"
        )
        column.addWidget(told)
        self.choose.clicked.connect(self._choose_output)
        self.save.clicked.connect(self._choose_save)
        self.set_busy(False)
        self.set_result(None)

    def _button(self, text: str, tip: str) -> QPushButton:
        button = QPushButton(text)
        button.setToolTip(tip)
        return button

    def set_busy(self, busy: bool) -> None:
        """Enable what can be done while something runs, or while nothing does."""
        self.cancel.setEnabled(busy)
        self.restore.setEnabled(not busy)
        self.check.setEnabled(not busy)
        if not busy:
            self.bar.setValue(0)

    def set_result(self, restored: Restored | None) -> None:
        """Enable what can be done with a result."""
        for button in (self.save, self.report):
            button.setEnabled(restored is not None)

    def show_progress(self, line: str, fraction: float) -> None:
        """Show how far the work is, from 0 to 1, and a line about it."""
        self.bar.setValue(round(1000 * fraction))
        self.status.setText(line)

    def tell(self, text: str, kind: str = "") -> None:
        """Add a message; `kind` is Warning, Error, or nothing. A warning is told once."""
        line = in_the_panel(text)
        if kind:
            line = f"{kind}: {line}"
        line = line[:1].upper() + line[1:]
        if kind != "Warning" or line not in self.messages.toPlainText().splitlines():
            self.messages.appendPlainText(line)

    def _choose_output(self) -> None:
        path, _ = QFileDialog.getSaveFileName(self, "Restore into", "", "OME-Zarr (*.ome.zarr)")
        if path:
            self.output.setText(path if path.endswith(".zarr") else f"{path}.ome.zarr")

    def _choose_save(self) -> None:
        path, chosen = QFileDialog.getSaveFileName(self, "Save the result", "", FORMATS)
        if path:
            suffix = chosen.partition("*")[2].rstrip(")")
            named = path.endswith((".zarr", ".tif", ".tiff"))
            self.save_wanted.emit(path if named or not suffix else path + suffix)
