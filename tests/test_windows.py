"""Large slices in windows."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isoslice import windows
from isoslice.network import Denoiser
from isoslice.windows import OVERLAP, STRIDE, WHOLE, spans, tiled, weights


@given(st.integers(1, 20_000))
def test_windows_cover_a_side_once(length):
    total = torch.zeros(length)
    for place, weight in weights(length):
        assert place.stop - place.start <= WHOLE
        assert place.start % STRIDE == 0
        total[place] += weight
    torch.testing.assert_close(total, torch.ones(length))


@given(st.integers(WHOLE + 1, 20_000))
def test_neighbours_overlap(length):
    found = spans(length)
    for (_, stop), (start, _) in pairwise(found):
        assert stop - start == OVERLAP
    assert all(b - a > 2 * OVERLAP for a, b in found)


def test_small_images_are_taken_whole():
    seen = []

    def network(x, t):
        seen.append(x)
        return x[:, :1]

    x = torch.rand(2, 3, 40, 50)
    torch.testing.assert_close(tiled(network)(x, torch.zeros(1)), x[:, :1])
    assert seen == [x]


def test_windows_do_not_show(monkeypatch):
    """A network that sees less far than the overlap gives the same, but for rounding."""
    monkeypatch.setattr(windows, "WHOLE", 300)
    torch.manual_seed(0)
    network = Denoiser(1, (8, 12), (1, 1), (1, 0)).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    x = torch.randn(2, 3, 420, 650)
    with torch.inference_mode():
        whole, found = network(x, torch.zeros(1)), tiled(network)(x, torch.zeros(1))
    torch.testing.assert_close(found, whole, atol=1e-5, rtol=0)
    assert len(spans(420)) > 1


def test_what_a_window_lacks_is_not_used(monkeypatch):
    """An answer that is wrong near every edge of what it is given does not show."""
    monkeypatch.setattr(windows, "WHOLE", 300)

    def network(x, t):
        out = torch.ones_like(x[:, :1])
        out[..., : windows.IGNORED] = out[..., -windows.IGNORED :] = 7
        return out

    found = tiled(network)(torch.zeros(1, 3, 30, 900), torch.zeros(1))
    inner = found[..., windows.IGNORED : -windows.IGNORED]
    torch.testing.assert_close(inner, torch.ones_like(inner))


@pytest.mark.parametrize("length", [1, WHOLE])
def test_sides_that_fit_are_one_window(length):
    assert spans(length) == [(0, length)]
