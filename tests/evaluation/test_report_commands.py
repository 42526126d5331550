"""What commands put into their reports, and when they refuse."""

from __future__ import annotations

import base64
import io
import json
from dataclasses import dataclass, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Cli, texture, write_stack
from isoslice.data.coarse import turned
from isoslice.data.grid import PlaneGrid, even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.benchmark import cells
from isoslice.evaluation.evaluate import evaluate
from isoslice.evaluation.report.encode import png
from isoslice.evaluation.report.of_benchmark import benchmark_report
from isoslice.evaluation.report.of_evaluate import evaluation_report
from isoslice.evaluation.report.of_predict import prediction_report
from isoslice.evaluation.report.page import html
from isoslice.io.lazy_array import LazyArray
from report_page import SPACING, Page, restored_stack

# What the commands compose


def test_a_prediction_shows_input_and_linear_as_they_are() -> None:
    stack, restored = restored_stack()
    report = prediction_report(stack, restored)
    assert report.scene is not None
    measured, linear, ours = report.scene.volumes
    grid = even_grid(9, 4)
    np.testing.assert_array_equal(measured.voxels, interpolate(stack.data, grid, "nearest"))
    np.testing.assert_array_equal(linear.voxels, interpolate(stack.data, grid, "linear"))
    np.testing.assert_array_equal(ours.voxels, restored.data)
    assert report.title == "cells.tif, restored 4×"
    assert any("9 measured planes of the part shown equal" in a.text for a in report.advice)


def test_a_part_in_the_middle_has_the_same_planes_as_the_whole() -> None:
    stack, restored = restored_stack()
    whole = prediction_report(stack, restored).scene
    part = prediction_report(stack, restored, limit=9 * 20 * 20).scene
    assert whole is not None
    assert part is not None
    assert part.box.voxels <= 9 * 20 * 20
    for all_of_it, some in zip(whole.volumes, part.volumes, strict=True):
        np.testing.assert_array_equal(some.voxels, all_of_it.voxels[part.box.slices])


@pytest.mark.parametrize("axis", ["X", "Y"])
def test_a_stack_that_is_coarse_along_another_axis_is_turned(axis: str) -> None:
    stack, restored = restored_stack()
    expected = prediction_report(stack, restored)
    made = {**(restored.provenance or {}), "along": axis}
    found = prediction_report(turned(stack, axis), turned(replace(restored, provenance=made), axis))
    assert found.scene is not None
    assert expected.scene is not None
    for ours, theirs in zip(found.scene.volumes, expected.scene.volumes, strict=True):
        np.testing.assert_array_equal(ours.voxels, theirs.voxels)
    assert found.scene.voxel_size == expected.scene.voxel_size
    assert found.advice[0] == expected.advice[0]
    assert axis in found.facts["Turned"]


def test_lost_planes_are_no_measured_ones() -> None:
    stack, restored = restored_stack()
    planes = stack.data.copy()
    planes[[2, 3]] = 0
    lost = {"lost_planes": {"0/0": [2, 3]}, "lost_because": {"0/0": ["frozen", "frozen"]}}
    made = {**(restored.provenance or {}), **lost}
    report = prediction_report(
        replace(stack, data=planes), replace(restored, provenance=made), limit=25 * 40 * 48
    )
    scene = report.scene
    assert scene is not None
    assert {4 * 2 - scene.box.start[0], 4 * 3 - scene.box.start[0]}.isdisjoint(scene.known)
    kept = [z for z in range(9) if z not in (2, 3)]
    grid = PlaneGrid(tuple(4 * z for z in kept))
    for volume, method in zip(scene.volumes, ("nearest", "linear"), strict=False):
        whole = interpolate(stack.data[kept], grid, method)
        np.testing.assert_array_equal(volume.voxels, whole[scene.box.slices])
        assert volume.derived is None
    assert "Checked" in report.advice[0].text
    assert report.facts["Measured planes"].endswith("lost: 2-3 (counted from 0), frozen")
    html(report)


def test_voxels_without_data_are_shown_dark() -> None:
    stack, restored = restored_stack()
    data = restored.data.astype(np.float32) - 1000
    data[:, :10] = np.nan
    data[4, 20, 20] = np.inf
    report = prediction_report(replace(stack, data=thin(data, 4)), replace(restored, data=data))
    assert report.scene is not None
    for volume in report.scene.volumes:
        assert np.isfinite(volume.voxels).all()
        assert volume.voxels.min() >= -1000
        assert volume.voxels.max() < -700
    assert "Checked" in report.advice[0].text
    html(report)


