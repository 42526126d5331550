"""Reports of planes that lie anywhere, or are no points: blurred, noisy, between output planes."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.volume import Volume
from isoslice.errors import DataError
from isoslice.evaluation.evaluate import evaluate
from isoslice.evaluation.report import Report
from isoslice.evaluation.report.of_evaluate import evaluation_report
from isoslice.evaluation.report.of_predict import prediction_report
from isoslice.evaluation.report.page import html
from report_page import Page, restored_stack

UNEVEN = (0.0, 4.0, 10.0, 12.0, 20.0, 32.0)
BETWEEN = (0.0, 4.0, 9.3, 12.6, 20.0, 31.5)
COUNT = len(UNEVEN)


def told(**more: Any) -> dict[str, Any]:
    profile = {
        "kind": "slab",
        "width_in_output_planes": 4.0,
        "noise": [0.02],
        "chi_squared": [[1.2]],
        "chi_squared_of_planes": [[[0.7, 0.7, 0.7, 7.25, 0.7, 0.7]]],
        "measured_share": [[[0.25] * 33]],
    }
    return {"slice_profile": {**profile, **more}}


def made_of(
    positions: tuple[float, ...] | None, count: int = COUNT, **made: Any
) -> tuple[Volume, Volume]:
    """A stack, and a volume restored from it that has its planes where they are points."""
    _, restored = restored_stack()
    planes = restored.data[[round(z) for z in positions or range(0, 4 * count, 4)]]
    where = {} if positions is None else {"positions": list(positions)}
    record = {**(restored.provenance or {}), **where, **made}
    stack = Volume(planes, "ZYX", {"Z": 32.0, "Y": 8.0, "X": 8.0}, "nanometer", source="s.tif")
    return stack, replace(restored, provenance=record)


def page_of(report: Report) -> Page:
    return Page(html(report))


@pytest.mark.parametrize("limit", [1e9, 13 * 20 * 20])
def test_uneven_planes_are_shown_where_they_lie(limit: float) -> None:
    stack, restored = made_of(UNEVEN)
    report = prediction_report(stack, restored, limit=limit)
    scene = report.scene
    assert scene is not None
    start, depth = scene.box.start[0], scene.box.shape[0]
    inside = [int(z) - start for z in UNEVEN if start <= z < start + depth]
    assert list(scene.known) == inside
    grid = PlaneGrid(UNEVEN)
    for volume, method in zip(scene.volumes, ("nearest", "linear"), strict=False):
        whole = interpolate(stack.data, grid, method)  # type: ignore[arg-type]
        np.testing.assert_array_equal(volume.voxels, whole[scene.box.slices])
        assert volume.derived is None
    assert f"the {len(inside)} measured planes of the part shown equal" in report.advice[0].text
    assert "Every" not in report.advice[0].text
    assert report.facts["Measured planes"] == "6, 16 to 96 nm apart"
    assert json.loads(page_of(report).scripts[0])["points"]


def test_an_uneven_plane_that_is_not_the_one_measured_is_told() -> None:
    stack, restored = made_of(UNEVEN)
    changed = restored.data.copy()
    changed[10, 3, 4] += 1
    report = prediction_report(stack, replace(restored, data=changed))
    assert "Attention: 1 of the 6 measured planes" in report.advice[0].text


@pytest.mark.parametrize("places", [BETWEEN, None])
def test_planes_that_are_no_points_are_those_of_the_stack(
    places: tuple[float, ...] | None,
) -> None:
    """The result does not hold them: it is restored everywhere."""
    stack, restored = made_of(places, **told())
    if places is None:
        restored = replace(restored, data=restored.data[:21])
    scrambled = replace(restored, data=restored.data[::-1].copy())
    report = prediction_report(stack, scrambled)
    scene = report.scene
    assert scene is not None
    grid = PlaneGrid(places or tuple(4.0 * i for i in range(COUNT)))
    for volume, method in zip(scene.volumes, ("nearest", "linear"), strict=False):
        np.testing.assert_array_equal(volume.voxels, interpolate(stack.data, grid, method))  # type: ignore[arg-type]
        assert volume.derived is None
    assert scene.known == grid.nearest
    assert "equal the input" not in report.advice[0].text
    assert "Attention" not in report.advice[0].text
    assert "all of them restored by a model" in report.summary
    assert report.facts["Slice profile"] == "slab of 32 nm, undone"
    assert "what the slice profile says" in report.advice[3].text
    assert json.loads(page_of(report).scripts[0])["points"] is False


def test_agreement_is_drawn_and_listed_plane_by_plane() -> None:
    report = prediction_report(*made_of(BETWEEN, **told()))
    agreement, share = report.tables
    assert agreement.rows[3] == ("3", "100.8", "7.25")
    assert agreement.plot is not None
    np.testing.assert_allclose(agreement.plot.lines[1].x, 8 * np.array(BETWEEN))
    assert "Above 1.5 here: 3 (counted from 0)" in agreement.caption
    assert share.plot is not None
    assert set(share.plot.lines[0].y) == {0.25}
    page = page_of(report)
    assert "Agreement with the measured planes" in page.text
    assert "What is measured, and what is invented" in page.text
    assert sum(tag == "table" for tag, _ in page.tags) == 1
    listed = page.text[page.text.index("How it was made") :]
    assert "noise" in listed
    assert "chi squared of planes" not in listed.replace("_", " ")
    assert "measured_share" not in listed


def test_points_were_measured_or_not() -> None:
    (share,) = prediction_report(*made_of(UNEVEN)).tables
    assert share.plot is not None
    (line,) = share.plot.lines
    assert sorted(np.flatnonzero(line.y[::2])) == [int(z) for z in UNEVEN]
    np.testing.assert_array_equal(line.y[::2], line.y[1::2])  # drawn as steps
    np.testing.assert_allclose(line.x[::2], 8 * (np.arange(33) - 0.5))
    assert set(line.y) == {0.0, 1.0}


def test_a_lost_plane_is_no_measured_one() -> None:
    made = {**told(), "lost_planes": {"0/0": [2]}}
    made["slice_profile"]["chi_squared_of_planes"] = [[[0.7, 0.7, 7.25, 0.7, 0.7]]]
    report = prediction_report(*made_of(BETWEEN, **made))
    assert report.scene is not None
    assert report.scene.known == (0, 4, 13, 20, 32)
    assert [row[0] for row in report.tables[0].rows] == ["0", "1", "3", "4", "5"]
    (share,) = prediction_report(*made_of(UNEVEN, lost_planes={"0/0": [2]})).tables
    assert share.plot is not None
    assert list(np.flatnonzero(share.plot.lines[0].y[::2])) == [0, 4, 12, 20, 32]


def test_a_stack_of_another_number_of_planes_is_refused() -> None:
    stack, restored = made_of(UNEVEN)
    with pytest.raises(DataError, match="stack of 5 planes and a volume restored from 6"):
        prediction_report(replace(stack, data=stack.data[:5]), restored)
    with pytest.raises(DataError, match="expected 33 planes"):
        prediction_report(stack, replace(restored, data=restored.data[:32]))


@pytest.mark.parametrize("record", ["x", 3, {}, {"kind": 4}, {"chi_squared_of_planes": [[["x"]]]}])
def test_a_record_of_another_program_does_no_harm(record: Any) -> None:
    stack, restored = made_of(None, count=9, slice_profile=record)
    report = prediction_report(stack, restored)
    assert report.tables == ()
    page_of(report)


# Against a truth


def test_uneven_planes_count_as_measured() -> None:
    _, restored = made_of(UNEVEN)
    worse = restored.data.astype(np.float32) + 5
    worse[[int(z) for z in UNEVEN]] -= 5
    truth = replace(restored, data=np.concatenate([restored.data, restored.data[:3]]))
    found = evaluate(truth, replace(restored, data=worse), data_range=100)
    assert found.shape[2] == 33
    assert any("left out the last 3" in note for note in found.notes)
    assert found.mean.psnr_missing == pytest.approx(20 * np.log10(100 / 5))
    assert found.mean.psnr > found.mean.psnr_missing
    report = evaluation_report(restored, [replace(restored, data=worse)], [found])
    assert report.scene is not None
    assert report.scene.known == tuple(int(z) for z in UNEVEN)
    linear = report.scene.first("linear")
    assert linear is not None
    planes = restored.data[[int(z) for z in UNEVEN]]
    np.testing.assert_array_equal(linear.voxels, interpolate(planes, PlaneGrid(UNEVEN)))
    page_of(report)


def test_of_planes_that_are_no_points_all_are_restored() -> None:
    for places in (BETWEEN, None):
        _, truth = made_of(places, **told())
        ours = replace(truth, data=truth.data.astype(np.float32) + 5)
        found = evaluate(truth, ours, data_range=100)
        assert found.mean.psnr_missing == found.mean.psnr == pytest.approx(20 * np.log10(100 / 5))
        assert any("count as missing" in note for note in found.notes)
        report = evaluation_report(truth, [ours], [found])
        assert report.scene is not None
        assert report.scene.first("linear") is None
        page_of(report)


def test_another_factor_than_recorded_is_taken_as_asked() -> None:
    _, truth = made_of(UNEVEN)
    ours = replace(truth, data=truth.data.astype(np.float32) + 5)
    ours.data[::8] -= 5
    found = evaluate(truth, ours, factor=8, data_range=100)
    assert found.mean.psnr_missing == pytest.approx(20 * np.log10(100 / 5))
