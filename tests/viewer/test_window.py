"""The panel in a window: Xvfb will do. Run by .ci/run in an environment that has napari and Qt.

xvfb-run -a python -m pytest -m window tests/viewer
"""

from __future__ import annotations

import time

import numpy as np
import pytest
import tifffile

napari = pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("torch")

from opened import LONG, click, finish, preview, shown, stack_path, window  # noqa: E402
from qtpy.QtCore import Qt, QTimer  # noqa: E402
from qtpy.QtWidgets import (  # noqa: E402
    QAbstractButton,
    QAbstractSpinBox,
    QComboBox,
    QLabel,
    QLineEdit,
    QPlainTextEdit,
    QScrollArea,
    QSlider,
)

from conftest import texture, write_stack  # noqa: E402
from isoslice.data.volume import Volume  # noqa: E402
from isoslice.inference.model import Model  # noqa: E402
from isoslice.io.reading import read_volume  # noqa: E402
from isoslice.io.writing import write_volume  # noqa: E402
from isoslice.viewer.panel import RestorePanel  # noqa: E402

pytestmark = [pytest.mark.window, pytest.mark.filterwarnings("default")]


def test_a_panel_without_a_layer_says_what_to_do(window):
    _, panel = window()
    assert not panel.form.isEnabled()
    assert "drop a file" in panel.preview.figure._message


def test_what_the_file_says_is_filled_in_and_the_layer_shown_so(window, stack_path, qtbot):
    viewer, panel = window(stack_path)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    assert panel.form.voxel_size == (3.0, 1.0, 1.0)
    assert panel.form.unit_name == "micrometer"
    assert panel.form.factor.text() == "auto: 3"
    layer = viewer.layers[0]
    assert layer.scale.tolist() == [3, 1, 1]
    assert [str(unit) for unit in layer.units] == ["micrometer"] * 3
    assert tuple(layer.axis_labels) == ("z", "y", "x")


def test_what_the_layer_says_goes_before_the_file(window, stack_path, qtbot):
    data = read_volume(stack_path).data
    viewer, panel = window(
        data=data, scale=(8, 2, 2), units=("nm",) * 3, metadata={}, translate=(5, 0, 0)
    )
    assert panel.form.voxel_size == (8, 2, 2)
    assert panel.form.unit_name == "nanometer"
    assert viewer.layers[0].scale.tolist() == [8, 2, 2]


def test_the_slider_blends_at_once_what_the_restoration_gives(window, stack_path, qtbot):
    """From drop to preview: one click, beside the two that open the panel."""
    _, panel = window(stack_path)
    figure = preview(qtbot, panel)
    asked = panel.jobs._process._number
    model, volume = Model.pretrained(), read_volume(stack_path)
    for place, detail in ((0, 0.0), (10, 0.5), (20, 1.0)):
        panel.preview.slider.setValue(place)
        made = model.predict(volume, detail=detail).volume
        low, high = panel._window()
        expected = ((made[:, 16].astype("f4") - low) * (255 / (high - low))).clip(0, 255)
        np.testing.assert_array_equal(figure.images[0], expected.astype("u1"))
    assert panel.jobs._process._number == asked  # the network had no part in it


def test_a_changed_setting_and_a_click_in_the_viewer_preview_again(window, stack_path, qtbot):
    _, panel = window(stack_path)
    figure = preview(qtbot, panel)
    before = figure.images[0].shape
    with qtbot.waitSignal(panel.jobs.answered, timeout=LONG):
        panel.form.factor.setValue(2)
    qtbot.waitUntil(lambda: figure.images[0].shape[0] == 9, timeout=LONG)
    assert before[0] == 13
    panel.preview.move_to({"Y": 3, "X": 4})
    qtbot.waitUntil(lambda: figure._preview.slabs[0].first[1] == 3, timeout=LONG)


def marks(viewer):
    return [layer for layer in viewer.layers if layer.name == "place of the preview"]


