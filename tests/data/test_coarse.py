"""Which axis is coarse, and stacks whose coarse axis is called Z for a while."""

import numpy as np
import pytest

from isoslice.data.coarse import coarse_axis, refined, turned
from isoslice.data.metadata import Metadata, Orientation, as_matrix
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError


def volume(z, y, x, axes="ZYX"):
    spacing = {a: s for a, s in zip("ZYX", (z, y, x), strict=True) if s is not None and a in axes}
    affine = as_matrix(np.diag([x or 1, y or 1, z or 1, 1]).tolist())
    place = Metadata({"Z": 5.0, "X": 1.0}, Orientation(affine, None, 1, 0))
    return Volume(
        np.zeros((2, 3, 4, 5)[-len(axes) :], np.uint8), axes, spacing, "mm", metadata=place
    )


@pytest.mark.parametrize(
    ("size", "axis"),
    [
        ((4, 1, 1), "Z"),
        ((1, 1, 1), "Z"),
        ((1, 1, 4), "X"),
        ((1, 4, 1), "Y"),
        ((4, 1, 4), "Z"),
        ((0.2, 1, 1), "Z"),
        ((0.2, 1, 4), "X"),
        ((None, 1, 4), "Z"),
        ((1, 1, 1.4), "Z"),
        ((0.7, 0.7, 1.05), "X"),
    ],
)
def test_the_coarse_axis(size, axis):
    assert coarse_axis(volume(*size)) == axis


def test_the_axis_that_is_asked_for():
    assert coarse_axis(volume(4, 1, 1), "y") == "Y"
    with pytest.raises(SettingsError, match="expected Z, Y or X"):
        coarse_axis(volume(4, 1, 1), "T")
    with pytest.raises(DataError, match="name the axes"):
        coarse_axis(volume(4, 1, 1, "YX"), "X")


@pytest.mark.parametrize("axis", ["Z", "Y", "X"])
def test_turning_twice_is_nothing(axis):
    stack = volume(3, 2, 1, "TZYX")
    once = turned(stack, axis)
    assert once.spacing["Z"] == stack.spacing[axis]
    assert once.size("Z") == stack.size(axis)
    assert once.data is stack.data
    back = turned(once, axis)
    assert back.data is stack.data
    assert (back.axes, back.spacing, back.metadata) == (stack.axes, stack.spacing, stack.metadata)


@pytest.mark.parametrize(("axis", "column"), [("X", 0), ("Y", 1), ("Z", 2)])
def test_refined_along_the_axis(axis, column):
    stack = volume(3, 2, 1)
    spacing, metadata = refined(stack, axis, 4)
    assert spacing[axis] == stack.spacing[axis] / 4
    before, after = (np.array(m.orientation.affine) for m in (stack.metadata, metadata))
    steps = np.ones(4)
    steps[column] = 1 / 4
    np.testing.assert_allclose(after, before @ np.diag(steps))
    assert metadata.origin == stack.metadata.origin


def test_any_ratio_of_spacings():
    spacing, metadata = refined(volume(4, 0.83, 0.83), "Z", 4 / 0.83, 0.83)
    assert spacing == {"Z": 0.83, "Y": 0.83, "X": 0.83}
    assert np.allclose(np.diag(metadata.orientation.affine), (0.83, 0.83, 0.83, 1))
    assert metadata.origin == {"Z": 5.0, "X": 1.0}
