"""How the panel's parts lie: one column, narrow enough to stand beside a viewer on 1280 x 800."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from isoslice.viewer.layer_choice import LayerChoice
from isoslice.viewer.stack_form import StackForm

#: Least width of the panel, and of a field in it, in pixels.
WIDTH, FIELD = 380, 62


def arrange(
    panel: QWidget, layers: LayerChoice, form: StackForm, preview: QWidget, work: QWidget
) -> None:
    """Put the parts of the panel into one column, which scrolls where there is no room."""
    inner = QWidget()
    column = QVBoxLayout(inner)
    column.setContentsMargins(6, 4, 6, 4)
    column.setSpacing(4)
    row = QHBoxLayout()
    label = QLabel("L&ayer")
    label.setBuddy(layers)
    row.addWidget(label)
    row.addWidget(layers, 1)
    row.addWidget(form.axes_label)
    row.addWidget(form.axes)
    column.addLayout(row)
    column.addWidget(form)
    column.addWidget(preview)
    column.addWidget(work, 1)
    kinds = (QAbstractSpinBox, QComboBox, QLineEdit)
    for field in [each for kind in kinds for each in inner.findChildren(kind)]:
        field.setMinimumWidth(FIELD)
    area = QScrollArea()
    area.setWidgetResizable(True)
    area.setWidget(inner)
    area.setFrameShape(QScrollArea.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    outer = QVBoxLayout(panel)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addWidget(area)
    panel.setMinimumWidth(WIDTH)
