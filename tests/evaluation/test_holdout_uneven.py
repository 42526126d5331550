"""Hidden planes of stacks whose planes are uneven or blurred."""

from __future__ import annotations

import json

import numpy as np
import pytest

import isoslice
from conftest import Cli, texture, write_stack
from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.measurement import Measurement
from isoslice.data.output_spacing import Wanted, output_spacing
from isoslice.data.profile import Profile
from isoslice.data.volume import Volume, from_tczyx
from isoslice.errors import SettingsError
from isoslice.evaluation.holdout import run as checking
from isoslice.evaluation.holdout.hide import interpolate_hidden, places_around
from isoslice.evaluation.holdout.run import check
from isoslice.evaluation.report.of_check import check_report
from isoslice.evaluation.report.page import html
from isoslice.io.lazy_array import LazyArray

#: In micrometres, output planes 1 apart: the median gap is 3.
PLACES = (0.0, 3.0, 6.0, 10.3, 12.0, 15.5, 18.5, 24.0)
pytestmark = pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")


def stack_of(data, places=PLACES, **more):
    spacing = {"Z": float(np.median(np.diff(places))), "Y": 1.0, "X": 1.0}
    return Volume(data, "ZYX", spacing, "micrometer", z_positions=places, **more)


def places_of(stack, factor=None, spacing=None, **_):
    return output_spacing(stack, Wanted(factor, spacing=spacing)).positions


def linear_predict(monkeypatch):
    """Let the model interpolate linearly between planes, where these lie."""
    calls = []

    def predict(self, stack, **options):
        places = places_of(stack, **options)
        calls.append((places, options.get("slice_profile", "point")))
        data = stack.tczyx()
        made = [[interpolate(channel, PlaneGrid(places)) for channel in time] for time in data]
        return isoslice.Prediction(from_tczyx(np.stack(made), stack.axes), stack.axes, None, 2, {})

    monkeypatch.setattr(isoslice.Model, "predict", predict)
    return calls


@pytest.mark.parametrize("count", range(3, 9))
def test_places_of_kept_and_hidden_planes(count):
    for start in (0, 1):
        around = places_around(PLACES[:count], start)
        assert around[0] == 0
        kept, hidden = around[::2], around[1::2]
        assert len(hidden) == len(kept) - 1
        np.testing.assert_allclose(np.add(kept, PLACES[start]), PLACES[:count][start::2])
        np.testing.assert_allclose(
            np.add(hidden, PLACES[start]), PLACES[:count][start + 1 :: 2][: len(hidden)]
        )


@pytest.mark.parametrize("count", [3, 4, 8])
def test_what_is_linear_along_true_z_has_no_error(tiny_model, monkeypatch, count):
    """Neither interpolated nor restored, which it would have by their numbers."""
    linear_predict(monkeypatch)
    slope, begin = np.random.default_rng(0).random((2, 40, 44)) * 10
    places = PLACES[-count:]
    places = tuple(z - places[0] for z in places)
    stack = stack_of((begin + slope * np.reshape(places, (-1, 1, 1))).astype(np.float32), places)
    found = check(stack, tiny_model, factor=3)
    assert found.tested == count - 2
    assert found.psnr["linear"] > 100
    assert found.psnr["model"] > 100
    by_number = interpolate_hidden(stack.data, "linear")
    assert np.abs(by_number - stack.data[1:-1]).max() > 1
    assert set(found.predicted.values()) == {None}
    assert any("output planes apart" in note for note in found.notes)


def test_nearest_takes_the_nearer_plane():
    planes = np.arange(3, dtype=np.float32).reshape(3, 1, 1)
    assert interpolate_hidden(planes, "nearest", (0.0, 1.0, 4.0)).item() == 0
    assert interpolate_hidden(planes, "nearest", (0.0, 3.0, 4.0)).item() == 2


def test_the_model_is_asked_for_planes_where_they_lie(tiny_model):
    stack = stack_of(texture(len(PLACES), 40, 44))
    found = check(stack, tiny_model)
    places = tuple(np.subtract(PLACES[1::2], PLACES[1]))
    kept = Volume(
        stack.data[1::2], "ZYX", {"Z": float(np.median(np.diff(places)))}, z_positions=places
    )
    made = tiny_model.predict(kept, spacing=1.0, mode="mean").volume.astype(np.float64)
    at = PLACES[4] - PLACES[1]
    below = int(at)
    seen = made[below] + (at - below) * (made[below + 1] - made[below])
    np.testing.assert_allclose(found.restored[0, 0, 3], seen, rtol=1e-5)
    assert found.positions == PLACES
    assert found.to_json()["positions"] == list(PLACES)
    errors = found.errors_volume()
    np.testing.assert_allclose(errors.z_positions, np.subtract(PLACES[1:-1], PLACES[1]))
    report = check_report(found)
    linear = report.scene.first("linear")
    np.testing.assert_array_equal(
        linear.voxels, interpolate_hidden(stack.data, "linear", PLACES)[: len(PLACES) - 2]
    )
    assert report.facts["Planes"].startswith("1.7 to 5.5 micrometer")
    html(report)


