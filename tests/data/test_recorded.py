"""What restored volumes record of their planes, and records that hold anything."""

import numpy as np
import pytest

from isoslice.data.recorded import recorded_axis, recorded_lost, recorded_reasons
from isoslice.data.volume import Volume


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
