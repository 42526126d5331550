"""Crops of training planes: what they show, and where they are from."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from isoslice.data.crops import (
    PlanePool,
    StackTable,
    crop_size,
    draw_crops,
    draw_places,
    read_crops,
)
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack, plane_stacks
from isoslice.data.volume import Volume
from isoslice.errors import DataError


def stack(planes=10, side=40, seed=0):
    rng = np.random.default_rng(seed)
    return Volume(rng.integers(0, 255, (planes, side, side)).astype(np.uint8), "ZYX")


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


@pytest.mark.parametrize("spacing", [1.0, 2.25])
@pytest.mark.parametrize("quarter_turns", [True, False])
def test_a_pool_gathers_what_is_read_from_planes(spacing, quarter_turns):
    rng = np.random.default_rng(0)
    shapes = [(3, 2, 40, 52), (1, 2, 44, 39), (2, 2, 60, 60)]
    stacks = [
        PlaneStack(rng.integers(0, 99, shape), Normalization((1.0, 0.0), (50.0 + k, 99.0)))
        for k, shape in enumerate(shapes)
    ]
    pool = PlanePool.of(stacks, torch.device("cpu"))
    places = draw_places(
        StackTable.of(stacks), 60, 16, torch.Generator().manual_seed(0), quarter_turns, spacing
    )
    assert len(set(places.turn.tolist())) == (8 if quarter_turns or spacing > 1 else 4)
    assert set(places.stack.tolist()) == {0, 1, 2}
    gathered, read = pool.read(places, 16, spacing), read_crops(stacks, places, 16, spacing)
    torch.testing.assert_close(gathered, read, rtol=0, atol=1e-6 if spacing > 1 else 0)


def test_planes_stay_where_they_are_beside_a_processor():
    assert PlanePool.fitting([ramps(40, 40)], torch.device("cpu")) is None


def test_pixels_are_equally_likely_unless_weights_say_otherwise():
    stacks = [ramps(40, 40), ramps(80, 80)]
    generator = torch.Generator().manual_seed(0)
    drawn = draw_places(StackTable.of(stacks), 4000, 32, generator).stack
    assert np.mean(drawn == 1) == pytest.approx(0.8, abs=0.03)
    weighted = [replace(stacks[0], weight=3.0), replace(stacks[1], weight=1.0)]
    drawn = draw_places(StackTable.of(weighted), 4000, 32, generator).stack
    assert np.mean(drawn == 1) == pytest.approx(0.25, abs=0.03)


def test_crops_reach_every_edge():
    places = draw_places(StackTable.of([ramps(34, 35)]), 400, 32, torch.Generator().manual_seed(0))
    assert set(places.top.tolist()) == {0, 1, 2}
    assert set(places.left.tolist()) == {0, 1, 2, 3}
