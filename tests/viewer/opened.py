"""A panel beside a viewer, and what is done with its buttons."""

from __future__ import annotations

from pathlib import Path

import pytest
from qtpy.QtCore import Qt

from conftest import texture, write_stack

LONG = 120_000


@pytest.fixture
def window(make_napari_viewer, qtbot):
    """Open the panel beside a viewer, with a layer of a file, or of voxels."""
    panels = []

    def open_panel(path=None, data=None, **options):
        viewer = make_napari_viewer()
        if path is not None:
            viewer.open(path, plugin="napari")
        elif data is not None:
            viewer.add_image(data, **options)
        _, panel = viewer.window.add_plugin_dock_widget("isoslice", "Restore isotropy")
        panels.append(panel)
        if path is not None or data is not None:
            qtbot.waitUntil(lambda: panel.stack() is not None, timeout=LONG)
        return viewer, panel

    yield open_panel
    for panel in panels:
        panel.close_work()


@pytest.fixture
def stack_path(tmp_path: Path) -> Path:
    return write_stack(tmp_path / "stack.ome.tif", texture(5, 32, 36))


def shown(panel) -> str:
    return panel.work.messages.toPlainText()


def click(qtbot, button):
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)


def preview(qtbot, panel):
    """Ask for a preview, and wait until it is there in full."""
    with qtbot.waitSignal(
        panel.jobs.ended, timeout=LONG, check_params_cb=lambda n, e, c: n == panel._previewing
    ):
        click(qtbot, panel.preview.button)
    return panel.preview.figure


def finish(qtbot, panel, button):
    """Press a button, and wait for the end of what it begins."""
    click(qtbot, button)
    assert panel.work.cancel.isEnabled()
    qtbot.waitUntil(lambda: not panel._running, timeout=LONG)
