"""Large slices in windows."""

from contextlib import nullcontext

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.grid import even_grid
from isoslice.data.interpolation import interpolate
from isoslice.inference import tiling as windows
from isoslice.inference.tiling import WHOLE, grid, spans, windows_of
from isoslice.models.config import ModelConfig, NetworkSettings
from isoslice.models.networks.denoiser import Denoiser, reach
from restoring import restore

SHAPES = [((8, 12), (1, 1), (1, 0)), ((8, 12, 16), (1, 2, 0), (0, 1, 1)), ((8,), (2,), (1,))]


def network(widths=(8, 12), down=(1, 1), up=(1, 0)):
    torch.manual_seed(0)
    made = Denoiser(1, widths, down, up).eval()
    made.renormalize()
    with torch.no_grad():
        made.leave_gain.fill_(0.5)
    return made


def tiled(made, halo, stride):
    """Apply a network window by window."""

    def whole(x, t):
        out = torch.full((len(x), 1, *x.shape[2:]), torch.nan)
        height, width = x.shape[2:]
        for window in windows_of(height, width, halo, stride):
            found = made(x[..., window.rows, window.columns].contiguous(), t)
            out[..., window.own_rows, window.own_columns] = found[..., *window.inner].float()
        return out

    return whole


@pytest.mark.parametrize("shape", SHAPES)
def test_a_network_reaches_as_far_as_it_is_said_to(shape):
    made, far = network(*shape).double(), reach(*shape)
    side, at = 4 * far + 64, 2 * far + 32
    x = torch.randn(1, 3, side, 8, dtype=torch.float64) * 0.1
    farthest = 0
    with torch.inference_mode():
        before = made(x, torch.zeros(1, dtype=torch.float64))
        for offset in range(2 ** len(shape[0])):
            y = x.clone()
            y[:, :, at + offset] += 100
            changed = (made(y, torch.zeros(1, dtype=torch.float64)) - before).abs().amax((0, 1, 3))
            places = torch.nonzero(changed)[:, 0] - at - offset
            farthest = max(farthest, int(places.abs().max()))
    assert 0.8 * far <= farthest <= far


@given(st.integers(1, 5000), st.integers(1, 9), st.integers(0, 5), st.sampled_from([2, 4, 16]))
def test_windows_cover_a_side_once(length, count, halo, stride):
    count = min(count, max(1, length // stride))
    seen = np.zeros(length, int)
    for window, own in spans(length, count, halo * stride, stride):
        seen[own] += 1
        assert window.start % stride == 0
        assert window.start == max(0, own.start - halo * stride)
        assert window.stop == min(length, own.stop + halo * stride)
    assert (seen == 1).all()


@pytest.mark.slow
@given(st.integers(1, 30_000), st.integers(1, 30_000))
def test_windows_fit(height, width):
    down, across = grid(height, width, 112, 16)
    tall, wide = (max(w.stop - w.start for w, _ in side) for side in (down, across))
    assert tall * wide <= WHOLE
    if height * width <= WHOLE:
        assert len(down) == len(across) == 1


def test_little_work_is_done_twice():
    for shape, most in (((2721, 2721), 1.2), ((1000, 2721), 1.1), ((2000, 10_000), 1.4)):
        down, across = grid(*shape, 112, 16)
        work = [sum(w.stop - w.start for w, _ in side) for side in (down, across)]
        assert work[0] * work[1] < most * shape[0] * shape[1]


@pytest.mark.parametrize("bfloat16", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
def test_windows_do_not_show(monkeypatch, bfloat16, shape):
    """A window has all that its pixels depend on; convolutions of other sizes round otherwise."""
    monkeypatch.setattr(windows, "WHOLE", 60_000)
    made, far, stride = network(*shape), reach(*shape), 2 ** len(shape[0])
    halo = -(-far // stride) * stride
    x = torch.randn(2, 3, 331, 457)
    precise = torch.autocast("cpu", torch.bfloat16) if bfloat16 else nullcontext()
    with torch.inference_mode(), precise:
        whole = made(x, torch.zeros(1)).float()
        found = tiled(made, halo, stride)(x, torch.zeros(1))
    assert len(grid(331, 457, halo, stride)[0]) > 1
    torch.testing.assert_close(found, whole, atol=0.1 if bfloat16 else 1e-5, rtol=0)
    assert (found != whole).float().mean() < (0.05 if bfloat16 else 1)


def test_with_less_of_a_halo_windows_would_show(monkeypatch):
    monkeypatch.setattr(windows, "WHOLE", 60_000)
    made, x = network(), torch.randn(2, 3, 331, 457)
    with torch.inference_mode():
        whole, found = made(x, torch.zeros(1)), tiled(made, 4, 4)(x, torch.zeros(1))
    assert (found - whole).abs().max() > 1e-3


def test_large_slices_are_restored_in_windows(monkeypatch, arithmetic):
    """Convolutions of other sizes round otherwise: by 1/256 of the residual in bfloat16."""
    shape = NetworkSettings(channels=1, widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0))
    config = ModelConfig(sigma_data=0.1, network=shape)
    planes = np.random.default_rng(0).random((1, 4, 5, 300), np.float32)
    expected = restore(network(), config, planes, even_grid(4, 4))
    residual = expected - interpolate(planes[0], even_grid(4, 4))
    seen = []

    def counting(x, t):
        seen.append(x.shape[2] * x.shape[3])
        return network()(x, t)

    monkeypatch.setattr(windows, "WHOLE", 2000)
    found = restore(counting, config, planes, even_grid(4, 4))
    assert max(seen) <= 2000
    # Five evaluations, each of which passes on what the one before has rounded.
    tolerance = {"float32": 1e-4, "bfloat16": 5 / 256 * np.abs(residual).max()}[arithmetic]
    np.testing.assert_allclose(found, expected, atol=tolerance)
    monkeypatch.setattr("isoslice.inference.passes._halo", lambda _: (0, 4))
    shows = restore(network(), config, planes, even_grid(4, 4))
    assert np.abs(shows - expected).max() > tolerance  # without a halo
