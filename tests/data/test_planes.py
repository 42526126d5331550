"""Training planes: normalisation and split."""

import numpy as np
import pytest

from isoslice.data.planes import plane_stacks, split
from isoslice.data.volume import Volume
from isoslice.errors import DataError


def stack(planes=10, side=40, seed=0, axes="ZYX", high=255):
    rng = np.random.default_rng(seed)
    return Volume(rng.integers(0, high, (planes, side, side)).astype(np.uint8), axes)


def image(value, seed=0):
    rng = np.random.default_rng(seed)
    return Volume((rng.random((40, 48)) * value).astype(np.float32), "YX")


def test_axes_end_up_as_planes_and_channels():
    data = np.random.default_rng(0).random((2, 3, 4, 40, 50), dtype=np.float32)
    (planes,) = plane_stacks([Volume(data, "TCZYX")])
    assert planes.data.shape == (8, 3, 40, 50)
    np.testing.assert_array_equal(planes.data[5, 2], data[1, 2, 1])


def test_stacks_are_normalised_apart_and_images_together():
    bright, dark = plane_stacks([stack(high=255), stack(high=20)])
    assert bright.normalization != dark.normalization
    bright, dark = plane_stacks([image(1.0), image(0.1)])
    assert bright.normalization == dark.normalization


def test_split_keeps_every_plane_once():
    stacks = plane_stacks([stack(10, seed=1), stack(25, seed=2)])
    train, held = split(stacks, 0.1, 0)
    assert [len(s.data) for s in train] == [9, 23]
    assert [len(s.data) for s in held] == [1, 2]
    np.testing.assert_array_equal(held[1].data, stacks[1].data[11:13])
    np.testing.assert_array_equal(train[1].data, np.delete(stacks[1].data, [11, 12], axis=0))


def test_split_of_images_and_of_a_single_image():
    train, held = split(plane_stacks([image(1, seed) for seed in range(20)]), 0.1, 0)
    assert (len(train), len(held)) == (18, 2)
    train, held = split(plane_stacks([image(1)]), 0.1, 0)
    assert (len(train), len(held)) == (1, 0)
    train, held = split(plane_stacks([image(1), image(1, 1)]), 0.1, 0)
    assert (len(train), len(held)) == (1, 1)


def test_unusable_images_are_refused():
    with pytest.raises(DataError, match="no images"):
        plane_stacks([])
    with pytest.raises(DataError, match="expected at least 32 x 32"):
        plane_stacks([stack(side=31)])
    two = Volume(np.random.default_rng(0).random((2, 40, 40)), "CYX")
    with pytest.raises(DataError, match="got 2 channels, expected 1"):
        plane_stacks([stack(), two])


def test_a_plane_that_one_channel_lost_teaches_nothing():
    stack = np.random.default_rng(0).integers(1, 200, (6, 2, 40, 40)).astype(np.uint8)
    stack[3, 1] = 0
    (found,) = plane_stacks([Volume(stack, "ZCYX")])
    np.testing.assert_array_equal(found.data, stack[[0, 1, 2, 4, 5]])
