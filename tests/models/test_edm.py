"""Preconditioning, loss and schedule against the equations they implement."""

import math
from itertools import pairwise

import pytest
import torch

from isoslice.data.masking import even_rows, fill_rows
from isoslice.models.diffusion.edm import (
    NO_SIGNAL,
    SQRT_OFFSET,
    denoise,
    draw_sigma,
    network_input,
    noise_schedule,
    precondition,
    weighted_loss,
)

SIGMA_DATA = 0.1


def case(count=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(count, 2, 9, 6, generator=generator)
    masks = even_rows(9, 4).expand(count, -1)
    noise = torch.randn(images.shape, generator=generator)
    return images, fill_rows(images, masks), masks, noise


def test_preconditioning_satisfies_its_derivation():
    """EDM appendix B.6: unit-variance input and target, for independent data and noise."""
    sigma = torch.tensor([1e-3, 0.03, 0.1, 2.0, 50.0], dtype=torch.float64)
    scale = precondition(sigma, SIGMA_DATA)
    torch.testing.assert_close(scale.c_in**2 * (SIGMA_DATA**2 + sigma**2), torch.ones_like(sigma))
    target = (1 - scale.c_skip) ** 2 * SIGMA_DATA**2 + (scale.c_skip * sigma) ** 2
    torch.testing.assert_close(target, scale.c_out**2)


def test_no_signal_is_the_limit_of_strong_noise():
    limit = precondition(torch.tensor([NO_SIGNAL]), SIGMA_DATA)
    strong = precondition(torch.tensor([1e6]), SIGMA_DATA)
    for name in ("c_skip", "c_out", "c_in"):
        torch.testing.assert_close(getattr(limit, name), getattr(strong, name), atol=1e-5, rtol=0)
    assert torch.isfinite(limit.c_noise).all()


def test_denoise_is_zero_on_known_rows_whatever_the_network_says():
    _, base, masks, noise = case()
    out = denoise(lambda x, c: noise * 100, noise, base, masks, torch.tensor([0.2]), SIGMA_DATA)
    assert out[:, :, masks[0]].abs().max() == 0
    assert out[:, :, ~masks[0]].abs().min() > 0


def test_no_signal_ignores_the_noisy_residual():
    _, base, masks, noise = case()
    seen = []

    def network(x, c):
        seen.append(x)
        return x[:, :2]

    level = torch.tensor([NO_SIGNAL])
    a = denoise(network, noise, base, masks, level, SIGMA_DATA)
    b = denoise(network, noise * 3, base, masks, level, SIGMA_DATA)
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(a, b)


def test_network_sees_residual_base_and_mask():
    _, base, masks, noise = case()
    x = network_input(noise, base, masks)
    assert x.shape == (3, 5, 9, 6)
    torch.testing.assert_close(x[:, 2:4] / 2 + 0.5, base)
    assert torch.equal(x[:, 4, :, 0].bool(), masks)


def test_loss_is_the_rms_of_hidden_voxels_in_units_of_c_out():
    """With no signal c_out is sigma_data; errors on known rows don't count."""
    images, base, masks, _ = case()
    error = images - base + 0.1 * masks[:, None, :, None]
    hidden = error[:, :, ~masks[0]]
    for sigma in (torch.full((3,), NO_SIGNAL), torch.tensor([0.02, 0.1, 3.0])):
        c_out = precondition(sigma, SIGMA_DATA).c_out
        rms = hidden.square().mean(dim=(1, 2, 3)).sqrt() / c_out
        expected = (rms.square() + SQRT_OFFSET).sqrt().mean()
        found = weighted_loss(error, ~masks[:, None, :, None], c_out)
        torch.testing.assert_close(found, expected)


def test_images_with_large_errors_have_no_larger_gradients():
    """But for images that are nearly right: the loss is flat at zero, and finite there."""
    images, base, masks, _ = case()
    error = ((images - base) * torch.tensor([1.0, 20.0, 0.0])[:, None, None, None]).requires_grad_()
    weighted_loss(error, ~masks[:, None, :, None], torch.full((3,), SIGMA_DATA)).backward()
    first, second, none = (float(gradient.norm()) for gradient in error.grad)
    assert second == pytest.approx(first, rel=0.01)
    assert none == 0


def test_training_noise_is_log_normal_around_sigma_data():
    sigma = draw_sigma(20000, 0.5, 1.2, 0.15, torch.Generator().manual_seed(0))
    infinite = torch.isinf(sigma)
    assert abs(float(infinite.float().mean()) - 0.15) < 0.01
    logs = sigma[~infinite].log()
    assert abs(float(logs.mean()) - 0.5) < 0.03
    assert abs(float(logs.std()) - 1.2) < 0.03


def test_schedule_falls_from_sigma_max_to_zero():
    levels = noise_schedule(6, 0.6, 0.02, 5.0)
    assert len(levels) == 7
    assert levels[0] == pytest.approx(0.6)
    assert levels[-2] == pytest.approx(0.02)
    assert levels[-1] == 0
    assert all(a > b for a, b in pairwise(levels))
    middle = (0.6**0.2 + 2 / 5 * (0.02**0.2 - 0.6**0.2)) ** 5
    assert levels[2] == pytest.approx(middle)
    assert noise_schedule(1, 0.6, 0.02, 5.0) == [0.6, 0.0]
    assert math.isfinite(sum(levels))
