"""What the layer's file says beyond its voxels reaches the panel, and what is restored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

pytest.importorskip("napari")
pytest.importorskip("pytestqt")
pytest.importorskip("torch")

from opened import LONG, finish, shown, window

from conftest import texture
from isoslice.data.metadata import Metadata
from isoslice.data.volume import Volume
from isoslice.inference.model import Model
from isoslice.io.reading import read_volume
from isoslice.io.writing import write_volume
from isoslice.viewer.messages import ADAPTED

pytestmark = [pytest.mark.window, pytest.mark.filterwarnings("default")]
PLACES = [0.0, 3.0, 6.0, 12.0, 15.0]


@pytest.fixture
def uneven(tmp_path: Path) -> Path:
    path = tmp_path / "uneven.ome.tif"
    sizes = {f"PhysicalSize{axis}": size for axis, size in (("X", 1.0), ("Y", 1.0), ("Z", 3.0))}
    planes = {"PositionZ": PLACES, "PositionZUnit": ["µm"] * 5}
    metadata = {"axes": "ZYX", **sizes, "Plane": planes}
    tifffile.imwrite(path, texture(5, 32, 36), photometric="minisblack", metadata=metadata)
    return path


def test_uneven_planes_are_restored_where_they_lie(window, uneven, qtbot):
    viewer, panel = window(uneven)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    assert "unevenly spaced, from 0 to 15" in shown(panel)
    panel.preview.slider.setValue(0)
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    source, restored, measured = viewer.layers
    expected = Model.pretrained().predict(uneven, mode="mean").volume
    np.testing.assert_array_equal(restored.data, expected)
    rows = [0, 3, 6, 12, 15]
    np.testing.assert_array_equal(restored.data[rows], source.data)
    assert np.flatnonzero(measured.data[:, 0, 0]).tolist() == rows
    assert restored.scale.tolist() == pytest.approx([1, 1, 1])


def test_another_distance_of_planes_goes_before_their_positions(window, uneven, qtbot):
    viewer, panel = window(uneven)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    panel.form.size[0].setValue(2.0)
    assert panel.stack().positions == "even"
    panel.preview.slider.setValue(0)
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    assert viewer.layers[1].data.shape == (9, 32, 36)


def test_the_slice_thickness_that_a_file_states_is_offered(window, tmp_path, qtbot):
    path = tmp_path / "thick.ome.tif"
    metadata = Metadata(slice_thickness=3.0)
    spacing = {"Z": 3.0, "Y": 1.0, "X": 1.0}
    write_volume(path, Volume(texture(5, 32, 36), "ZYX", spacing, metadata=metadata))
    stated = read_volume(path).metadata.slice_thickness
    _, panel = window(path)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    offered = panel.form.profile.itemText(panel.form.profile.count() - 1)
    assert stated == 3.0
    assert offered == "as the file states: slab:3"
    assert panel.form.settings.profile is None  # nothing is taken by itself
    panel.form.profile.setCurrentText(offered)
    assert panel.form.settings.profile == "slab:3"


def test_what_became_of_an_adaptation_is_told(window, uneven, qtbot):
    viewer, panel = window(uneven)
    qtbot.waitUntil(lambda: panel.form.voxel_size is not None, timeout=LONG)
    panel.form.model.setCurrentIndex(panel.form.model.findData(ADAPTED))
    finish(qtbot, panel, panel.work.restore)
    qtbot.waitUntil(lambda: len(viewer.layers) == 3, timeout=LONG)
    assert "adapted to the stack" in shown(panel)
    assert "computing on" not in shown(panel)
    assert "slices are restored at once" not in shown(panel)
