"""The panel without a mouse."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("torch")

from opened import LONG, finish, shown, stack_path, window
from qtpy.QtCore import Qt, QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QApplication

from conftest import texture, write_stack
from isoslice.viewer.messages import ADAPTED

pytestmark = [pytest.mark.window, pytest.mark.filterwarnings("default")]


@pytest.fixture
def large(window, tmp_path, qtbot):
    """A panel with a stack that takes a minute, in a window that has the focus."""
    viewer, panel = window(write_stack(tmp_path / "large.ome.tif", texture(12, 256, 256)))
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    viewer.window._qt_window.show()
    viewer.window._qt_window.activateWindow()
    return panel


def press(qtbot, widget, key, modifier=Qt.KeyboardModifier.NoModifier):
    """Press a key where the focus is brought to first."""
    widget.setFocus()
    qtbot.waitUntil(lambda: QApplication.focusWidget() is widget, timeout=LONG)
    qtbot.keyClick(widget, key, modifier)


def test_a_preview_and_a_restoration_by_keys_alone(window, stack_path, qtbot):
    viewer, panel = window(stack_path)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    viewer.window._qt_window.show()
    viewer.window._qt_window.activateWindow()
    press(qtbot, panel.preview.button, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: len(panel.preview.figure.images) > 0, timeout=LONG)
    press(qtbot, panel.preview.slider, Qt.Key.Key_Home)
    assert panel.preview.detail == 0
    press(qtbot, panel.work.restore, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: panel.work.status.text() == "done", timeout=LONG)
    assert any(layer.name.endswith(", restored") for layer in viewer.layers)


@pytest.mark.parametrize(
    "where", ["preview.button", "preview.slider", "form.factor", "work.output"]
)
def test_escape_cancels_wherever_the_focus_is(large, qtbot, where):
    part, name = where.split(".")
    widget = getattr(getattr(large, part), name)
    press(qtbot, large.work.restore, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: large._running > 0, timeout=LONG)
    press(qtbot, widget, Qt.Key.Key_Escape)
    qtbot.waitUntil(lambda: not large._running, timeout=LONG)
    assert "Cancelled" in shown(large)


@pytest.mark.parametrize("doing", ["adapting", "checking", "preview"])
def test_everything_that_takes_time_is_cancelled_at_once(large, qtbot, doing):
    if doing == "adapting":
        large.form.model.setCurrentIndex(large.form.model.findData(ADAPTED))
    button = {
        "adapting": large.work.restore,
        "checking": large.work.check,
        "preview": large.preview.button,
    }[doing]
    press(qtbot, button, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: bool(large._running or large._preview_runs), timeout=LONG)
    if doing != "preview":
        qtbot.waitUntil(lambda: large.work.bar.value() > 0, timeout=LONG)
        qtbot.waitUntil(lambda: "left" in large.work.status.text(), timeout=LONG)  # how long
    began = time.monotonic()
    press(qtbot, large.work.cancel, Qt.Key.Key_Space)
    qtbot.waitUntil(lambda: not (large._running or large._preview_runs), timeout=LONG)
    assert time.monotonic() - began < 3  # a second on an idle machine (benchmarks/window.py)


def test_the_report_is_written_and_opened(window, stack_path, qtbot, monkeypatch):
    opened: list[QUrl] = []
    monkeypatch.setattr(QDesktopServices, "openUrl", opened.append)
    viewer, panel = window(stack_path)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    finish(qtbot, panel, panel.work.report)
    (url,) = opened
    assert "stack" in Path(url.toLocalFile()).read_text(encoding="utf-8")
