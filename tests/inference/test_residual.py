"""The alternating sampler, with networks whose answers are known."""

import numpy as np
import pytest
import torch

from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.interpolation import interpolate
from isoslice.inference.detail.blend import Gains
from isoslice.inference.passes import BATCH_PIXELS, WEIGHT, slices
from isoslice.models.config import ModelConfig, SamplerSettings
from isoslice.models.networks.denoiser import Denoiser
from restoring import restore

pytestmark = pytest.mark.usefixtures("arithmetic")
#: From strong noise, and all of the grain.
SETTINGS = SamplerSettings(sigma_max=6.0, detail_grain=1.0)
SIGMA_DATA = 0.1
CONFIG = ModelConfig(sigma_data=SIGMA_DATA, sampler=SETTINGS)


def planes(channels=1, count=4, side=(6, 10), seed=0):
    return np.random.default_rng(seed).random((channels, count, *side), dtype=np.float32)


def silent(x, c_noise):
    """Answer zero: with no signal, the residual's mean is then zero."""
    return torch.zeros_like(x[:, : (x.shape[1] - 1) // 2])


def real(channels=1):
    torch.manual_seed(0)
    network = Denoiser(channels, (8, 12), (1, 1), (1, 0)).eval()
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(0.5)
    return network


def run(network, data, grid, **options):
    return restore(network, CONFIG, data, grid, **options)


def test_slices_are_views():
    volume = torch.zeros(1, 3, 4, 5)
    assert slices(volume, "XZ").shape == (4, 1, 3, 5)
    assert slices(volume, "YZ").shape == (5, 1, 3, 4)
    slices(volume, "YZ")[2] = 7
    assert volume[0, :, :, 2].unique().tolist() == [7]


@pytest.mark.parametrize("mode", ["mean", "sample"])
@pytest.mark.parametrize("channels", [1, 2])
def test_measured_planes_are_exact(mode, channels):
    data, grid = planes(channels), even_grid(4, 3)
    out = run(real(channels), data, grid, mode=mode)
    assert out.shape == (channels, 10, 6, 10)
    np.testing.assert_array_equal(out[:, ::3], data)
    assert np.abs(out - np.stack([interpolate(c, grid) for c in data])).max() > 1e-3


def test_unevenly_spaced_planes():
    data, grid = planes(), PlaneGrid((0, 2, 3, 7))
    out = run(real(), data, grid)
    np.testing.assert_array_equal(out[:, list(grid.known)], data)


def test_mean_of_a_silent_network_is_linear_interpolation():
    data, grid = planes(), even_grid(4, 3)
    np.testing.assert_allclose(
        run(silent, data, grid, mode="mean")[0], interpolate(data[0], grid), atol=1e-6
    )


@pytest.mark.parametrize(("xz", "yz"), [(1.0, 1.0), (1.0, 0.5), (1.0, 0.0), (1.0, -1.0)])
def test_mean_combines_both_directions(xz, yz):
    """A network that answers differently for XZ slices (width 10) and YZ slices (width 6)."""

    def network(x, c_noise):
        return silent(x, c_noise) + (xz if x.shape[-1] == 10 else yz)

    data, grid = planes(), even_grid(4, 3)
    residual = run(network, data, grid, mode="mean")[0] - interpolate(data[0], grid)
    hidden = np.delete(residual, list(grid.known), axis=0)
    np.testing.assert_allclose(hidden, WEIGHT * (xz + yz) * SIGMA_DATA, atol=1e-4)  # half precision


def test_sampling_a_gaussian_gives_its_deviation():
    """For r ~ N(0, sigma_data^2) the ideal network answers zero; samples must have its spread."""
    data = planes(count=9, side=(24, 24))
    grid = even_grid(9, 4)
    out = run(silent, data, grid, evaluations=200, gains=Gains(*torch.ones(2, 1, 33)), seed=3)[0]
    hidden = np.delete(out - interpolate(data[0], grid), list(grid.known), axis=0)
    assert hidden.std() == pytest.approx(SIGMA_DATA, rel=0.1)
    assert abs(hidden.mean()) < 0.01


def test_detail_goes_from_the_mean_to_the_sample():
    data, grid = planes(), even_grid(4, 3)
    mean = run(real(), data, grid, mode="mean")
    ones = Gains(*torch.ones(2, 1, 10))
    none, some, all_of_it = (run(real(), data, grid, detail=d, gains=ones) for d in (0, 0.5, 1))
    np.testing.assert_allclose(none, mean, atol=1e-6)
    assert 0 < np.abs(some - mean).mean() < np.abs(all_of_it - mean).mean()
    np.testing.assert_array_equal(some[:, ::3], data)


def test_same_seed_same_result_other_seed_other():
    data, grid = planes(), even_grid(4, 3)
    a, b, c = (run(real(), data, grid, seed=seed) for seed in (4, 4, 5))
    np.testing.assert_array_equal(a, b)
    assert np.abs(a - c).max() > 1e-3
    a, c = (run(real(), data, grid, seed=seed, mode="mean") for seed in (4, 5))
    np.testing.assert_array_equal(a, c)


def test_batches_do_not_show(monkeypatch, arithmetic):
    """But for rounding, which differs as batches of other sizes are convolved in another order."""
    tolerance = {"float32": 1e-3, "bfloat16": 5e-3}[arithmetic]
    data, grid = planes(), even_grid(4, 3)
    whole = run(real(), data, grid)
    monkeypatch.setitem(BATCH_PIXELS, "cpu", 1)
    np.testing.assert_allclose(run(real(), data, grid), whole, atol=tolerance)


@pytest.mark.parametrize(("mode", "evaluations", "expected"), [("mean", 8, 2), ("sample", 8, 8)])
def test_every_voxel_is_evaluated_as_often_as_asked(mode, evaluations, expected):
    seen = []

    def counting(x, c_noise):
        seen.append(x.shape[0] * x.shape[2] * x.shape[3])
        return silent(x, c_noise)

    grid = even_grid(4, 3)
    done: list[float] = []
    run(counting, planes(), grid, mode=mode, evaluations=evaluations, report=done.append)
    assert sum(seen) == expected * grid.depth * 6 * 10
    assert done[-1] == pytest.approx(1)
    assert done == sorted(done)