def test_the_place_of_a_preview_is_marked_until_it_is_unwanted(window, qtbot):
    """Where the layer lies, in XY only; the layer stays active, and what was removed stays away."""
    place = {"scale": (6, 2, 2), "translate": (10, 20, 30), "units": ("nm",) * 3, "rotate": 20}
    viewer, panel = window(data=texture(5, 32, 36), axis_labels=("z", "y", "x"), **place)
    source = viewer.layers[0]
    panel.preview.move_to({"Y": 7, "X": 9})
    preview(qtbot, panel)
    qtbot.waitUntil(lambda: bool(marks(viewer)), timeout=LONG)
    (mark,) = marks(viewer)
    for line, ends in zip(mark.data, [((7, 0), (7, 35)), ((0, 9), (31, 9))], strict=True):
        for drawn, voxel in zip(np.cumsum(line, 0), ends, strict=True):
            here = source.data_to_world((0, *voxel))[1:]
            np.testing.assert_allclose(mark.data_to_world(drawn), here)
    assert viewer.layers.selection.active is source
    panel.preview.move_to({"Y": 3})
    qtbot.waitUntil(lambda: mark.data[0][0][0] == 3, timeout=LONG)
    viewer.dims.ndisplay = 3
    assert not marks(viewer)
    viewer.dims.ndisplay = 2
    preview(qtbot, panel)
    qtbot.waitUntil(lambda: bool(marks(viewer)), timeout=LONG)
    viewer.layers.remove(marks(viewer)[0])
    panel.preview.move_to({"Y": 5})
    preview(qtbot, panel)
    qtbot.wait(50)
    assert not marks(viewer)


def test_the_mark_of_a_preview_goes_with_its_layer_and_with_the_panel(window, qtbot):
    viewer, panel = window(data=texture(5, 32, 36), scale=(3, 1, 1))
    for end in (lambda: viewer.layers.remove(viewer.layers[0]), panel.close_work):
        if not panel.layer:
            viewer.add_image(texture(5, 32, 36), scale=(3, 1, 1))
            qtbot.waitUntil(lambda: panel.stack() is not None, timeout=LONG)
        preview(qtbot, panel)
        qtbot.waitUntil(lambda: bool(marks(viewer)), timeout=LONG)
        end()
        assert not marks(viewer)


def test_results_lie_where_the_layer_does(window, qtbot):
    data = texture(5, 32, 36)
    place = {"scale": (6, 2, 2), "translate": (10, 20, 30), "units": ("nm",) * 3, "rotate": 20}
    viewer, panel = window(data=data, axis_labels=("z", "y", "x"), **place)
    source = viewer.layers[0]
    panel.work.uncertainty.setChecked(True)
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=LONG)
    names = [layer.name.partition(", ")[2] for layer in viewer.layers[1:]]
    assert names == ["restored", "uncertainty", "measured (1) or invented (0)"]
    for layer in viewer.layers[1:]:
        assert layer.data.shape == (13, 32, 36)
        for plane in range(5):
            here = source.data_to_world((plane, 3, 4))
            np.testing.assert_allclose(layer.data_to_world((3 * plane, 3, 4)), here)
        assert [str(unit) for unit in layer.units] == ["nanometer"] * 3
        assert tuple(layer.axis_labels) == ("z", "y", "x")
    _, restored, std, measured = viewer.layers
    np.testing.assert_array_equal(restored.data[::3], data)
    assert (std.data[::3] == 0).all()
    assert (std.data[1::3] > 0).any()
    assert np.flatnonzero(measured.data[:, 0, 0]).tolist() == [0, 3, 6, 9, 12]
    assert panel.layer is source
    assert viewer.layers.selection.active is source


def test_channels_and_time_points_are_restored(window, qtbot):
    data = np.stack([texture(2, 4, 24, 28, seed=s) for s in (1, 2)])
    viewer, panel = window(
        data=data, scale=(1, 1, 3, 1, 1), axis_labels=("t", "c", "z", "y", "x"),
        units=("s", "pixel", "um", "um", "um"),
    )  # fmt: skip
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    made = viewer.layers[1].data
    assert made.shape == (2, 2, 10, 24, 28)
    np.testing.assert_array_equal(made[:, :, ::3], data)


def test_colours_are_restored_each_by_itself(window, qtbot):
    data = np.stack([texture(4, 24, 28, seed=s) for s in (1, 2, 3)], axis=-1)
    viewer, panel = window(data=data, rgb=True, scale=(3, 1, 1))
    assert panel.form.axes.text() == "ZYXC"
    assert preview(qtbot, panel).images
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 4, timeout=LONG)
    assert marks(viewer) == [viewer.layers[1]]
    assert viewer.layers[2].rgb
    np.testing.assert_array_equal(viewer.layers[2].data[::3], data)
    assert viewer.layers[3].data.shape == (10, 24, 28)


def test_errors_are_told_in_the_panel_in_its_own_words(window, qtbot):
    _, panel = window(data=texture(5, 32, 36))  # without any voxel size
    with qtbot.waitSignal(panel.jobs.ended, timeout=LONG):
        click(qtbot, panel.preview.button)
    assert "Error:" in shown(panel)
    assert "Voxel size" in shown(panel)
    assert "Traceback" not in shown(panel)
    panel.form.factor.setValue(2)
    assert preview(qtbot, panel).images


