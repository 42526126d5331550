"""Missing and damaged planes are restored from the others, named, and recorded."""

import numpy as np
import pytest

from conftest import texture
from isoslice import DataError, SettingsError, Volume, train
from isoslice.data.missing import parse_missing
from isoslice.errors import DoubtWarning
from isoslice.evaluation.holdout.run import check
from isoslice.inference.stack import planes_to_learn_from
from isoslice.io.lazy_array import LazyArray
from isoslice.runtime.progress import Progress

SIZE = (3.0, 1.0, 1.0)
WARNED = pytest.mark.filterwarnings("ignore::isoslice.errors.DoubtWarning")


def stack():
    return texture(16, 40, 44)


def turned_over(*planes):
    spoilt = stack()
    spoilt[list(planes)] = spoilt[list(planes), ::-1]
    return spoilt


@WARNED
@pytest.mark.parametrize("mode", ["mean", "sample"])
def test_missing_planes_are_restored_as_blank_ones_are(tiny_model, mode):
    blank = stack()
    blank[[5, 9]] = 77
    expected = tiny_model.predict(blank, "ZYX", SIZE, mode=mode)
    for found in (
        tiny_model.predict(stack(), "ZYX", SIZE, mode=mode, missing="5,9"),
        tiny_model.predict(turned_over(5), "ZYX", SIZE, mode=mode, missing=[9]),
        tiny_model.predict(turned_over(5, 9), "ZYX", SIZE, mode=mode),
    ):
        np.testing.assert_array_equal(found.volume, expected.volume)
        assert found.provenance["lost_planes"] == {"0/0": [5, 9]}
        assert len(found.provenance["lost_because"]["0/0"]) == 2
    kept = [z for z in range(16) if z not in (5, 9)]
    np.testing.assert_array_equal(expected.volume[::3][kept], stack()[kept])
    assert (expected.volume[15] != stack()[5]).any()


def test_damage_is_told_and_can_be_overruled(tiny_model):
    spoilt = turned_over(9)
    with pytest.warns(DoubtWarning) as warned:
        found = tiny_model.predict(spoilt, "ZYX", SIZE, mode="mean")
    (line,) = [str(one.message) for one in warned if "counted from 0" in str(one.message)]
    assert line.startswith(
        "plane 9 (counted from 0) is unlike the planes around, which are alike: taken as damaged"
    )
    assert "if it is sound, keep it with --missing none" in line
    assert line in found.provenance["warnings"]
    assert found.provenance["lost_because"] == {
        "0/0": ["unlike the planes around, which are alike"]
    }
    assert "missing" not in found.provenance


@WARNED
def test_nothing_is_left_out_where_all_is_said_to_be_sound(tiny_model):
    spoilt = turned_over(9)
    spoilt[12] = 77
    found = tiny_model.predict(spoilt, "ZYX", SIZE, mode="mean", missing="none")
    np.testing.assert_array_equal(found.volume[::3], spoilt)
    assert "lost_planes" not in found.provenance
    assert found.provenance["missing"] == "none"
    assert not any("counted from 0" in doubt for doubt in found.doubts)
    but_one = tiny_model.predict(spoilt, "ZYX", SIZE, mode="mean", missing="none,12")
    assert but_one.provenance["lost_planes"] == {"0/0": [12]}
    assert but_one.provenance["lost_because"] == {"0/0": ["missing, as was told"]}


@WARNED
def test_planes_are_missing_at_all_times_and_in_all_channels(tiny_model):
    data = np.stack([np.stack([stack(), stack()[:, ::-1]])] * 2)
    found = tiny_model.predict(data, "TCZYX", SIZE, mode="mean", missing="3")
    assert found.provenance["lost_planes"] == {f"{t}/{c}": [3] for t in (0, 1) for c in (0, 1)}
    alone = tiny_model.predict(stack(), "ZYX", SIZE, mode="mean", missing="3").volume
    for restored in found.volume[:, 0]:  # percentiles of twice as many voxels round otherwise
        assert np.abs(restored.astype(int) - alone).max() <= 1


