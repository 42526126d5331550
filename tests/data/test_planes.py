"""Training planes: normalisation, split, crops."""

import numpy as np
import pytest
import torch

from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack, crop_size, draw_crops, plane_stacks, split
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


def test_crops_are_turned_pieces_of_the_planes():
    volume = stack(3, 33)
    stacks = plane_stacks([volume])
    crops = draw_crops(stacks, 40, 32, torch.Generator().manual_seed(0))
    assert crops.shape == (40, 1, 32, 32)
    pieces = {
        np.ascontiguousarray(turned).tobytes()
        for plane in stacks[0].data
        for y in (0, 1)
        for x in (0, 1)
        for k in range(4)
        for turned in (
            np.rot90(plane[0, y : y + 32, x : x + 32], k),
            np.rot90(plane[0, y : y + 32, x : x + 32], k)[::-1],
        )
    }
    seen = set()
    for crop in crops:
        raw = stacks[0].normalization.invert(crop.numpy(), np.dtype(np.uint8))[0]
        assert raw.tobytes() in pieces
        seen.add(raw.tobytes())
    assert len(seen) > 20


def test_crops_of_a_seed_are_the_same():
    stacks = plane_stacks([stack()])
    a, b = (draw_crops(stacks, 4, 32, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(a, b)


def test_crop_fits_the_smallest_plane():
    stacks = plane_stacks([stack(side=40), stack(side=120)])
    assert crop_size(stacks, 64, 16) == 32
    assert crop_size(plane_stacks([stack(side=120)]), 64, 16) == 64


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


def ramps(height, width):
    """Planes whose pixels tell their place: a thousand times the row, and the column."""
    plane = 1000 * np.arange(height)[:, None] + np.arange(width)
    return PlaneStack(plane[None, None].astype(np.float32), Normalization((0.0,), (1.0,)))


@pytest.mark.parametrize("spacing", [1.5, 2.25, 3.0])
def test_rows_of_crops_are_as_far_apart_as_asked(spacing):
    crops = draw_crops(
        [ramps(120, 130)], 40, 32, torch.Generator().manual_seed(0), row_spacing=spacing
    )
    assert crops.shape == (40, 1, 32, 32)
    turned, flipped = set(), set()
    for crop in crops[:, 0].double():
        down, across = crop.diff(dim=0), crop.diff(dim=1)
        along_x = bool(down[0, 0].abs() < 10)
        wanted = (spacing, 1000.0) if along_x else (1000 * spacing, 1.0)
        for steps, step in zip((down, across), wanted, strict=True):
            expected = torch.full_like(steps, step) * steps[0, 0].sign()
            torch.testing.assert_close(steps, expected, rtol=0.02, atol=0.02)
        turned.add(along_x)
        flipped.add((bool(down[0, 0] > 0), bool(across[0, 0] > 0)))
    assert len(turned) == 2
    assert len(flipped) == 4


def test_rows_a_pixel_apart_are_what_they_were():
    stacks = [ramps(60, 50)]
    a, b = (
        draw_crops(stacks, 6, 32, torch.Generator().manual_seed(3), **more)
        for more in ({}, {"row_spacing": 1.0})
    )
    torch.testing.assert_close(a, b, rtol=0, atol=0)


def test_a_crop_of_wide_rows_fits():
    assert crop_size([ramps(130, 200)], 64, 16, 2.0) == 64
    assert crop_size([ramps(120, 200)], 64, 16, 2.0) == 48
    with pytest.raises(DataError, match="16 rows 4 pixels apart do not fit"):
        crop_size([ramps(60, 200)], 64, 16, 4.0)