def test_a_warning_is_told_once(window):
    _, panel = window()
    for kind in ("Warning", "Error"):
        for _ in range(2):
            panel.work.tell("planes are blurred", kind)
    assert shown(panel).splitlines().count("Warning: planes are blurred") == 1
    assert shown(panel).splitlines().count("Error: planes are blurred") == 2


def test_a_file_without_the_distance_of_planes_fills_in_the_rest(window, tmp_path, qtbot):
    """As Fiji writes it: the field that is empty is told of, and no path that nobody knows."""
    path = tmp_path / "my stack.tif"
    metadata = {"axes": "ZYX", "unit": "um"}
    tifffile.imwrite(path, texture(5, 32, 36), imagej=True, resolution=(2, 2), metadata=metadata)
    _, panel = window(path)
    qtbot.waitUntil(lambda: "where there is a ?" in shown(panel), timeout=LONG)
    assert [box.value() for box in panel.form.size] == [0, 0.5, 0.5]
    with qtbot.waitSignal(panel.jobs.ended, timeout=LONG):
        click(qtbot, panel.preview.button)
    assert "Error: my stack: no voxel size along Z" in shown(panel)
    assert str(panel.folder) not in shown(panel)


def test_a_result_is_told_of_and_never_replaces_what_was_measured(window, stack_path, qtbot):
    _, panel = window(stack_path)
    before = stack_path.read_bytes()
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: "Save as… keeps them" in shown(panel), timeout=LONG)
    qtbot.waitUntil(lambda: panel.work.status.text() == "done", timeout=LONG)
    assert len(panel.viewer.layers) > 1
    panel.save(str(stack_path))
    qtbot.waitUntil(lambda: not panel._running, timeout=LONG)
    assert "got the input as output" in shown(panel)
    assert stack_path.read_bytes() == before


def test_cancel_keeps_what_is_finished_and_resume_goes_on(window, tmp_path, qtbot):
    path = write_stack(tmp_path / "large.ome.tif", texture(12, 256, 256))
    viewer, panel = window(path)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    panel.preview.slider.setValue(0)
    panel.work.output.setText(str(tmp_path / "made.ome.zarr"))
    click(qtbot, panel.work.restore)
    qtbot.waitUntil(lambda: "restoring" in panel.work.status.text(), timeout=LONG)
    qtbot.waitUntil(lambda: panel.work.bar.value() > 300, timeout=LONG)
    assert panel._running  # there is time to cancel it
    began = time.monotonic()
    click(qtbot, panel.work.cancel)
    qtbot.waitUntil(lambda: not panel._running, timeout=LONG)
    assert time.monotonic() - began < 3  # docs/how-to/napari.md; this machine may be busy
    assert panel.work.restore.text() == "&Resume"
    assert "kept" in shown(panel)
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    assert (tmp_path / "made.ome.zarr").is_dir()
    assert panel.work.restore.text() == "&Restore"


def test_the_check_is_one_sentence_and_results_are_saved(window, stack_path, tmp_path, qtbot):
    viewer, panel = window(stack_path)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    finish(qtbot, panel, panel.work.check)
    assert "At hidden planes of this stack the model is" in shown(panel)
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    for name in ("a.tif", "a.ome.zarr"):
        panel.save(str(tmp_path / name))
        qtbot.waitUntil(lambda: not panel._running, timeout=LONG)
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.data, viewer.layers[1].data)
        assert volume.voxel_size == pytest.approx((1, 1, 1))


def test_a_layer_that_is_computed_is_written_part_by_part(window, tmp_path, qtbot):
    import dask.array as da
    import zarr

    path = tmp_path / "large.zarr"
    data = texture(5, 40, 44)
    zarr.create_array(store=path, data=data, chunks=(1, 40, 44))
    viewer, panel = window(data=da.from_zarr(zarr.open_array(path)), scale=(3, 1, 1))
    assert panel.stack().path.endswith(".ome.zarr")  # written part by part
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    np.testing.assert_array_equal(viewer.layers[1].data[::3], data)


def test_a_large_zarr_layer_is_read_from_its_own_file(window, tmp_path, qtbot):
    path = tmp_path / "large.ome.zarr"
    size = {"Z": 3.0, "Y": 1.0, "X": 1.0}
    write_volume(path, Volume(texture(5, 40, 44), "ZYX", size, "micrometer"))
    viewer, panel = window(path)
    assert panel.source.facts.lazy
    assert panel.stack().path == str(path)
    assert panel.form.voxel_size == (3, 1, 1)
    panel.work.output.setText(str(tmp_path / "made"))
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    assert (tmp_path / "made.ome.zarr").is_dir()


