"""How far volumes agree with their planes, and what errors of rows measured like them are."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from conftest import texture
from isoslice.data.grid import PlaneGrid
from isoslice.data.measurement import Measurement
from isoslice.data.profile import POINT, Profile
from isoslice.errors import SettingsError
from isoslice.inference.agreement import PlaneErrors, chi_squared
from isoslice.inference.as_measured import as_measured
from isoslice.inference.interpolated import make_base
from isoslice.inference.measured_rows import measured, measured_row_errors, shortened
from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, NetworkSettings
from isoslice.models.networks.denoiser import Denoiser
from isoslice.models.networks.error_head import build_head, with_head
from isoslice.models.networks.factory import build_network
from tiny_head import let_hear

CPU = torch.device("cpu")
SHAPE = NetworkSettings(
    widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0), measured=True
)  # fmt: skip
TOLD = ModelConfig(network=SHAPE, sigma_data=0.1)


def test_chi_squared_is_the_squared_difference_over_that_of_the_noise():
    """Two blocks, one above the other, of four planes; the second plane lies in the upper one."""
    upper = PlaneErrors([0, 1], np.array([[2.0, 4.0], [2.0, 4.0]]), 10)
    lower = PlaneErrors([2, 3], np.array([[6.0, 8.0], [6.0, 8.0]]), 10)
    beside = PlaneErrors([0, 1], np.array([[2.0, 0.0], [2.0, 0.0]]), 10)
    found = chi_squared([upper, lower, beside], (0.5, 1.0), 4)
    np.testing.assert_allclose(found[0], [0.8, 0.8, 2.4, 3.2])
    np.testing.assert_allclose(found[1], np.array([0.8, 0.8, 2.4, 3.2]) / 4)


def test_planes_are_met_to_their_noise(tiny_model):
    """A network that is not told follows the noise, by as much as the damping allows: below 1."""
    truth = texture(33, 48, 44).astype(float)
    measurement = Measurement(tuple(map(float, range(0, 33, 4))), 33, Profile("slab", 4))
    planes = np.einsum("iz,zyx->iyx", measurement.matrix, truth)
    planes += np.random.default_rng(0).normal(size=planes.shape) * 0.05 * np.ptp(truth)
    found = tiny_model.predict(
        planes.astype(np.float32), "ZYX", (4, 1, 1), mode="mean", slice_profile="slab"
    )
    record = found.provenance["slice_profile"]
    (each,) = record["chi_squared_of_planes"][0]
    assert len(each) == 9
    assert record["chi_squared"][0][0] == pytest.approx(np.mean(each), abs=1e-3)
    again = np.einsum("iz,zyx->iyx", measurement.matrix, found.volume.astype(float))
    scaled = found.provenance["normalization"]
    noise = record["noise"][0] * (scaled["high"][0] - scaled["low"][0])
    expected = np.mean((again - planes) ** 2, axis=(1, 2)) / noise**2
    np.testing.assert_allclose(each, expected, rtol=0.02)
    assert 0 < record["chi_squared"][0][0] < 1


def told_model():
    """A model that is told, made at random."""
    network = build_network(TOLD).eval()
    assert isinstance(network, Denoiser)
    let_hear(network)
    with torch.no_grad():
        network.renormalize()
    return Model(TOLD, network)


def test_noisy_planes_are_restored_and_points_are_not_touched(tiny_model):
    model = told_model()
    rng = np.random.default_rng(0)
    clean = np.broadcast_to(np.linspace(0, 1, 64, dtype=np.float32), (6, 64, 64))
    noisy = (clean + 0.1 * rng.normal(size=clean.shape)).astype(np.float32)
    kept = model.predict(noisy, "ZYX", (4, 1, 1), mode="mean").volume[::4]
    freed = model.predict(noisy, "ZYX", (4, 1, 1), mode="mean", denoise=True)
    np.testing.assert_array_equal(kept, noisy)
    assert np.abs(freed.volume[::4] - noisy).mean() > 1e-3
    assert freed.provenance["slice_profile"]["chi_squared"][0][0] > 1e-3
    noise = freed.provenance["slice_profile"]["noise"][0]
    assert noise == pytest.approx(0.1 / np.ptp(np.percentile(noisy, [0.1, 99.9])), rel=0.25)
    # Nothing is freed of what is not there.
    flat = np.broadcast_to(np.float32(1) * np.arange(6)[:, None, None], (6, 64, 64)).copy()
    flat[:, 0] += 3
    same = model.predict(flat, "ZYX", (4, 1, 1), mode="mean", denoise=True)
    np.testing.assert_array_equal(same.volume[::4], flat)
    with pytest.raises(SettingsError, match="keeps measured planes as they are"):
        tiny_model.predict(noisy, "ZYX", (4, 1, 1), mode="mean", denoise=True)


def work_of(measurement):
    return SimpleNamespace(measurement=measurement, grid=PlaneGrid(measurement.positions))


def base_of(measurement):
    planes = np.random.default_rng(0).random((1, len(measurement.positions), 5, 6), np.float32)
    return make_base(torch.from_numpy(planes), PlaneGrid(measurement.positions), None, CPU)


def test_networks_are_told_of_planes_that_are_no_points():
    points = Measurement((0.0, 4.0, 8.0), 9)
    base = base_of(points)
    assert as_measured(work_of(points), TOLD, base) is base
    blurred = Measurement((0.0, 4.0, 8.0), 9, Profile("slab", 6), (0.02,), (0.04,))
    told = as_measured(work_of(blurred), TOLD, base_of(blurred))
    np.testing.assert_allclose(told.measured, [[6 / 12**0.5, 0.2]], rtol=1e-6)
    assert told.correction is not None
    between = Measurement((0.0, 2.4, 7.3), 9, POINT, (0.02,), (0.04,))
    told = as_measured(work_of(between), TOLD, base_of(between))
    np.testing.assert_allclose(told.mask, [1, 0, 0.6, 0.4, 0, 0, 0, 0.7, 0.3], rtol=1e-6)
    np.testing.assert_allclose(told.measured, [[0, 0.2]], rtol=1e-6)
    # One that cannot be told takes them for the nearest rows.
    untold = TOLD.updated(network=SHAPE.updated(measured=False))
    plain = as_measured(work_of(between), untold, base_of(between))
    assert plain.measured is None
    assert plain.mask.tolist() == [1, 0, 1, 0, 0, 0, 0, 1, 0]


def test_levels_change_what_a_told_network_makes():
    network = build_network(TOLD).eval()
    assert isinstance(network, Denoiser)
    x, level = torch.rand(1, 3, 16, 16), torch.tensor([0.1])
    with torch.no_grad():
        network.leave_gain.fill_(1.0)
        network.measured_gain.fill_(1.0)
        for block in network.modules():
            if hasattr(block, "level_gain"):
                block.level_gain.fill_(1.0)
        network.renormalize()
        plain = network(x, level)
        zeros = network(x, torch.tensor([[0.1, 0.0, 0.0]]))
        told = network(x, torch.tensor([[0.1, 2.0, 0.3]]))
    torch.testing.assert_close(plain, zeros)
    assert not torch.allclose(plain, told)


def test_rows_are_measured_as_the_planes_were():
    """A network that knows nothing errs as interpolation that is corrected does."""
    network = build_network(TOLD).eval()
    joined = with_head(network, build_head(TOLD))
    image = texture(64, 2, 64)[:, 0][None].astype(np.float32) / np.float32(255)
    measurement = Measurement((0.0, 5.2, 9.0, 14.5, 40.0), 41, Profile("slab", 3), (0.0,), (1e-3,))
    errors = measured_row_errors(joined, TOLD, [image], measurement, CPU)
    depth = 41
    expected = []
    for turned in (image, image.swapaxes(1, 2)):
        truth = turned[:, :depth].astype(float)
        planes = measurement.matrix @ truth[0]
        grid = PlaneGrid(measurement.positions)
        lower, share = grid.bracket()
        volume = planes[lower] + share[:, None] * (planes[lower + 1] - planes[lower])
        volume += measurement.correction(1e-3) @ (planes - measurement.matrix @ volume)
        expected.append((volume - truth[0]).ravel())
    np.testing.assert_allclose(errors.error[0], np.concatenate(expected), atol=2e-3)
    assert errors.multiples[0] < errors.multiples[-1]
    assert measured_row_errors(joined, TOLD, [image[:, :4, :4]], measurement, CPU) is None


def test_rows_get_the_noise_that_their_planes_have():
    measurement = Measurement((0.0, 8.0, 16.0), 17, Profile("slab", 4), (0.1, 0.0))
    rng = np.random.default_rng(0)
    rows = np.stack([0.1 * rng.normal(size=(17, 20_000)), np.zeros((17, 20_000))]).astype("f4")
    planes = measured(rows, measurement, rng)
    np.testing.assert_allclose(planes[0].std(axis=1), 0.1, rtol=0.03)
    assert not planes[1].any()
    assert shortened(measurement, 10).positions == (0.0, 8.0)
    assert shortened(measurement, 8) is None


def test_channels_without_noise_stay_beside_those_with_it():
    """Each keeps its own place in the record."""
    rng = np.random.default_rng(0)
    flat = np.broadcast_to(np.float32(1) * np.arange(6)[:, None, None], (6, 64, 64)).copy()
    flat[:, 0] += 3
    noisy = (np.linspace(0, 1, 64) + 0.1 * rng.normal(size=(6, 64, 64))).astype(np.float32)
    stack = np.stack([flat, noisy])
    found = told_model().predict(stack, "CZYX", (4, 1, 1), mode="mean", denoise=True)
    np.testing.assert_array_equal(found.volume[0, ::4], flat)
    (clean,), (rest,) = found.provenance["slice_profile"]["chi_squared"]
    assert clean == 0 < rest
