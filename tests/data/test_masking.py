"""Row masks and the linear fill between known rows."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.masking import draw_masks, even_rows, fill_rows


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def test_even_rows_are_every_kth_from_the_offset():
    assert even_rows(8, 3, 1).nonzero().flatten().tolist() == [1, 4, 7]


@given(height=st.integers(8, 80), factor=st.integers(2, 8), seed=st.integers(0, 99))
@settings(deadline=None)
def test_random_rows_know_the_share_asked_for(height, factor, seed):
    masks = draw_masks(3, height, (factor,), 0.0, generator(seed))
    assert masks.sum(dim=1).tolist() == [max(2, round(height / factor))] * 3


def test_even_masks_have_every_factor_and_every_offset():
    masks = draw_masks(2000, 24, (2, 3, 4), 1.0, generator())
    seen = {tuple(mask.nonzero().flatten().tolist()) for mask in masks}
    assert seen == {tuple(range(offset, 24, k)) for k in (2, 3, 4) for offset in range(k)}


def test_small_masks_know_two_rows_at_least():
    for even_share in (0.0, 1.0):
        assert int(draw_masks(400, 16, (32, 64), even_share, generator()).sum(dim=1).min()) >= 2


def test_random_masks_know_all_rows_equally_often():
    share = draw_masks(4000, 16, (4,), 0.0, generator()).float().mean(dim=0)
    assert float((share - 0.25).abs().max()) < 0.035


def test_drawn_masks_cover_the_range_of_the_paper():
    masks = draw_masks(400, 64, (2, 3, 4, 6, 8), 0.6, generator())
    shares = masks.float().mean(1)
    assert shares.min() == 1 / 8
    assert shares.max() == 1 / 2
    even = sum(len(set(np.diff(m.nonzero().flatten()).tolist())) == 1 for m in masks)
    assert 0.5 < even / len(masks) < 0.7


def test_drawn_masks_depend_on_the_seed_alone():
    one, two = (draw_masks(5, 32, (2, 4), 0.5, generator(3)) for _ in range(2))
    assert torch.equal(one, two)


@given(seed=st.integers(0, 200), known=st.integers(1, 8))
@settings(deadline=None)
def test_fill_agrees_with_numpy_interp(seed, known):
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.choice(17, known, replace=False))
    mask = torch.zeros(1, 17, dtype=torch.bool)
    mask[0, rows] = True
    image = torch.from_numpy(rng.normal(size=(1, 2, 17, 3)).astype(np.float32))
    filled = fill_rows(image, mask)
    for c in range(2):
        for x in range(3):
            expected = np.interp(np.arange(17), rows, image[0, c, rows, x].numpy())
            np.testing.assert_allclose(filled[0, c, :, x], expected, atol=1e-5)


def test_fill_never_looks_at_hidden_rows():
    mask = draw_masks(6, 24, (2, 4, 8), 0.5, generator())
    image = torch.randn(6, 1, 24, 5, generator=generator())
    spoiled = torch.where(mask[:, None, :, None], image, torch.nan)
    assert torch.equal(fill_rows(image, mask), fill_rows(spoiled.nan_to_num(7.0), mask))


def test_fill_is_the_baseline_the_sampler_starts_from():
    planes = np.random.default_rng(0).random((5, 6), dtype=np.float32)
    grid = even_grid(5, 4)
    image = torch.zeros(1, 1, grid.depth, 6)
    image[0, 0, list(grid.known)] = torch.from_numpy(planes)
    filled = fill_rows(image, torch.from_numpy(grid.mask)[None])
    np.testing.assert_allclose(filled[0, 0], interpolate(planes, grid), atol=1e-6)