def test_a_lost_plane_between_uneven_ones(tiny_model, monkeypatch):
    linear_predict(monkeypatch)
    slope, begin = 1 + np.random.default_rng(0).random((2, 40, 44)) * 10
    data = (begin + slope * np.reshape(PLACES, (-1, 1, 1))).astype(np.float32)
    data[3] = 0
    found = check(stack_of(data), tiny_model)
    assert found.lost == (((3,),),)
    assert found.psnr["linear"] > 100  # of its neighbours, restored from what fills the gap
    assert found.psnr["model"] > 100


def test_of_the_middle_of_a_stack_places_are_those_of_its_planes(tiny_model, monkeypatch):
    calls = linear_predict(monkeypatch)
    monkeypatch.setattr(checking, "MAX_VOXELS", 3 * 5 * 40 * 44)
    data = texture(len(PLACES), 40, 44)
    stack = stack_of(LazyArray(data))
    found = check(stack, tiny_model)
    first = next(i for i in range(4) if np.array_equal(found.measured[0, 0, 0], data[i]))
    inside = PLACES[first : first + len(found.measured[0, 0])]
    assert found.positions == pytest.approx(tuple(np.subtract(inside, inside[0])))
    assert calls[0][0] == pytest.approx(places_around(inside, 0)[::2])


# Blurred planes


def blurred(truth, profile, places):
    matrix = Measurement(places, len(truth), profile).matrix
    return np.einsum("iz,zyx->iyx", matrix, truth).astype(np.float32)


@pytest.mark.parametrize("asked", ["slab", "slab:8", "gaussian:2.5"])
def test_a_model_that_knows_the_truth_is_right_where_it_is_seen_as_planes_are(
    tiny_model, monkeypatch, asked
):
    """And not where it is taken for points."""
    truth = texture(33, 40, 44).astype(np.float64)
    width = {"slab": 4.0, "slab:8": 4.0, "gaussian:2.5": 1.25}[asked]
    places = tuple(float(z) for z in range(0, 33, 4))
    stack = blurred(truth, Profile(asked.partition(":")[0], width), places)
    told = []

    def knows(self, kept, factor, slice_profile="point", **_):
        told.append((factor, slice_profile, dict(kept.spacing)))
        begin = 4 * int(np.flatnonzero((stack == kept.data[0]).all((1, 2)))[0])
        made = truth[begin : begin + (len(kept.data) - 1) * factor + 1].astype(np.float32)
        return isoslice.Prediction(made, "ZYX", None, factor, {})

    monkeypatch.setattr(isoslice.Model, "predict", knows)
    found = check(stack, tiny_model, "ZYX", (8, 2, 2), slice_profile=asked)
    assert told == [(8, Profile(asked.partition(":")[0], width), {"Z": 8.0})] * 2
    inner = [plane.psnr["model"] for plane in found.channels[0].planes[1:-1]]
    assert min(inner) > 90  # the outermost see beyond the planes kept
    points = check(stack, tiny_model, "ZYX", (8, 2, 2))
    assert points.psnr["model"] < 60
    assert found.predicted_gain is None
    assert any("through the slice profile" in note for note in found.notes)
    assert found.to_json()["slice_profile"]["width"] == width
    report = check_report(found)
    assert "seen through the slice profile" in report.advice[0].text
    assert report.facts["Slice profile"].endswith(f"of {2 * width:.4g} units")
    assert "rows hidden within" not in report.tables[0].caption


def test_what_cannot_be_checked_is_refused(tiny_model):
    stack = texture(5, 40, 44)
    with pytest.raises(SettingsError, match=r"24 output planes from the next.*--factor 8"):
        check(stack, tiny_model, "ZYX", (12, 1, 1), slice_profile="slab")
    check(stack, tiny_model, "ZYX", (12, 1, 1))
    with pytest.raises(SettingsError, match="expected point, slab"):
        check(stack, tiny_model, "ZYX", (2, 1, 1), slice_profile="box")
    with pytest.raises(SettingsError, match="planes wide"):
        check(stack, tiny_model, "ZYX", (2, 1, 1), slice_profile="slab:50")


def test_on_the_command_line(cli: Cli, model_folder, tmp_path):
    stack = write_stack(tmp_path / "a.ome.tif", texture(5, 40, 44))
    (tmp_path / "z.txt").write_text("\n".join(map(str, PLACES[:5])), encoding="utf-8")
    scores, page = tmp_path / "s.json", tmp_path / "r.html"
    ran = cli(
        "check", stack, "-m", model_folder, "-q", "--device", "cpu", "--slice-profile", "slab:3",
        "--positions", tmp_path / "z.txt", "--json", scores, "--report", page,
    )  # fmt: skip
    assert (ran.code, ran.err) == (0, [])
    found = json.loads(scores.read_text(encoding="utf-8"))
    assert found["slice_profile"] == {"kind": "slab", "width": pytest.approx(3.0, rel=0.1)}
    assert len(found["positions"]) == 5
    assert found["predicted"]["model"] is None
    assert "through the slice profile" in page.read_text(encoding="utf-8")