def test_planes_that_are_not_those_measured_are_told() -> None:
    stack, restored = restored_stack()
    changed = restored.data.copy()
    changed[8, 0, 0] += 1
    report = prediction_report(
        stack, Volume(changed, "ZYX", SPACING, "nanometer", provenance=restored.provenance)
    )
    assert any("1 of the 9 measured planes" in advice.text for advice in report.advice)


def test_a_channel_and_a_time_point_are_chosen_and_named() -> None:
    true = texture(2, 9, 3, 20, 24)
    made_by = {"factor": 4, "mode": "mean"}
    restored = Volume(
        true, "TZCYX", SPACING, "micrometer", ("DAPI", "GFP", "<b>"), provenance=made_by
    )
    stack = Volume(true[:, ::4], "TZCYX", {**SPACING, "Z": 32.0}, "micrometer")
    report = prediction_report(stack, restored, channel=1, time=1)
    assert report.scene is not None
    np.testing.assert_array_equal(report.scene.volumes[2].voxels, true[1, :, 1])
    assert report.facts["Shown"] == "channel 2 of 3 (GFP), time point 2 of 2"
    with pytest.raises(DataError, match="got channel 3"):
        prediction_report(stack, restored, channel=3)


def test_a_prediction_that_does_not_fit_is_refused() -> None:
    stack, restored = restored_stack()
    with pytest.raises(DataError, match="no record of the factor"):
        prediction_report(stack, Volume(restored.data, "ZYX", SPACING))
    with pytest.raises(DataError, match="expected 33 planes"):
        prediction_report(
            stack, Volume(restored.data[:29], "ZYX", SPACING, provenance=restored.provenance)
        )
    with pytest.raises(DataError, match="uncertainty of shape"):
        prediction_report(stack, restored, uncertainty=restored.data[:5])


def test_a_predictions_own_uncertainty_is_shown() -> None:
    from isoslice.inference.prediction import Prediction

    @dataclass(frozen=True)
    class Doubtful(Prediction):
        std: np.ndarray | None = None

    stack, restored = restored_stack()
    doubt = texture(*restored.data.shape, seed=4, dtype="float32")
    result = Doubtful(
        restored.data, "ZYX", restored.voxel_size, 4, restored.provenance or {}, "nanometer",
        std=doubt,
    )  # fmt: skip
    scene = prediction_report(stack.data, result).scene
    assert scene is not None
    found = scene.first("uncertainty")
    assert found is not None
    np.testing.assert_array_equal(found.voxels, doubt)


class Huge:
    """An array of a size that no memory holds, which counts what is read of it."""

    def __init__(self, *shape: int) -> None:
        self.shape, self.dtype, self.read = shape, np.dtype(np.uint8), 0

    def __getitem__(self, index: tuple[slice, ...]) -> np.ndarray:
        z, y, x = (np.arange(n)[part] for n, part in zip(self.shape, index, strict=True))
        self.read += len(z) * len(y) * len(x)
        # Structure in one corner, and the same value for the same place.
        busy = (y[:, None] > 0.7 * self.shape[1]) & (x > 0.7 * self.shape[2])
        wave = np.sin(0.3 * y[:, None] + 0.2 * x + 0.5 * z[:, None, None])
        return (100 + 90 * busy * wave).astype(np.uint8)


def test_of_a_volume_of_terabytes_only_the_part_shown_is_read() -> None:
    huge = Huge(4001, 20_000, 20_000)
    made_by = {"factor": 4, "mode": "sample"}
    restored = Volume(LazyArray(huge), "ZYX", SPACING, "nanometer", provenance=made_by)  # type: ignore[arg-type]
    stack = Volume(LazyArray(Huge(1001, 20_000, 20_000)), "ZYX", SPACING)  # type: ignore[arg-type]
    limit = 101**3
    scene = prediction_report(stack, restored, limit=limit).scene
    assert scene is not None
    assert scene.box.voxels > 0.8 * limit
    assert huge.read < 3 * limit
    assert scene.box.start[1] > 13_000
    assert scene.box.start[2] > 13_000


