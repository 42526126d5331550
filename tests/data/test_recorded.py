"""What restored volumes record of their planes, and records that hold anything."""

import numpy as np
import pytest

from isoslice.data.grid import even_grid
from isoslice.data.recorded import (
    agreement_messages,
    are_points,
    recorded_agreement,
    recorded_axis,
    recorded_grid,
    recorded_lost,
    recorded_positions,
    recorded_reasons,
    recorded_share,
)
from isoslice.data.volume import Volume
from isoslice.errors import DataError


def volume(axes="ZYX", **made):
    return Volume(np.zeros((2, 3, 4)[-len(axes) :], np.uint8), axes, provenance=made)


@pytest.mark.parametrize(
    ("along", "axis"), [("X", "X"), ("Y", "Y"), ("Z", "Z"), ("T", "Z"), (3, "Z"), (["X"], "Z")]
)
def test_the_axis(along, axis):
    assert recorded_axis(volume(along=along)) == axis


def test_the_axis_where_nothing_is_recorded():
    assert recorded_axis(volume()) == "Z"
    assert recorded_axis(Volume(np.zeros((2, 3, 4), np.uint8), "ZYX")) == "Z"
    assert recorded_axis(volume("YX", along="X")) == "Z"


def test_lost_planes():
    made = {"lost_planes": {"0/1": [5, 3], "1/0": ["x", -1, True, 2.5], "1/1": "3"}}
    assert recorded_lost(made, 0, 1) == (3, 5)
    assert recorded_lost(made, 0, 0) == ()
    assert recorded_lost(made, 1, 0) == ()
    assert recorded_lost(made, 1, 1) == ()
    assert recorded_lost({"lost_planes": [3]}, 0, 0) == ()
    assert recorded_lost(None, 0, 0) == ()


def test_reasons():
    made = {"lost_because": {"0/1": ["frozen", "dark", "frozen", 3], "1/1": "dark"}}
    assert recorded_reasons(made, 0, 1) == ("frozen", "dark")
    for t, c in ((0, 0), (1, 1)):
        assert recorded_reasons(made, t, c) == ()
    assert recorded_reasons(None, 0, 0) == recorded_reasons({"lost_because": []}, 0, 0) == ()


@pytest.mark.parametrize(
    "places",
    ["12", [], [0], [0, "1"], [0, True], [0, float("nan")], [0, 3, 3], [3, 0], [1, 4], [-1, 4], {}],
)
def test_what_are_no_positions(places):
    made = {"factor": 3, "positions": places}
    assert recorded_positions(made) is None
    assert recorded_grid(made, 5) == even_grid(5, 3)
    assert are_points(made)


def test_positions():
    made = {"factor": 4, "positions": [0, 4, 9.5]}
    assert recorded_grid(made, 3).known == (0, 4, 9.5)
    assert recorded_grid(made, 3).depth == 11
    assert not are_points(made)
    assert are_points({"factor": 4, "positions": [0, 4, 10]})
    assert not are_points({"factor": 4, "slice_profile": {"kind": "slab"}})
    with pytest.raises(DataError, match="stack of 4 planes and a volume restored from 3"):
        recorded_grid(made, 4)


def blurred(**changes):
    profile = {
        "kind": "slab",
        "width_in_output_planes": 4.0,
        "noise": [0.01, 0.02],
        "chi_squared": [[0.5, 0.7], [0.6, 0.8]],
        "chi_squared_of_planes": [[[0.5] * 4, [0.7] * 4], [[0.6] * 3, [0.8] * 3]],
        "measured_share": [[[0.1] * 9, [0.2] * 9], [[0.3] * 9, [0.4] * 9]],
    }
    return {"lost_planes": {"1/1": [2]}, "slice_profile": {**profile, **changes}}


def test_agreement_of_each_plane_that_was_not_lost():
    first = recorded_agreement(blurred(), 0, 1, 2, 4)
    assert (first.planes, first.chi_squared) == ((0, 1, 2, 3), (0.7,) * 4)
    # Both channels do without a plane that one of them lost.
    assert recorded_agreement(blurred(), 1, 0, 2, 4).planes == (0, 1, 3)
    # Channels by themselves are frames.
    each = blurred(chi_squared_of_planes=[[[0.5] * 4], [[0.7] * 4], [[0.6] * 4], [[0.8] * 3]])
    assert recorded_agreement(each, 1, 0, 2, 4).planes == (0, 1, 2, 3)
    assert recorded_agreement(each, 1, 1, 2, 4).chi_squared == (0.8,) * 3


def test_the_measured_share():
    assert recorded_share(blurred(), 1, 0, 2, 9) == (0.3,) * 9
    assert recorded_share(blurred(), 1, 0, 2, 8) is None
    assert recorded_share({"factor": 4}, 0, 0, 1, 9) is None


@pytest.mark.parametrize("wrong", [None, 3, "x", [], [3], [[3]], [[["x"] * 4]], [[[0.5] * 7]]])
def test_agreement_that_another_program_wrote(wrong):
    made = blurred(chi_squared_of_planes=wrong, measured_share=wrong, chi_squared=wrong)
    assert recorded_agreement(made, 0, 0, 2, 4) is None
    assert recorded_share(made, 0, 0, 2, 9) is None
    assert agreement_messages({**made, "slice_profile": wrong}) == (None, None)
    agreement_messages(made)


def test_agreement_in_words():
    assert agreement_messages({"factor": 4}) == (None, None)
    told, warning = agreement_messages(blurred())
    assert "differs from the measured planes by 0.65 of their noise's variance" in told
    assert "slice profile" in told
    assert warning is None
    told, warning = agreement_messages(blurred(chi_squared=[[0.5, 0.5], [0.5, 4.5]]))
    assert "by 1.5 of" in told
    assert "4.5 times the variance" in warning
    assert "slice profile may be another" in warning
    noise = blurred(kind="point", chi_squared=[[3.0]])
    assert all("profile" not in text for text in agreement_messages(noise))


def test_without_noise_there_is_nothing_to_compare_with():
    made = blurred(noise=[0.0, 0.02], chi_squared=[[1e12, 0.7], [1e12, 0.9]])
    told, warning = agreement_messages(made)
    assert "0.8 of" in told
    assert warning is None
    assert recorded_agreement(made, 0, 0, 2, 4) is None
    assert agreement_messages(blurred(noise=[0.0])) == (None, None)
