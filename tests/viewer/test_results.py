"""Results are read in the order of the layer's axes; large ones where they are looked at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.io.reading import open_volume
from isoslice.io.writing import write_volume
from isoslice.viewer.messages import Restore, Settings, Source
from isoslice.viewer.placement import LayerFacts
from isoslice.viewer.restoration import going_on, output_path, told_of
from isoslice.viewer.snapshot import snapshot
from isoslice.viewer.wording import in_the_panel

VOXELS = np.arange(2 * 6 * 5 * 4, dtype=np.uint16).reshape(2, 6, 5, 4)


def facts(data, axes, lazy=False):
    spacing = dict.fromkeys("ZYX", 1.0)
    return LayerFacts("cells", data.shape, data.dtype, axes, True, spacing, "micrometer", lazy)


@pytest.mark.parametrize("limit", [10**9, 0])
def test_a_result_has_the_axes_of_its_layer(tmp_path: Path, limit):
    pytest.importorskip("dask")
    from isoslice.viewer.results import read_levels

    path = tmp_path / "made.ome.zarr"
    write_volume(path, Volume(VOXELS, "YZCX", dict.fromkeys("ZYX", 1.0)))
    levels = read_levels(path, "YZCX", limit)
    assert isinstance(levels[0], np.ndarray) == bool(limit)
    np.testing.assert_array_equal(np.asarray(levels[0]), VOXELS)


def test_an_array_becomes_a_file_with_the_same_voxels(tmp_path: Path):
    turned = VOXELS.transpose(3, 0, 1, 2)  # not contiguous
    path = snapshot(turned, facts(turned, "TZYX"), tmp_path)
    np.testing.assert_array_equal(np.load(path), turned)
    assert path.name == "cells.npy"
    odd = replace(facts(turned, "TZYX"), name="../a: b/c")
    assert snapshot(turned, odd, tmp_path).parent.parent == tmp_path


def test_what_is_computed_where_it_is_indexed_is_written_part_by_part(tmp_path: Path):
    asked = []

    class Lazy:
        shape, dtype, ndim, chunks = VOXELS.shape, VOXELS.dtype, 4, (1, 2, 5, 4)

        def __getitem__(self, index):
            part = VOXELS[index]
            asked.append(part.size)
            return part

    path = snapshot(Lazy(), facts(VOXELS, "TZYX", lazy=True), tmp_path)
    volume = open_volume(path)
    np.testing.assert_array_equal(volume.read((slice(None),) * 5)[:, 0], VOXELS)
    assert volume.unit == "micrometer"
    assert len(asked) > 1


def test_labels_are_refused(tmp_path: Path):
    labels = VOXELS.astype(np.int64)
    with pytest.raises(DataError, match="labels or masks"):
        snapshot(labels, facts(labels, "TZYX"), tmp_path)


def test_small_results_need_no_path_and_large_ones_do(tmp_path: Path):
    assert "Save as… keeps them" in told_of(str(tmp_path / "restored-3.ome.zarr"), tmp_path)
    assert told_of("a/b.ome.zarr", tmp_path).endswith(": a/b.ome.zarr")
    assert output_path("", tmp_path, 3, 10, 100) == str(tmp_path / "restored-3.ome.zarr")
    assert output_path(" a/b ", tmp_path, 0, 1000, 100) == "a/b.ome.zarr"
    with pytest.raises(SettingsError, match="fill in Save to"):
        output_path("", tmp_path, 0, 1000, 100)


def test_the_same_goes_on_and_another_replaces(tmp_path: Path):
    before = Restore(Source("a.tif"), Settings(), str(tmp_path / "a.ome.zarr"), 0.5)
    other = Restore(Source("a.tif"), Settings(factor=3), before.output, 0.5)
    assert going_on(before, before) == before  # it left nothing
    (tmp_path / "a.ome.zarr.unfinished").mkdir()
    assert going_on(before, None) == before
    assert going_on(before, before).resume
    assert not going_on(other, before).resume
    assert going_on(other, before).overwrite
    assert going_on(before, going_on(before, before)).resume  # cancelled twice


def test_messages_name_controls_of_the_panel():
    said = in_the_panel("got 2, expected 3; give the right one with --voxel-size Z,Y,X or --blur")
    assert said == "got 2, expected 3; give the right one with Voxel size Z,Y,X or --blur"
