"""Masked slice diffusion: algebra of its sampler and losses, and volumes slice by slice."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from isoslice.data.grid import even_grid
from isoslice.errors import SettingsError
from isoslice.inference.slicewise import Slab, ddim_estimate, direct_estimate, run_slices
from isoslice.inference.tiling import tent, window_starts, windowed
from isoslice.models.config import DdimSettings
from isoslice.models.diffusion.ddim import cosine_alphas_cumprod, ddim_coefficients
from isoslice.models.diffusion.masked import (
    ddim,
    direct,
    direct_loss,
    hidden_row_masks,
    noise_loss,
    put_known,
    stratified_timesteps,
)

SIGNAL = torch.from_numpy(cosine_alphas_cumprod(1000)).float()


def oracle_for(images):
    """The network that knows the image: noise follows from it and the noisy image."""

    def network(x, t):
        share = SIGNAL[t][:, None, None, None]
        return (x - share.sqrt() * images) / (1 - share).sqrt()

    return network


def masks_of(height, *known):
    masks = torch.zeros(1, height, dtype=torch.bool)
    masks[:, list(known)] = True
    return masks


def test_an_oracle_samples_the_image_itself():
    torch.manual_seed(0)
    images = torch.rand(2, 1, 8, 6)
    masks = masks_of(8, 0, 4)
    noise = torch.randn(51, 2, 1, 8, 6)

    def network(x, t):  # the truth's noise, whatever the known rows are
        return oracle_for(images)(x, t)

    for eta in (0.0, 1.0):
        found = ddim(network, images, masks, ddim_coefficients(50, eta), lambda i: noise[i])
        # What is left is the last step's own noise.
        assert float((found - images).abs().max()) < 0.05
    assert torch.equal(put_known(found, images, masks)[:, :, 0], images[:, :, 0])


def test_known_rows_are_what_the_network_sees():
    known = torch.rand(1, 1, 8, 8)
    seen = []

    def network(x, t):
        seen.append(x.clone())
        return torch.zeros_like(x)

    masks = masks_of(8, 0, 3, 7)
    ddim(network, known, masks, ddim_coefficients(5, 1.0), lambda i: torch.randn(1, 1, 8, 8))
    assert len(seen) == 5
    for x in seen:
        assert torch.equal(x[:, :, masks[0]], known[:, :, masks[0]])
        assert not torch.allclose(x[:, :, ~masks[0]], known[:, :, ~masks[0]])


def test_hidden_pixels_never_leak():
    torch.manual_seed(0)
    one = torch.rand(1, 1, 8, 8)
    masks = masks_of(8, 0, 4)
    other = put_known(torch.rand_like(one), one, masks)
    noise = torch.randn(6, 1, 1, 8, 8)

    def network(x, t):
        return x.roll(1, 2) * 0.5

    a, b = (
        ddim(network, image, masks, ddim_coefficients(5, 1.0), lambda i: noise[i])
        for image in (one, other)
    )
    assert torch.equal(a, b)
    assert torch.equal(direct(network, one, masks), direct(network, other, masks))


def test_clipping_keeps_estimates_within_limits_and_leaves_good_ones_alone():
    torch.manual_seed(0)
    images, masks = torch.rand(1, 1, 8, 8), masks_of(8, 0, 4)
    noise = torch.randn(21, 1, 1, 8, 8)
    schedule = ddim_coefficients(20, 1.0)

    def sample(network, clip):
        return ddim(network, images, masks, schedule, lambda i: noise[i], clip=clip)

    def drifting(x, t):
        return x * 0.2

    wild, tame = sample(drifting, None), sample(drifting, (0.0, 1.0))
    assert float(wild.abs().max()) > 2
    assert -0.05 < float(tame.min()) <= float(tame.max()) < 1.05
    oracle = oracle_for(images)
    assert torch.allclose(sample(oracle, None), sample(oracle, (0.0, 1.0)), atol=0.02)


def test_noise_loss_wants_no_noise_on_known_rows():
    torch.manual_seed(0)
    images, noise = torch.rand(2, 2, 1, 8, 8)
    masks, t = masks_of(8, 1, 6).expand(2, -1), torch.tensor([100, 700])
    target = noise * ~masks[:, None, :, None]
    assert float(noise_loss(lambda x, t: target, images, masks, t, noise, SIGNAL)) == 0
    off = noise_loss(lambda x, t: target + 0.5, images, masks, t, noise, SIGNAL)
    assert float(off) == pytest.approx(0.5)


def test_direct_loss_counts_hidden_rows_alone():
    images = torch.rand(2, 1, 8, 8)
    masks = masks_of(8, 0, 2, 4, 6).expand(2, -1)
    assert float(direct_loss(lambda x, t: images + 0.25, images, masks)) == pytest.approx(0.25)


@given(st.integers(0, 2**31))
def test_hidden_rows_are_as_many_as_released(seed):
    masks = hidden_row_masks(5, 48, (28, 43), torch.Generator().manual_seed(seed))
    hidden = (~masks).sum(1)
    assert len(set(hidden.tolist())) == 1  # one number for the batch
    assert 28 <= int(hidden[0]) <= 43


@pytest.mark.parametrize("each", [False, True])
def test_numbers_of_hidden_rows_are_uniform(each):
    generator = torch.Generator().manual_seed(0)
    drawn = [hidden_row_masks(4, 48, (28, 43), generator, each=each) for _ in range(3200)]
    counts = torch.stack([(~masks).sum(1) for masks in drawn])
    share = np.bincount(counts[:, 0], minlength=44)[28:] / 3200
    assert np.all(np.abs(share - 1 / 16) < 0.02)
    alike = (counts == counts[:, :1]).all(1).float().mean()
    assert alike < 0.01 if each else alike == 1
    rows = torch.cat(drawn).float().mean(0)  # no row is known more often than another
    assert np.all(np.abs(rows.numpy() - (1 - 35.5 / 48)) < 0.02)


@given(st.integers(1, 40), st.integers(1, 1000), st.integers(0, 2**31))
def test_spread_time_steps_cover_the_schedule(count, steps, seed):
    generator = torch.Generator().manual_seed(seed)
    t = stratified_timesteps(count, steps, generator).sort().values
    part = steps / count
    expected = torch.arange(count) * part
    assert torch.all(t >= expected.floor())
    assert torch.all(t < expected + part)
    assert int(t[-1]) < steps


def test_every_time_step_of_a_spread_batch_is_uniform():
    generator = torch.Generator().manual_seed(0)
    t = torch.stack([stratified_timesteps(3, 1000, generator) for _ in range(4000)]).double()
    for place in range(3):  # any image may get any of them
        assert abs(float(t[:, place].mean()) - 499.5) < 15
        assert abs(float(t[:, place].std()) - 288.7) < 10


@pytest.mark.parametrize("steps", [0, 501, -1])
def test_impossible_numbers_of_steps(steps):
    with pytest.raises(SettingsError, match="DDIM steps, expected 1 to 500"):
        ddim_coefficients(steps, 1.0)


@given(st.integers(1, 500), st.floats(0, 1))
def test_any_number_of_steps_runs_through_the_schedule(steps, eta):
    found = ddim_coefficients(steps, eta)
    assert steps <= len(found) <= 1.5 * steps + 1
    assert found.timesteps[0] == 1
    assert found.timesteps[-1] < 1000
    assert np.all(np.diff(found.alphas) < 0)
    assert np.all(found.alphas_prev > found.alphas)
    # A step adds no more noise than there is room for.
    assert np.all(found.sigmas**2 <= 1 - found.alphas_prev + 1e-12)


@given(st.integers(1, 400), st.integers(8, 64))
def test_windows_cover_everything(length, window):
    starts = window_starts(length, window)
    covered = np.zeros(max(length, window), dtype=bool)
    for start in starts:
        assert 0 <= start <= max(0, length - window)
        covered[start : start + window] = True
    assert covered.all()
    assert len(starts) == -(-length // window) or len(starts) == 1


def test_blending_agrees_with_a_local_network():
    x = torch.rand(2, 1, 70, 100)
    found = windowed(lambda part, t: part * 2 + 1, 48)(x, torch.zeros(2))
    assert torch.allclose(found, x * 2 + 1, atol=1e-6)
    assert float(tent(5).min()) > 0


def restore_slices(planes, grid, estimate, directions=("XZ", "YZ"), report=lambda part: None):
    """Restore slices of each direction by themselves, and average them."""
    total = torch.zeros(len(planes), grid.depth, *planes.shape[2:])
    for number, plane in enumerate(directions):

        def part(share, number=number):
            report((number + share) / len(directions))

        run_slices(
            estimate, Slab(planes, grid, plane), total,
            share=1 / len(directions), multiple=8, device=torch.device("cpu"), report=part,
        )  # fmt: skip
    return total.numpy()


PLANES = np.random.default_rng(0).random((1, 3, 10, 12), dtype=np.float32)
GRID = even_grid(3, 4)


def test_volumes_keep_every_slice_in_its_place():
    """A network that returns what it is shown: hidden rows zero, measured ones in place."""
    for direction in (("XZ",), ("YZ",), ("XZ", "YZ")):
        volume = restore_slices(
            PLANES, GRID, lambda known, mask, plane, start, report: known, directions=direction
        )
        assert volume.shape == (1, 9, 10, 12)
        np.testing.assert_allclose(volume[:, ::4], PLANES, rtol=1e-6)
        assert not volume[:, GRID.mask ^ True].any()


def test_average_of_the_directions():
    def estimate(known, mask, plane, start, report):
        return torch.full_like(known, 1.0 if plane == "XZ" else 3.0)

    assert np.all(restore_slices(PLANES, GRID, estimate) == 2)


def test_noise_of_a_slice_does_not_depend_on_its_batch(monkeypatch):
    estimate = ddim_estimate(lambda x, t: x * 0.3, DdimSettings(), 48, 5, seed=3)
    whole = restore_slices(PLANES, GRID, estimate)
    monkeypatch.setattr("isoslice.inference.slicewise.BATCH_PIXELS", {"cpu": 1})
    np.testing.assert_allclose(restore_slices(PLANES, GRID, estimate), whole, atol=1e-5)
    other = ddim_estimate(lambda x, t: x * 0.3, DdimSettings(), 48, 5, seed=4)
    assert not np.allclose(restore_slices(PLANES, GRID, other), whole, atol=1e-2)


def test_progress_reaches_the_end():
    seen = []
    restore_slices(
        PLANES, GRID, direct_estimate(lambda x, t: x, 48), report=lambda part: seen.append(part)
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1
