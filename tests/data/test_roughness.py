"""The gain of a sample's detail: restored planes become as rough as measured ones."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.roughness import anisotropy, linear_error, roughness
from isoslice.inference.detail import strength as module
from isoslice.inference.detail.blend import DEFAULT_DETAIL, Gains
from isoslice.inference.detail.patches import COUNT, INTERVALS, SIDE, pieces, reader
from isoslice.inference.detail.strength import LIMITS, gains_for
from isoslice.models.config import DistilledSettings, ModelConfig
from restoring import gains_of as gains_of_network
from restoring import restore


def silent(x, c_noise):
    """Answer zero: samples are then normal with deviation sigma_data, the mean is linear."""
    return torch.zeros_like(x[:, : (x.shape[1] - 1) // 2])


def gains_of(config, planes, grid, evaluations=5):
    return gains_of_network(silent, config, planes, grid, evaluations)


def rough_planes(deviations, count=12, side=80):
    rng = np.random.default_rng(0)
    noise = rng.standard_normal((len(deviations), count, side, side)).astype(np.float32)
    return 0.5 + noise * np.array(deviations, np.float32)[:, None, None, None]


#: Planes and a grid for tests in which it doesn't matter that only pieces of a stack are looked at:
#: one piece is all of it.
ONE_PIECE = {"count": INTERVALS + 1, "side": SIDE}
GRID = even_grid(INTERVALS + 1, 4)


def once(channels):
    """Detail as it is."""
    return Gains(*torch.ones(2, channels, 1))


@pytest.fixture
def regardless(monkeypatch):
    """As rough as measured planes, whatever that costs."""
    monkeypatch.setattr(module, "LOSS", 100.0)


def test_roughness_of_a_ramp_and_of_noise():
    ramp = torch.arange(6.0).expand(1, 2, 5, 6)  # one along X, none along Y
    assert roughness(ramp).tolist() == [pytest.approx([5 * 5 / (5 * 5 + 4 * 6)] * 2)]
    noise = torch.from_numpy(rough_planes([0.1, 0.3]))
    expected = 2 / np.sqrt(np.pi) * np.array([0.1, 0.3])  # mean |a - b| of normal a and b
    assert roughness(noise).shape == (2, 12)
    np.testing.assert_allclose(roughness(noise).mean(1), expected, rtol=0.02)


def test_distances_from_measured_planes():
    assert even_grid(3, 4).distances.tolist() == [0, 1, 2, 1, 0, 1, 2, 1, 0]
    assert PlaneGrid((0, 3, 4)).distances.tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize(
    ("shape", "places"), [((1, 40, 300, 500), 4), ((2, 5, 64, 30), 1), ((1, 2, 200, 63), 4)]
)
def test_pieces_lie_inside_and_are_spread(shape, places):
    found = pieces(shape[1:], reader(np.random.default_rng(0).random(shape, np.float32)))
    assert len(found) == places <= COUNT
    for piece in found:
        for part, size in zip(piece, shape[1:], strict=True):
            assert 0 <= part.start < part.stop <= size

    assert all(piece[0].stop - piece[0].start >= 2 for piece in found)


def test_pieces_are_taken_where_there_is_something():
    planes = np.zeros((1, 40, 300, 500), np.float32)
    planes[:, :, 200:280, 30:120] = np.random.default_rng(0).random((80, 90))
    for _, y, x in pieces(planes.shape[1:], reader(planes)):
        assert np.ptp(planes[0, 0, y, x]) > 0.9


def test_pieces_of_planes_that_are_empty_here_and_there():
    planes = np.zeros((1, 40, 300, 500), np.float32)
    planes[:, 20:] = np.random.default_rng(0).random((300, 500))
    assert len(pieces(planes.shape[1:], reader(planes))) == COUNT


def test_linear_error_of_a_ramp_and_of_noise():
    ramp = torch.arange(30.0).expand(1, 3, 20, 30)
    assert float(linear_error(ramp, 4)[0]) == pytest.approx(0, abs=1e-9)
    noise = torch.from_numpy(rough_planes([0.1, 0.3]))
    t = np.arange(1, 4) / 4
    power = 1 + np.mean(t**2 + (1 - t) ** 2)  # of what is hidden, and of a sum of its neighbours
    np.testing.assert_allclose(linear_error(noise, 4), power * np.array([0.01, 0.09]), rtol=0.02)
    assert linear_error(noise[:, :, :4, :4], 4).isnan().all()


def test_anisotropy_of_noise_that_is_smooth_along_one_axis():
    white = rough_planes([0.1, 0.2], count=40)
    smooth = gaussian_filter(white, (0, 0, 2, 2))
    assert anisotropy([torch.from_numpy(white)], 4) == pytest.approx([1, 1], rel=0.05)
    # Rows 4 apart: correlation r = exp(-(4 / 2)^2 / 4); 8 apart exp(-(8 / 2)^2 / 4).
    near, far = np.exp(-1), np.exp(-4)
    expected = 1.5 / (1.5 - 2 * near + far / 2)
    assert anisotropy([torch.from_numpy(smooth)], 4) == pytest.approx([expected] * 2, rel=0.1)
    assert anisotropy([torch.from_numpy(white[:, :2])], 4).tolist() == [1, 1]
    assert anisotropy([torch.from_numpy(white[..., :8, :8])], 4).tolist() == [1, 1]


@pytest.mark.parametrize("channels", [1, pytest.param(2, marks=pytest.mark.slow)])
@pytest.mark.parametrize("flicker", [0.0, 0.1])
def test_samples_cost_no_more_than_the_loss_that_is_allowed(monkeypatch, channels, flicker):
    """Noise is as wrong as it is large, alike in all directions or not: the truth tells."""
    monkeypatch.setattr(module, "LOSS", 0.2)
    config, factor, count = ModelConfig(sigma_data=0.1), 4, 40
    grid = even_grid(count, factor)
    truth = rough_planes([0.1, 0.2][:channels], count=grid.depth, side=48)
    rng = np.random.default_rng(1)
    truth += np.float32(flicker) * rng.standard_normal((1, grid.depth, 1, 1)).astype(np.float32)
    planes = truth[:, list(grid.known)]
    gains = gains_of(config, planes, grid)
    restored = restore(silent, config, planes, grid, gains=gains, seed=5)
    for channel, (got, true) in enumerate(zip(restored, truth, strict=True)):
        linear = interpolate(planes[channel], grid)
        errors = [((x - true)[~grid.mask] ** 2).mean() for x in (got, linear)]
        assert 10 * np.log10(errors[0] / errors[1]) == pytest.approx(0.2, abs=0.05)


def test_tiny_planes_tell_nothing_of_the_error():
    """They are too small to hide rows in; the roughness alone decides."""
    config, grid = ModelConfig(sigma_data=0.1), even_grid(12, 8)
    planes = rough_planes([0.06], side=8)
    gains = gains_of(config, planes, grid)
    assert ((gains.fine > LIMITS[0]) & (gains.fine < LIMITS[1])).all()


def test_gains_are_read_off_and_stay_among_those_tried():
    gains = torch.tensor([0.5, 1.0, 2.0])
    rough = torch.tensor([[[1.0, 2.0, 3.0], [4.0, 3.9, 6.0]]])  # not even always rising
    for wanted, expected in ((1.5, [0.75, 0.5]), (0.2, [0.5, 0.5]), (5.0, [2.0, 1.5])):
        assert gains_for(torch.tensor([wanted]), gains, rough).tolist() == [expected]


def ratios(restored, planes, grid):
    """Roughness within restored planes at each distance, and along Z, per channel; wanted is 1."""
    volume = torch.from_numpy(restored)
    wanted = roughness(torch.from_numpy(planes)).mean(1)
    distances, rough = torch.from_numpy(grid.distances), roughness(volume)
    within = [rough[:, distances == d].mean(1) for d in range(1, int(distances.max()) + 1)]
    across = volume.diff(dim=1).abs().mean(dim=(1, 2, 3))
    return torch.stack(within) / wanted, across / wanted


@pytest.mark.usefixtures("regardless")
@pytest.mark.parametrize("softening", [None, 0.3])
def test_restored_planes_are_as_rough_as_measured_ones(softening):
    """Each channel by itself, planes at all distances alike; the right gain is not one."""
    config = ModelConfig(sigma_data=0.1, softening=softening)
    planes, grid = rough_planes([0.06, 0.15]), even_grid(12, 4)
    gains = gains_of(config, planes, grid)
    restored = restore(silent, config, planes, grid, gains=gains, seed=5)
    plain = restore(silent, config, planes, grid, gains=once(2), seed=5)
    within, across = ratios(restored, planes, grid)
    np.testing.assert_allclose((within.mean(0) + across) / 2, 1, rtol=0.01)
    plainly, _ = ratios(plain, planes, grid)
    spread, before = ((x[0] / x[1] - 1).abs() for x in (within, plainly))
    assert (spread < 0.02).all()
    assert before.max() > 0.05
    assert ((plainly - 1).abs() > 0.05).all()
    assert ((gains.fine > LIMITS[0]) & (gains.fine < LIMITS[1])).all()
    assert (gains.fine[0, 0] / gains.fine[1, 0] - 1).abs() > 0.1


@pytest.mark.usefixtures("regardless")
@pytest.mark.parametrize("strength", [0.8, 1.2])
def test_specimens_that_are_rougher_along_z_become_so(monkeypatch, strength):
    monkeypatch.setattr(module, "anisotropy", lambda *_: torch.tensor([strength**2]))
    config, grid = ModelConfig(sigma_data=0.1), GRID
    planes = rough_planes([0.1], **ONE_PIECE)
    restored = restore(silent, config, planes, grid, gains=gains_of(config, planes, grid), seed=5)
    within, across = ratios(restored, planes, grid)
    assert float((within.mean(0) + across) / (1 + strength)) == pytest.approx(1, rel=0.01)


@pytest.mark.usefixtures("regardless")
@pytest.mark.parametrize(("unlike", "kept"), [(0.25, 1.0), (4.0, 0.0)])
def test_coarse_detail_is_kept_where_roughness_along_z_leads(monkeypatch, unlike, kept):
    """As far as it is not strengthened; the less the rougher along Z the specimen is."""
    monkeypatch.setattr(module, "anisotropy", lambda *_: torch.tensor([unlike]))
    config, grid = ModelConfig(sigma_data=0.1), GRID
    gains = gains_of(config, rough_planes([0.1], **ONE_PIECE), grid)
    torch.testing.assert_close(gains.coarse, kept * gains.fine.clamp(max=1))


def test_a_distilled_networks_coarse_detail_is_left_alone(monkeypatch):
    monkeypatch.setattr(module, "anisotropy", lambda *_: torch.tensor([4.0]))
    config = ModelConfig(sigma_data=0.1, distilled=DistilledSettings())
    gains = gains_of(config, rough_planes([0.12], **ONE_PIECE), GRID, 2)
    assert (gains.coarse == 1).all()


@pytest.mark.usefixtures("regardless")
def test_gains_stay_within_limits():
    config, grid = ModelConfig(sigma_data=0.1), GRID
    flat = rough_planes([0.0], **ONE_PIECE)
    assert gains_of(config, flat, grid).fine.tolist()[0] == pytest.approx([LIMITS[0]] * 2)
    wild = rough_planes([1.0], **ONE_PIECE)
    assert gains_of(config, wild, grid).fine.tolist()[0] == pytest.approx([LIMITS[1]] * 2)


def test_unless_told_restoring_finds_the_gain_itself():
    config = ModelConfig(sigma_data=0.1)
    planes, grid = rough_planes([0.08], **ONE_PIECE), GRID
    gains = gains_of(config, planes, grid)
    told = restore(silent, config, planes, grid, gains=gains)
    np.testing.assert_array_equal(restore(silent, config, planes, grid), told)
    assert not np.array_equal(told, restore(silent, config, planes, grid, gains=once(1)))


def test_nothing_hidden_nothing_to_find():
    planes, grid = rough_planes([0.1], count=4), PlaneGrid((0, 1, 2, 3))
    found = gains_of(ModelConfig(sigma_data=0.1), planes, grid)
    assert [each.tolist() for each in found] == [[[1.0]]] * 2


def test_detail_of_a_distilled_network_is_counted_from_the_interpolation():
    config = ModelConfig(sigma_data=0.1, distilled=DistilledSettings())
    planes, grid = rough_planes([0.12], **ONE_PIECE), GRID
    gains = gains_of(config, planes, grid, 2)
    restored = restore(silent, config, planes, grid, gains=gains)
    within, across = ratios(restored, planes, grid)
    np.testing.assert_allclose((within.mean(0) + across) / 2, 1, rtol=0.01)


@pytest.mark.usefixtures("regardless")
def test_the_dial_does_not_change_the_gain():
    """Turned down, a volume becomes smoother: it is not strengthened again."""
    config = ModelConfig(sigma_data=0.1)
    planes, grid = rough_planes([0.08], **ONE_PIECE), GRID
    gains = gains_of(config, planes, grid)
    volumes = (
        restore(silent, config, planes, grid, detail=detail, gains=gains)
        for detail in (0.1, 0.3, DEFAULT_DETAIL)
    )
    found = [float(roughness(torch.from_numpy(volume)).mean()) for volume in volumes]
    assert found == sorted(found)
    assert found[0] < 0.9 * found[-1]
