"""Frames: which planes are restored from, what is put back, what nobody measured."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from conftest import texture
from isoslice.data.frames import (
    clear_deviations,
    fill_along_z,
    frames_of,
    lost_messages,
    put_back,
    without_gaps,
)
from isoslice.data.survey import Limits, lost_planes, survey

NONE_LOST = (((), ()), ((), ()))


def test_frames_of_all_channels():
    frames = frames_of(2, 2, (0, 3, 6, 9), NONE_LOST, False, 7)
    assert [(f.time, f.channels, f.seed) for f in frames] == [
        (0, slice(0, 2), 7),
        (1, slice(0, 2), 7),
    ]
    assert frames[0].grid.known == (0, 3, 6, 9)


def test_channels_restored_one_by_one_draw_other_noise():
    frames = frames_of(2, 2, (0, 3, 6, 9), NONE_LOST, True, 7)
    assert [(f.time, f.channels.start) for f in frames] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert frames[0].seed == 7
    assert frames[0].seed == frames[2].seed != frames[1].seed


def test_a_plane_lost_in_one_channel_is_restored_from_no_channel_but_put_back_in_the_other():
    (frame,) = frames_of(1, 2, (0, 2, 4, 6), (((1,), ()),), False, 0)
    assert frame.grid.known == (0, 4, 6)
    assert frame.measured == ((0, 2, 3), (0, 1, 2, 3))


def test_measured_planes_come_back_and_outside_stays_outside():
    planes = np.array([[[0, 0, 5, np.nan]], [[0, 7, 5, np.nan]], [[0, 0, 5, 1]]], np.float32)
    volume = np.full((5, 1, 4), 3, np.float32)
    put_back(volume, planes, (0, 2, 4), Limits(outside=0.0))
    expected = [[0, 0, 5, np.nan], [0, 3, 3, np.nan], [0, 7, 5, np.nan], [0, 3, 3, 3], [0, 0, 5, 1]]
    np.testing.assert_array_equal(volume[:, 0], expected)


def test_parts_of_a_volume_are_as_the_whole():
    rng = np.random.default_rng(0)
    planes = rng.integers(0, 2, (4, 3, 5)).astype(np.float32)
    planes[rng.random(planes.shape) < 0.3] = np.nan
    whole, rows = rng.normal(size=(10, 3, 5)).astype(np.float32), (0, 3, 6, 9)
    parts = [whole[:5].copy(), whole[5:].copy()]
    put_back(whole, planes, rows, Limits(outside=0.0))
    put_back(parts[0], planes[:3], rows[:3], Limits(outside=0.0))
    put_back(parts[1], planes[1:], (-2, 1, 4), Limits(outside=0.0))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


def test_deviations_of_voxels_without_data():
    planes = np.array([[[0, np.nan, 4]], [[0, np.nan, 4]]], np.float32)
    std = np.ones((3, 1, 3), np.float32)
    clear_deviations(std, planes, (0, 2), Limits(outside=0.0))
    np.testing.assert_array_equal(std[1, 0], [0, np.nan, 1])


@given(arrays.arrays("float32", (6, 1, 2), elements=st.sampled_from([1, 2, np.nan])))
def test_holes_take_the_nearest_planes_value(planes):
    filled = fill_along_z(planes)
    for x in range(2):
        column = planes[:, 0, x]
        known = np.flatnonzero(np.isfinite(column))
        for z in range(6):
            if not len(known):
                assert np.isnan(filled[z, 0, x])
                continue
            nearest = known[np.abs(known - z) == np.abs(known - z).min()]
            assert filled[z, 0, x] in column[nearest]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32"])
def test_mended_stacks_have_lines_in_gaps(dtype):
    stack = np.zeros((1, 1, 4, 2, 2), dtype)
    stack[0, 0, :, :] = np.array([10, 0, 0, 40], dtype)[:, None, None]
    found = without_gaps(stack, (((1, 2),),))
    assert found[0, 0, :, 0, 0].tolist() == [10, 20, 30, 40]
    assert stack[0, 0, 1, 0, 0] == 0
    uneven = without_gaps(stack, (((1, 2),),), positions=(0.0, 1.0, 5.0, 6.0))
    assert uneven[0, 0, :, 0, 0].tolist() == [10, 15, 35, 40]


def test_lost_planes_are_named_by_what_they_hold():
    stack = texture(1, 8, 20, 20)[None].copy()
    stack[0, 0, [0, 3, 4]] = 0
    stack[0, 0, 5] = 200
    found = survey(stack)
    messages = lost_messages(found, lost_planes(found))
    assert [message.split(",")[0] for message in messages] == [
        "planes 3-4 (counted from 0) are 0 everywhere",
        "plane 5 (counted from 0) is 200 everywhere",
        "plane 0 (counted from 0) is 0 everywhere",
    ]
    assert "taken as lost" in messages[0]
    assert "leave it out" in messages[2]
