"""What planes hold: blank and lost ones, extremes, saturation, values without data."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from conftest import texture
from isoslice.data.survey import (
    Limits,
    empty_survey,
    find_limits,
    format_planes,
    lost_planes,
    planes_of,
    survey,
    suspect_end_planes,
)


@given(
    arrays.arrays(
        st.sampled_from(["int8", "uint16", "float32"]),
        (2, 1, 3, 4, 5),
        elements=st.sampled_from([0, 1, 3, 7]),
    ),
    st.integers(1, 4),
)
def test_part_by_part_is_as_all_at_once(data, rows):
    whole, parts = survey(data), empty_survey(2, 1, 3)
    for t, c, z in np.ndindex(2, 1, 3):
        for y in range(0, 4, rows):
            parts.add(t, c, z, data[t, c, z, y : y + rows])
    for name in ("least", "most", "at_least", "at_most", "zeros", "finite", "count"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(whole, name))
    np.testing.assert_array_equal(whole.least, data.min(axis=(3, 4)))
    np.testing.assert_array_equal(
        whole.at_most, (data == data.max(axis=(3, 4), keepdims=True)).sum(axis=(3, 4))
    )


def test_what_is_not_finite_is_not_counted():
    data = np.ones((1, 1, 2, 4, 5), np.float32)
    data[0, 0, 0, :2] = [np.nan, np.inf, -np.inf, 2, 3]
    data[0, 0, 1] = np.nan
    found = survey(data)
    assert found.finite.tolist() == [[[14, 0]]]
    assert found.most[0, 0, 0] == 3
    assert found.holes
    assert found.blank.tolist() == [[[False, True]]]


def stack(blank=(), value=0):
    data = texture(9, 20, 20)[None, None].copy()
    data[0, 0, list(blank)] = value
    return data


@pytest.mark.parametrize("value", [0, 77, 255])
@pytest.mark.parametrize("blank", [(4,), (2, 5), (3, 4, 5)])
def test_blank_planes_between_others_are_lost(blank, value):
    assert lost_planes(survey(stack(blank, value))) == ((blank,),)


def test_blank_planes_at_the_ends_are_not_lost():
    assert lost_planes(survey(stack((0, 1, 8)))) == (((),),)


def test_a_gap_between_objects_is_not_lost():
    data = stack((4,))
    data[..., :12] = 0  # most of every plane is as dark as the gap
    assert lost_planes(survey(data)) == (((),),)


def test_planes_lost_one_after_the_other_may_hold_different_values():
    data = stack((3, 4))
    data[0, 0, 4] = 255
    assert lost_planes(survey(data)) == (((3, 4),),)


def masked(side):
    """A stack of which all but a square in the middle is 0."""
    data = stack()
    outside = np.ones((20, 20), bool)
    outside[10 - side // 2 : 10 + side // 2, 10 - side // 2 : 10 + side // 2] = False
    data[..., outside] = 0
    return data


def test_a_lost_plane_of_a_masked_stack_shows_by_the_outline():
    data = masked(8)
    data[0, 0, 4] = 0
    assert lost_planes(survey(data)) == (((),),)  # four fifths of each plane are 0
    assert lost_planes(survey(data), planes_of(data)) == (((4,),),)


def test_a_gap_between_unlike_outlines_is_not_lost():
    data = masked(8)
    data[0, 0, 4] = 0
    data[0, 0, 5:] = np.roll(data[0, 0, 5:], 4, axis=-1)
    assert lost_planes(survey(data), planes_of(data)) == (((),),)


def test_blank_ends_beside_full_planes_are_suspect():
    assert suspect_end_planes(survey(stack((0, 1, 8)))) == (((0, 1, 8),),)
    data = masked(8)
    data[0, 0, 0] = 0
    assert suspect_end_planes(survey(data)) == (((),),)


def test_extremes_of_some_channels_and_planes():
    data = np.concatenate([stack((4,), 255), stack((2,), 250)], axis=1)
    found = survey(data)
    kept = [z for z in range(9) if z != 4]
    assert found.extremes(0, slice(0, 1), kept).tolist() == [
        [data[0, 0, kept].min(), data[0, 0, kept].max()]
    ]
    assert found.extremes(0, slice(0, 2), [2, 4])[1].tolist() == [data[0, 1, 4].min(), 250]
    assert survey(np.full((1, 1, 2, 3, 3), np.nan, np.float32)).extremes(
        0, slice(0, 1), [0, 1]
    ).tolist() == [[0, 0]]


def test_ends_without_a_finite_voxel_are_not_suspect():
    data = stack().astype(np.float32)
    data[0, 0, 0] = np.nan
    assert suspect_end_planes(survey(data)) == (((),),)


def test_the_first_time_point_with_anything_in_it():
    data = np.concatenate([stack(range(9)), stack(range(9)), stack()])
    assert survey(data).first_filled == 2
    assert survey(data[:1]).first_filled == 0


def test_the_longest_run_of_filled_planes():
    data = np.concatenate([stack((0, 3)), stack(range(9))], axis=1)  # one channel is empty
    assert survey(data).filled_run == (0, slice(4, 9))
    later = np.concatenate([np.zeros_like(data), data])
    assert survey(later).filled_run == (1, slice(4, 9))
    assert survey(np.zeros_like(data)).filled_run == (0, slice(0, 9))


def test_lost_planes_of_each_time_and_channel():
    data = np.concatenate([np.concatenate([stack((4,)), stack()], 1)] * 2)
    data[1, 0] = data[1, 1]
    assert lost_planes(survey(data)) == (((4,), ()), ((), ()))


def limits_of(data):
    return find_limits(survey(data[None, None]), 0, data.dtype)


def test_a_cameras_ceiling():
    data = texture(3, 40, 40).astype(np.uint16)
    assert limits_of(data).ceiling is None
    data[0, 0, 0] = 4095
    assert limits_of(data).ceiling == 4095
    piled = np.minimum(texture(3, 40, 40), 150).astype(np.float32) / 100
    assert limits_of(piled).ceiling == np.float32(1.5)


def test_values_without_data():
    data = texture(3, 40, 40).astype(np.int16) - 1000
    assert limits_of(data).outside is None
    data[:, :4] = -2000  # what scanners write around their circle
    assert limits_of(data) == Limits(-2000, None, -2000)
    real = np.random.default_rng(0).normal(size=(3, 40, 40)).astype(np.float32)
    assert limits_of(real).outside is None
    real[:, :4] = 0  # below which interpolation rang
    assert limits_of(real).outside == 0


def test_planes_are_told_in_runs():
    assert format_planes([41, 12, 40, 42]) == "12, 40-42"