@given(
    st.tuples(st.integers(2, 4), st.integers(1, 12), st.integers(1, 12)),
    st.integers(2, 5),
    st.sampled_from(["uint8", "uint16", "float32", "float64"]),
    st.booleans(),
)
def test_a_page_can_be_made_of_any_small_volume(
    sizes: tuple[int, int, int], factor: int, dtype: str, flat: bool
) -> None:
    planes, height, width = sizes
    depth = (planes - 1) * factor + 1
    values = np.random.default_rng(5).integers(0, 1 if flat else 200, (depth, height, width))
    restored = Volume(values.astype(dtype), "ZYX", provenance={"factor": factor})
    stack = Volume(thin(restored.data, factor), "ZYX")
    page = Page(html(prediction_report(stack, restored)))
    assert json.loads(page.scripts[0])["shape"] == [depth, height, width]


def test_a_benchmark_shows_its_tables_and_figures(tmp_path: Path) -> None:
    scores = cells.ScoreTable(
        "slicefid", "SliceFID", "by method", (cells.Column("FID", "4x", "low", 1),),
        (
            cells.Row("linear", (cells.Cell(219.04, 210.0, 230.0),)),
            cells.Row("<b>", (cells.Cell(None),)),
        ),
    )  # fmt: skip
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "volumes.png").write_bytes(png(texture(1, 9, 9)[0]))
    report = benchmark_report([scores], tmp_path, {"factors": [4]})
    assert report.tables[0].columns == ("", "4x FID ↓")
    assert report.tables[0].rows == (("linear", "219.0 [210.0, 230.0]"), ("<b>", "–"))
    page = Page(html(report))
    assert "script" not in [tag for tag, _ in page.tags]
    (picture,) = (attrs["src"] or "" for tag, attrs in page.tags if tag == "img")
    shown = iio.imread(io.BytesIO(base64.b64decode(picture.partition(",")[2])))
    np.testing.assert_array_equal(shown, texture(1, 9, 9)[0])


def test_an_evaluation_shows_the_error_and_the_scores() -> None:
    _, true = restored_stack()
    noisy = np.clip(true.data.astype(int) + 5, 0, 255).astype(np.uint8)
    ours = Volume(noisy, "ZYX", SPACING, provenance={"factor": 4}, source="a/ours.tif")
    report = evaluation_report(true, [ours], [evaluate(true, ours)])
    assert report.scene is not None
    found = {volume.role: volume for volume in report.scene.volumes}
    assert list(found) == ["linear", "truth", "restored", "error"]
    np.testing.assert_array_equal(found["error"].voxels, 5)
    rows = {row[0]: row[1] for row in report.tables[0].rows}
    assert rows["PSNR, all voxels (dB)"] == f"{evaluate(true, ours).mean.psnr:.2f}"
    assert report.tables[1].rows[0][1:] == ("1.00", "1.00", "1.00")


def test_predict_writes_a_report_beside_every_kind_of_output(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    for out in ("a.ome.tif", "b.ome.zarr"):
        report = tmp_path / f"{out}.html"
        code, _, err = cli(
            "predict", stack_file, "-q", "-m", model_folder, "-o", tmp_path / out, "--steps", 3,
            "--report", report,
        )  # fmt: skip
        assert (code, err) == (0, [])
        text = report.read_text(encoding="utf-8")
        assert "5 measured planes of the part shown equal the input, bit for bit" in text
        assert "stack.ome.tif, restored 3×" in text


def test_evaluate_writes_a_report(cli: Cli, tmp_path: Path) -> None:
    truth = write_stack(tmp_path / "truth.ome.tif", texture(9, 20, 22), voxel_size=(1, 1, 1))
    ours = write_stack(tmp_path / "ours.ome.tif", texture(9, 20, 22), voxel_size=(1, 1, 1))
    report = tmp_path / "r.html"
    assert cli("evaluate", truth, ours, ours, "--factor", 4, "--report", report).code == 0
    assert "ours.ome.tif (2)" in report.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["report.pdf", "missing/report.html", "taken.html"])
def test_a_report_that_cannot_be_written_is_refused_before_work_begins(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "taken.html").write_text("mine", encoding="utf-8")
    out = tmp_path / "out.ome.zarr"
    code, _, err = cli(
        "predict", stack_file, "-m", model_folder, "-o", out, "--report", tmp_path / name
    )
    assert code != 0
    assert len(err) == 1
    assert not out.exists()
    assert (tmp_path / "taken.html").read_text(encoding="utf-8") == "mine"


def test_parts_of_a_run_write_no_report(
    cli: Cli, stack_file: Path, model_folder: Path, tmp_path: Path
) -> None:
    code, _, err = cli(
        "predict", stack_file, "-m", model_folder, "-o", tmp_path / "o.ome.zarr", "--part", "1/2",
        "--report", tmp_path / "r.html",
    )  # fmt: skip
    assert code != 0
    assert "--report with --part" in err[0]