def test_every_control_has_a_tooltip_a_name_and_is_reached_by_tab(window):
    _, panel = window(data=texture(5, 32, 36), scale=(3, 1, 1))
    controls = [
        each
        for kind in (
            QAbstractButton, QAbstractSpinBox, QComboBox, QLineEdit, QPlainTextEdit, QSlider,
        )
        for each in panel.findChildren(kind)
        if not each.objectName().startswith("qt_")
    ]  # fmt: skip
    assert len(controls) > 20
    buddies = {label.buddy() for label in panel.findChildren(QLabel)}
    for control in controls:
        assert control.toolTip(), control
        named = control.accessibleName() or getattr(control, "text", str)() or control in buddies
        assert named, control
        assert control.focusPolicy() & Qt.FocusPolicy.TabFocus, control


def test_mnemonics_are_the_panels_own(window):
    """None twice, and none of napari's menus."""
    _, panel = window()
    named = [*panel.findChildren(QAbstractButton), *panel.findChildren(QLabel)]
    texts = [each.text() for each in named]
    letters = [text[text.index("&") + 1].lower() for text in texts if "&" in text]
    assert len(letters) > 10
    assert len(set(letters)) == len(letters)
    assert not set(letters) & set("fvlpwh")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_all_of_the_panel_is_seen_at_1280_by_800(window, stack_path, qtbot, theme):
    viewer, panel = window(stack_path)
    viewer.theme = theme
    main = viewer.window._qt_window
    main.setGeometry(0, 0, 1280, 800)
    main.show()
    preview(qtbot, panel)
    qtbot.wait(300)
    area = panel.findChild(QScrollArea)
    assert area.verticalScrollBar().maximum() == 0
    assert area.widget().width() <= area.viewport().width()


def test_the_window_goes_on_while_it_computes(window, stack_path, qtbot):
    """A timer of 10 ms; what napari itself takes to open a window is not counted."""
    _, panel = window(stack_path)
    gaps, last = [], [time.thread_time()]

    def beat():
        now = time.thread_time()  # of this thread alone: the machine may be busy
        gaps.append(now - last[0])
        last[0] = now

    timer = QTimer()
    timer.timeout.connect(beat)
    timer.start(10)
    preview(qtbot, panel)
    for place in range(21):
        panel.preview.slider.setValue(place)
        qtbot.wait(5)
    click(qtbot, panel.work.check)
    qtbot.waitUntil(lambda: not panel._running, timeout=LONG)
    timer.stop()
    assert len(gaps) > 50
    assert max(gaps) < 0.1


def test_a_closed_panel_ends_its_process(window, qtbot):
    viewer, panel = window(data=texture(5, 32, 36), scale=(3, 1, 1))
    process = panel.jobs._process._process
    viewer.window.remove_dock_widget(panel)
    panel.deleteLater()
    qtbot.waitUntil(lambda: process.poll() is not None, timeout=LONG)
    viewer.add_image(texture(5, 32, 36))  # nobody minds


def test_the_manifest_is_valid_and_its_names_exist(qtbot):
    from importlib.metadata import entry_points

    from npe2 import PluginManifest

    (entry,) = entry_points(group="napari.manifest", name="isoslice")
    manifest = PluginManifest.from_distribution("isoslice")
    manifest.validate_imports()
    assert entry.value == "isoslice.viewer:napari.yaml"
    assert RestorePanel.__name__ in manifest.contributions.commands[0].python_name


def test_the_sample_is_a_stack_with_a_voxel_size(make_napari_viewer):
    viewer = make_napari_viewer()
    (layer,) = viewer.open_sample("isoslice", "nuclei")
    assert layer.data.shape == (15, 96, 96)
    assert layer.scale.tolist() == [1.16, 0.26, 0.26]


def test_axes_of_the_file_and_those_typed_go_before_a_guess(window, tmp_path, qtbot):
    path = write_stack(tmp_path / "movie.ome.tif", texture(3, 4, 24, 28), "TZYX")
    _, panel = window(path)
    qtbot.waitUntil(lambda: panel.form.axes.text() == "TZYX", timeout=LONG)  # guessed: CZYX
    panel.form.axes.setText("TZXY")
    panel.form.axes.editingFinished.emit()
    assert panel.preview.at["X"].maximum() == 23
    assert panel.stack().axes == "TZXY"