@pytest.mark.parametrize(
    ("missing", "words"),
    [
        ("16", "planes 16, expected numbers from 0 to 15"),
        ("0", "plane 0, at an end"),
        ("15", "plane 15, at an end"),
        ("some", "such as 12,40-42"),
    ],
)
def test_planes_that_cannot_be_restored_are_refused(tiny_model, missing, words):
    with pytest.raises(SettingsError, match=words):
        tiny_model.predict(stack(), "ZYX", SIZE, missing=missing)
    with pytest.raises(SettingsError, match=words):
        check(stack(), tiny_model, "ZYX", SIZE, missing=missing)


@WARNED
def test_a_check_scores_no_missing_planes(tiny_model, monkeypatch):
    found = check(turned_over(9), tiny_model, "ZYX", SIZE, missing="4")
    assert found.lost == (((4, 9),),)
    assert [one.plane for one in found.channels[0].planes] == [
        *range(1, 4),
        *range(5, 9),
        *range(10, 15),
    ]
    everything = check(turned_over(9), tiny_model, "ZYX", SIZE, missing="none")
    assert everything.lost == (((),),)
    worst = min(everything.channels[0].planes, key=lambda one: one.psnr["linear"])
    assert worst.plane in (8, 9, 10)
    monkeypatch.setattr("isoslice.evaluation.holdout.run.MAX_VOXELS", 10 * 40 * 44 * 3)
    part = check(stack(), tiny_model, "ZYX", SIZE, missing="1,6")  # planes 3 to 12 are checked
    assert part.measured.shape[2] == 10
    assert part.lost == (((3,),),)


def test_missing_planes_teach_nothing():
    from isoslice.data.planes import plane_stacks

    volume = Volume(turned_over(9), "ZYX")
    kept = [z for z in range(16) if z != 9]
    (found,) = plane_stacks([volume])
    np.testing.assert_array_equal(found.data[:, 0], turned_over(9)[kept])
    (said,) = plane_stacks([volume], None, parse_missing("0,15"))
    np.testing.assert_array_equal(said.data[:, 0], stack()[[z for z in kept if 0 < z < 15]])
    (all_of_them,) = plane_stacks([volume], None, parse_missing("none"))
    np.testing.assert_array_equal(all_of_them.data[:, 0], turned_over(9))
    images = [Volume(plane, "YX") for plane in turned_over(9)]
    assert sum(len(one.data) for one in plane_stacks(images)) == 16
    some = planes_to_learn_from(Volume(stack(), "ZYX", {"Z": 3.0, "Y": 1.0, "X": 1.0}),
                                missing=parse_missing("2,3"))  # fmt: skip
    assert some.size("Z") == 14
    np.testing.assert_array_equal(some.tczyx()[0, 0], np.delete(stack(), [2, 3], axis=0))


def test_reading_a_large_stack_to_learn_from_says_how_far_it_is(monkeypatch):
    class Listen(Progress):
        def update(self, task, fraction, detail=""):
            told.append((task, fraction))

    told: list[tuple[str, float]] = []
    volume = Volume(LazyArray(stack()), "ZYX", {"Z": 3.0, "Y": 1.0, "X": 1.0})
    planes_to_learn_from(volume, progress=Listen())
    assert told == []  # takes an instant
    monkeypatch.setattr("isoslice.inference.stack.WORTH_TELLING", 1)
    some = planes_to_learn_from(volume, limit=4 * stack()[0].nbytes, progress=Listen())
    assert some.size("Z") == 4
    assert told == [("reading planes", share) for share in (0, 0.25, 0.5, 0.75, 1)]
    told.clear()
    planes_to_learn_from(volume, progress=Listen())
    assert told == [("reading planes", 0), ("reading planes", 1)]


def test_training_refuses_what_it_cannot_leave_out():
    with pytest.raises(SettingsError, match="2 images, expected one stack"):
        train([Volume(stack(), "ZYX")] * 2, steps=1, missing="3")
    with pytest.raises(SettingsError, match="planes 99, expected numbers from 0 to 15"):
        train(stack(), axes="ZYX", steps=1, missing=99)
    with pytest.raises(DataError, match="no plane that is neither missing nor blank"):
        train(stack(), axes="ZYX", steps=1, missing="0-15")
