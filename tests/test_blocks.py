"""Blocks of a volume: their geometry, and that they do not show."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isoslice.blocks import (
    Box,
    Reach,
    block_count,
    core_size,
    cores,
    nth_core,
    pass_boxes,
    span,
    whole,
    widened,
)
from isoslice.blockwise import Restoration, find_gains, planes_around, restore_part
from isoslice.config import ModelConfig, NetworkSettings
from isoslice.detail import Gains
from isoslice.errors import SettingsError
from isoslice.geometry import PlaneGrid, even_grid
from isoslice.network import Denoiser
from isoslice.pieces import reader
from isoslice.sampler import restore

SHAPES = st.tuples(*[st.integers(1, 40)] * 3)
SIZES = st.tuples(*[st.integers(1, 45)] * 3)


@given(SHAPES, SIZES)
def test_cores_cover_a_volume_once(shape, size):
    seen = np.zeros(shape, int)
    found = list(cores(shape, size))
    for core in found:
        seen[core.slices()] += 1
    assert (seen == 1).all()
    assert len(found) == block_count(shape, size)
    assert [nth_core(i, shape, size) for i in range(len(found))] == found


@given(SHAPES, SIZES, st.integers(0, 9), st.integers(1, 8), st.data())
def test_boxes_are_widened_but_not_beyond_the_volume(shape, size, halo, stride, data):
    core = data.draw(st.sampled_from(list(cores(shape, size))))
    wide = widened(core, shape, (halo,) * 3, (stride,) * 3)
    edges = zip(core.start, core.stop, wide.start, wide.stop, shape, strict=True)
    for start, stop, low, high, length in edges:
        assert 0 <= low <= max(0, start - halo)
        assert length >= high >= min(length, stop + halo)
        assert low % stride == 0
        assert high % stride == 0 or high == length
        assert start - low < halo + stride
        assert high - stop < halo + stride


def test_each_pass_looks_at_what_the_next_one_needs():
    shape, core = (400, 500, 600), Box((160, 200, 240), (192, 260, 304))
    planes, reach = ["XZ", "YZ", "XZ", "YZ", "XZ"], Reach(20, 30)
    boxes = pass_boxes(core, shape, planes, 2, reach, 16)
    needed = core
    for number in (4, 3, 2, 1, 0):
        low = [a - b for a, b in zip(needed.start, boxes[number].start, strict=True)]
        across, along = (1, 2) if planes[number] == "XZ" else (2, 1)
        assert low[across] == 0
        assert 30 <= low[along] < 30 + 16
        assert 20 <= low[0] < 20 + 16
        assert boxes[number].start[along] % 16 == 0
        if number >= 2:
            needed = boxes[number]
    assert boxes[0].start[1] == boxes[2].start[1]  # both means are for the first step
    assert boxes[1].start[2] == boxes[2].start[2]


def test_a_volume_that_fits_is_one_block():
    def boxes_of(part):
        return pass_boxes(part, (60, 70, 80), ["XZ", "YZ"], 2, Reach(20, 20), 16)

    assert core_size((60, 70, 80), boxes_of, 60 * 70 * 80, 64) == (60, 70, 80)


@given(st.tuples(*[st.integers(1, 3000)] * 3), st.floats(2e6, 1e9))
def test_blocks_fit_into_memory(shape, voxels):
    def boxes_of(part):
        return pass_boxes(part, shape, ["XZ", "YZ", "XZ"], 2, Reach(16, 16), 16)

    size = core_size(shape, boxes_of, int(voxels), 64)
    for length, side in zip(shape, size, strict=True):
        assert side == length or (side < length and side % 64 == 0)
    corner = span(boxes_of(nth_core(0, shape, size)))
    assert corner.size <= voxels


def test_too_little_memory_is_refused_with_what_is_needed():
    def boxes_of(part):
        return pass_boxes(part, (500, 500, 500), ["XZ", "YZ"], 2, Reach(20, 20), 16)

    with pytest.raises(SettingsError, match=r"expected at least .* --memory"):
        core_size((500, 500, 500), boxes_of, 10_000, 64)


@given(st.integers(2, 9), st.integers(1, 5), st.data())
def test_rows_lie_between_the_planes_around_them(planes, factor, data):
    grid = even_grid(planes, factor) if factor > 1 else PlaneGrid(tuple(range(planes)))
    start = data.draw(st.integers(0, grid.depth - 1))
    stop = data.draw(st.integers(start + 1, grid.depth))
    first, last, own = planes_around(grid, start, stop)
    assert 0 <= first < last < planes
    assert grid.known[first] <= start
    assert stop - 1 <= grid.known[last]
    assert own.known[-1] == grid.known[last] - grid.known[first]


def network():
    """A network with weights by chance, whose slices see 50 voxels or so."""
    torch.manual_seed(0)
    settings = NetworkSettings(channels=1, widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0))
    made = Denoiser(1, settings.widths, settings.blocks_down, settings.blocks_up).eval()
    made.renormalize()
    with torch.no_grad():
        made.leave_gain.fill_(0.5)
    return made, ModelConfig(sigma_data=0.1, network=settings)


@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("size", [(33, 24, 30), (16, 20, 200), (8, 70, 66)])
def test_blocks_do_not_show(monkeypatch, mode, size):
    """With a halo of all that a network sees, voxels are those of the whole but for rounding."""
    monkeypatch.setattr("isoslice.device.cpu_has_bfloat16", lambda: False)
    made, config = network()
    planes = np.random.default_rng(0).random((1, 9, 70, 66), dtype=np.float32)
    grid, gains = even_grid(9, 4), Gains(*torch.full((2, 1, 2), 1.2))
    expected = restore(made, config, planes, grid, gains=gains, mode=mode)
    work = Restoration(made, config, reader(planes), grid, (70, 66), mode=mode, reach=Reach(32, 32))
    found = np.full_like(expected, np.nan)
    for core in cores(work.shape, size):
        place = (slice(None), *core.slices())
        found[place] = restore_part(work, core, None if mode == "mean" else gains)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(found - expected).mean() < 1e-5
    np.testing.assert_array_equal(found[:, ::4], planes)


def test_without_a_halo_blocks_would_show():
    made, config = network()
    planes = np.random.default_rng(0).random((1, 9, 70, 66), dtype=np.float32)
    work = Restoration(made, config, reader(planes), even_grid(9, 4), (70, 66), mode="mean")
    narrow = Restoration(
        made, config, reader(planes), even_grid(9, 4), (70, 66), mode="mean", reach=Reach(0, 0)
    )
    core = Box((8, 24, 24), (16, 40, 40))
    assert np.abs(restore_part(work, core, None) - restore_part(narrow, core, None)).max() > 1e-2


def test_gains_of_pieces_are_those_of_the_whole(monkeypatch):
    monkeypatch.setattr("isoslice.device.cpu_has_bfloat16", lambda: False)
    made, config = network()
    planes = np.random.default_rng(0).random((1, 9, 90, 96), dtype=np.float32)
    grid = even_grid(9, 4)
    work = Restoration(made, config, reader(planes), grid, (90, 96), reach=Reach(32, 32))
    gains = find_gains(work)
    found = restore_part(work, whole(work.shape), gains)
    np.testing.assert_allclose(found, restore(made, config, planes, grid), atol=2e-3)
