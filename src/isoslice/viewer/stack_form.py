"""The form that says what the stack is and how it is restored: filled in, and to be corrected."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtCore import Signal
from qtpy.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSizePolicy,
    QSpinBox,
    QWidget,
)

from isoslice.data.grid import factor_from_voxel_size
from isoslice.data.volume import VoxelSize
from isoslice.errors import DataError
from isoslice.viewer.messages import ADAPTED, PRETRAINED, Described, Prepared, Settings
from isoslice.viewer.placement import LayerFacts

#: Units that can be chosen, by what is shown; "" where it is not known.
UNITS = {"µm": "micrometer", "nm": "nanometer", "mm": "millimeter", "Å": "angstrom", "?": ""}
#: Slice profiles by what is shown; others are typed.
PROFILES = {
    "the model's, or point": "",
    "point": "point",
    "slab (plane to plane)": "slab",
    "auto (found from the stack)": "auto",
}
_FOLDER = "folder"
_OF_FILE = "as the file states: "


class StackForm(QWidget):
    """Fields of a stack and its restoration; `changed` tells that a person changed one."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._filling = False
        self._filled = (0.0, "")
        self._stated: str | None = None
        form = QFormLayout(self)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(3)
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.ExpandingFieldsGrow)
        self.axes = QLineEdit()
        self.axes.setToolTip(
            "Axes of the layer, one letter of TCZYX per dimension: time, channel, depth, height, "
            "width"
        )
        self.axes.setMaximumWidth(64)
        self.axes_label = QLabel("A&xes")  # both go beside the layer
        self.axes_label.setBuddy(self.axes)
        sizes = QHBoxLayout()
        sizes.setSpacing(2)
        self.size = [self._length(axis) for axis in "ZYX"]
        for box in self.size:
            sizes.addWidget(box, 1)
        self.unit = QComboBox()
        self.unit.addItems(list(UNITS))
        self.unit.setToolTip("Unit of the voxel size; ? where it is not known")
        self.unit.setAccessibleName("Unit")
        sizes.addWidget(self.unit)
        form.addRow("Voxel si&ze Z, Y, X", sizes)
        form.labelForField(sizes).setBuddy(self.size[0])  # type: ignore[union-attr]
        self.factor = QSpinBox()
        self.factor.setRange(1, 16)
        self.factor.setSpecialValueText("auto")
        self.factor.setToolTip(
            "Output planes per measured plane; auto: the nearest integer to Z over XY spacing"
        )
        self.along = QComboBox()
        self.along.addItems(["auto", "Z", "Y", "X"])
        self.along.setToolTip("The coarse axis, along which planes are filled in; auto: by spacing")
        self.along.setAccessibleName("Coarse axis")
        factors = QHBoxLayout()
        factors.addWidget(self.factor, 1)
        factors.addWidget(self.along, 1)
        form.addRow("Fac&tor, coarse axis", factors)
        form.labelForField(factors).setBuddy(self.factor)  # type: ignore[union-attr]
        self.profile = QComboBox()
        self.profile.setEditable(True)
        self.profile.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
        self.profile.addItems(list(PROFILES))
        self.profile.setToolTip(
            "What a plane sees along Z. Also: slab:WIDTH or gaussian:FWHM, in the unit of the "
            "voxel size, or the path of a file of a measured one"
        )
        form.addRow("Sl&ice profile", self.profile)
        self.missing = QLineEdit()
        self.missing.setToolTip(
            "Planes to restore from the others, counted from 0, such as 12,40-42, beside those "
            "that are found; none: all planes are sound"
        )
        form.addRow("Missi&ng planes", self.missing)
        models = QHBoxLayout()
        self.model = QComboBox()
        self.model.addItem("Pretrained", PRETRAINED)
        self.model.addItem("Adapted to this stack", ADAPTED)
        self.model.addItem("From a folder", _FOLDER)
        self.model.setToolTip(
            "Pretrained: at once. Adapted: half a minute on the stack's own planes first; better, "
            "if it can be. A folder: a model that isoslice train wrote"
        )
        self.browse = QPushButton("…")
        self.browse.setFixedWidth(28)
        self.browse.setToolTip("Choose the folder of a model")
        self.browse.setAccessibleName("Choose the folder of a model")
        models.addWidget(self.model, 1)
        models.addWidget(self.browse)
        form.addRow("&Model", models)
        form.labelForField(models).setBuddy(self.model)  # type: ignore[union-attr]
        self.folder: Path | None = None
        self._connect()
        self.fill_missing(None)

    def _length(self, axis: str) -> QDoubleSpinBox:
        box = QDoubleSpinBox()
        box.setRange(0, 1e6)
        box.setDecimals(4)
        box.setSpecialValueText("?")
        box.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        box.setToolTip(f"Spacing of voxels along {axis}; ? where it is not known")
        box.setAccessibleName(f"Voxel size along {axis}")
        return box

    def _connect(self) -> None:
        for line in (self.axes, self.missing):
            line.editingFinished.connect(self._changed)
        for box in self.size:
            box.valueChanged.connect(self._changed)
        self.factor.valueChanged.connect(self._changed)
        for combo in (self.unit, self.along):
            combo.currentTextChanged.connect(self._changed)
        self.profile.activated.connect(self._changed)
        typed = self.profile.lineEdit()
        assert typed is not None  # it can be edited
        typed.setToolTip(self.profile.toolTip())
        typed.setAccessibleName("Slice profile")
        typed.editingFinished.connect(self._changed)
        self.model.activated.connect(self._choose_model)
        self.model.currentIndexChanged.connect(self._changed)
        self.browse.clicked.connect(self.choose_folder)

    def _changed(self) -> None:
        self._show_factor()
        if not self._filling:
            self.changed.emit()

    def _choose_model(self) -> None:
        if self.model.currentData() == _FOLDER and self.folder is None:
            self.choose_folder()

    def choose_folder(self) -> None:
        """Ask for the folder of a model."""
        chosen = QFileDialog.getExistingDirectory(self, "Folder of a model")
        if chosen:
            self.set_folder(Path(chosen))
        elif self.folder is None:
            self.model.setCurrentIndex(0)

    def set_folder(self, folder: Path) -> None:
        """Restore by the model in a folder."""
        self.folder = folder
        index = self.model.findData(_FOLDER)
        self.model.setItemText(index, folder.name)
        self.model.setItemData(index, str(folder), 3)  # its tooltip
        self.model.setCurrentIndex(index)
        self._changed()

    def fill(self, facts: LayerFacts) -> None:
        """Fill in what a layer says."""
        self._filling = True
        self.axes.setText(facts.axes)
        self.fill_size([facts.spacing.get(axis) for axis in "ZYX"], facts.unit)
        self.factor.setValue(1)
        self.along.setCurrentIndex(0)
        self.fill_profile(None)
        self.profile.setCurrentIndex(0)
        self.missing.clear()
        self.fill_missing(None)
        self._filling = False
        self._show_factor()

    def fill_described(self, found: Described) -> None:
        """Fill in the voxel size of the layer's file."""
        self.fill_size(found.voxel_size, found.unit)

    def fill_size(self, size: Sequence[float | None], unit: str | None) -> None:
        """Fill in a voxel size (Z, Y, X); None where it is not known."""
        self._filling = True
        for box, step in zip(self.size, size, strict=True):
            box.setValue(step or 0)
        shown = next((text for text, name in UNITS.items() if name == (unit or "")), None)
        if shown is None:  # another one
            shown = str(unit)
            UNITS.setdefault(shown, shown)
            self.unit.addItem(shown)
        self.unit.setCurrentText(shown)
        self._filled = self._spacing_along_z()
        self._filling = False
        self._show_factor()

    def fill_profile(self, stated: str | None) -> None:
        """Offer the slice profile that the layer's file states, or None."""
        self._stated = stated
        while self.profile.count() > len(PROFILES):
            self.profile.removeItem(len(PROFILES))
        if stated is not None:
            self.profile.addItem(f"{_OF_FILE}{stated}")

    def fill_missing(self, found: Prepared | None) -> None:
        """Show what was found on the stack, where nothing was typed."""
        planes = "" if found is None else found.missing or "none"
        self.missing.setPlaceholderText(f"found: {planes}" if planes else "found by themselves")
        known = found.profile if found is not None else ""
        self.profile.setItemText(0, f"the model's: {known}" if known else next(iter(PROFILES)))

    def _show_factor(self) -> None:
        text = "auto"
        size = self.voxel_size
        if size is not None and self.along.currentIndex() == 0:
            try:
                text = f"auto: {factor_from_voxel_size(VoxelSize(*size))}"
            except DataError:
                text = "auto"
        self.factor.setSpecialValueText(text)

    @property
    def voxel_size(self) -> tuple[float, float, float] | None:
        """Spacing along Z, Y and X where all three are known."""
        z, y, x = (float(box.value()) for box in self.size)
        return (z, y, x) if min(z, y, x) > 0 else None

    @property
    def size_is_corrected(self) -> bool:
        """Whether a person has changed the spacing along Z, or its unit."""
        return self._filled != self._spacing_along_z()

    def _spacing_along_z(self) -> tuple[float, str]:
        return float(self.size[0].value()), self.unit.currentText()

    @property
    def unit_name(self) -> str | None:
        """Unit of the voxel size, or None."""
        return UNITS[self.unit.currentText()] or None

    @property
    def settings(self) -> Settings:
        """How the stack is to be restored."""
        chosen = str(self.model.currentData())
        return Settings(
            model=str(self.folder) if chosen == _FOLDER else chosen,
            factor=self.factor.value() if self.factor.value() > 1 else None,
            along=None if self.along.currentIndex() == 0 else self.along.currentText(),
            profile=self._profile(),
            missing=self.missing.text().strip() or None,
        )

    def _profile(self) -> str | None:
        text = self.profile.currentText().strip()
        if text == self.profile.itemText(0):
            return None
        if self._stated is not None and text == f"{_OF_FILE}{self._stated}":
            return self._stated
        return PROFILES.get(text, text) or None
