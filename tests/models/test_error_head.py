"""The head that predicts errors, and how it learns."""

import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F  # noqa: N812

from conftest import texture
from isoslice.data.masking import even_rows, fill_rows
from isoslice.data.normalization import Normalization
from isoslice.data.planes import PlaneStack
from isoslice.inference.rows import restore_rows
from isoslice.models.diffusion.units import Units
from isoslice.models.networks.denoiser import HEAD_REACH, Denoiser, reach
from isoslice.models.networks.error_head import (
    SpreadHead,
    SpreadNetwork,
    build_head,
    mean_and_spread,
    with_head,
)
from isoslice.runtime.progress import Progress
from isoslice.training.error_head import MAX_STEPS, fit_spread, head_steps, spread_loss
from tiny_head import CPU, TINY, network, random_head


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 12), (9, 31)])
def test_the_output_is_made_of_the_features(height, width):
    made = network()
    x, level = torch.randn(2, 3, height, width), torch.zeros(1)
    with torch.inference_mode():
        features = made.features(x, level)
        scaled = made.leave.scaled(made.leave_gain)
        by_hand = F.pixel_shuffle(made.leave(features, scaled), 2)[..., :height, :width]
        assert torch.equal(made(x, level), by_hand)
        spread = with_head(made, build_head(TINY))(x, level)
    assert features.shape == (2, 8, math.ceil(height / 2), math.ceil(width / 2))
    # A head that has not learned predicts the residual's deviation everywhere.
    assert torch.equal(spread, torch.ones(2, 1, height, width))


def test_the_head_sees_as_far_as_windows_leave_room():
    shape = ((8, 12), (1, 1), (1, 0))
    made = SpreadNetwork(network().double(), random_head().double())
    far = reach(*shape) + HEAD_REACH
    side, at = 4 * far + 64, 2 * far + 32
    x = torch.randn(1, 3, side, 8, dtype=torch.float64) * 0.1
    level, farthest = torch.zeros(1, dtype=torch.float64), 0
    with torch.inference_mode():
        before = made(x, level)
        for offset in range(4):
            y = x.clone()
            y[:, :, at + offset] += 100
            places = torch.nonzero((made(y, level) - before).abs().amax((0, 1, 3)))[:, 0]
            farthest = max(farthest, int((places - at - offset).abs().max()))
    assert 0.8 * far <= farthest <= far


def test_the_loss_is_least_at_the_expected_absolute_error():
    error = torch.tensor(np.random.default_rng(0).normal(size=(1, 1, 64, 64)))
    hidden = ~even_rows(64, 4)[None, None, :, None]
    expected = error[hidden.expand_as(error)].abs().mean().log()

    def loss(offset):
        return spread_loss(torch.full_like(error, float(expected) + offset), error, hidden)

    assert loss(0.0) == pytest.approx(float(1 + expected), abs=1e-12)  # E|e| / b = 1
    assert loss(0.0) < min(loss(-0.01), loss(0.01))


def test_known_rows_do_not_count():
    error, log_spread = torch.rand(1, 1, 8, 8), torch.zeros(1, 1, 8, 8)
    masks = even_rows(8, 2)[None]
    other = error.clone()
    other[:, :, masks[0]] += 5
    hidden = ~masks[:, None, :, None]
    assert spread_loss(log_spread, error, hidden) == spread_loss(log_spread, other, hidden)


def noisy_halves(count=8, side=48, seed=0):
    """Smooth images whose right half is ten times as noisy as the left one."""
    smooth = texture(count, side, side, seed=seed).astype(np.float32) / 200
    amount = np.where(np.arange(side) < side // 2, 0.01, 0.1)
    noise = np.random.default_rng(seed).normal(size=smooth.shape) * amount
    return (0.2 * smooth + noise).astype(np.float32)[:, None]


def test_it_learns_where_errors_are_large():
    # This network has learned nothing: its mean is the interpolation, whose errors are known.
    made = network(gain=0.0)
    images = noisy_halves()
    stack = PlaneStack(images, Normalization((0.0,), (1.0,)))
    head = fit_spread(made, TINY, [stack], 150, CPU, Progress())
    shown = torch.from_numpy(noisy_halves(seed=1))
    masks = even_rows(48, 4).expand(len(shown), -1)
    _, spread = mean_and_spread(with_head(made, head), TINY, shown, masks)
    error = (fill_rows(shown, masks) - shown).abs()
    hidden = (~masks[0]).nonzero()[:-3, 0]  # between known rows
    for columns in (slice(0, 20), slice(28, 48)):
        real = float(error[:, :, hidden, columns].mean())
        predicted = float(spread[:, :, hidden, columns].mean())
        assert predicted == pytest.approx(real, rel=0.35)
    assert (spread[:, :, masks[0]] == 0).all()


def test_learning_the_head_leaves_the_network_and_the_global_generator_alone():
    made = network()
    before = {name: t.clone() for name, t in made.state_dict().items()}
    torch.manual_seed(7)
    stack = PlaneStack(noisy_halves(), Normalization((0.0,), (1.0,)))
    heads = [fit_spread(made, TINY, [stack], 3, CPU, Progress()) for _ in range(2)]
    assert torch.initial_seed() == 7
    assert all(torch.equal(t, before[name]) for name, t in made.state_dict().items())
    for name, tensor in heads[0].state_dict().items():  # same seed, same head
        assert torch.equal(tensor, heads[1].state_dict()[name])


@pytest.mark.parametrize("softening", [None, 0.16])
def test_the_mean_beside_the_spread_is_that_of_restored_rows(softening):
    config = TINY.model_copy(update={"softening": softening})
    joined = with_head(network(config), build_head(config))
    assert isinstance(joined.denoiser, Denoiser)
    images = torch.from_numpy(noisy_halves(2)).clamp(min=0)
    masks = even_rows(48, 3).expand(2, -1)
    mean, spread = mean_and_spread(joined, config, images, masks)
    expected = restore_rows(joined.denoiser, config, images, masks, mode="mean")
    torch.testing.assert_close(mean, expected)
    assert torch.equal(mean[:, :, masks[0]], images[:, :, masks[0]])
    assert (spread[:, :, ~masks[0]] > 0).all()


def test_spreads_follow_intensities_where_those_are_stretched():
    # Of small errors: the predicted one times the slope of the intensities.
    config = TINY.model_copy(update={"softening": 0.16})
    joined = with_head(network(config, gain=0.0), build_head(config))
    levels = torch.tensor([0.0, 0.5, 1.0])
    images = levels[:, None, None, None].expand(3, 1, 9, 9)
    _, spread = mean_and_spread(joined, config, images, even_rows(9, 4).expand(3, -1))
    slope = (levels**2 + 0.16**2).sqrt() * math.asinh(1 / 0.16)  # d x / d asinh(x / c)
    torch.testing.assert_close(spread[:, 0, 1, 4], 0.1 * slope, rtol=0.01, atol=0)


def test_images_of_other_deviations_are_each_seen_by_their_own():
    made, head = network(), random_head()
    features = made.features(torch.randn(2, 3, 16, 16), torch.zeros(1)).detach()
    inputs = torch.rand(2, 3, 16, 16)
    head.sigma_data = torch.tensor([0.02, 0.3])
    together = head(features, inputs)
    for index, scale in enumerate((0.02, 0.3)):
        head.sigma_data = scale
        alone = head(features[index : index + 1], inputs[index : index + 1])
        torch.testing.assert_close(together[index : index + 1], alone, rtol=1e-3, atol=1e-3)
    assert (together[0] != together[1]).any()


def test_a_head_of_many_specimens_learns_in_the_units_of_each():
    stack = PlaneStack(noisy_halves(), Normalization((0.0,), (1.0,)))
    seen = []

    def units_of(stacks):
        seen.extend(stacks.tolist())
        return Units(None, torch.where(torch.from_numpy(stacks) == 0, 0.05, 0.4))

    head = fit_spread(network(), TINY, [stack, stack], 2, CPU, Progress(), units_of=units_of)
    assert set(seen) == {0, 1}
    assert head.sigma_data == TINY.sigma_data


def test_a_head_gets_a_share_of_the_steps():
    assert [head_steps(n) for n in (1, 10, 1000, 10**6)] == [1, 4, 400, MAX_STEPS]


def test_extreme_weights_do_not_overflow():
    head = SpreadHead(1, 8, 0.1)
    with torch.no_grad():
        head.leave.bias.fill_(1e9)
    joined = SpreadNetwork(network(), head)
    with torch.inference_mode():
        assert torch.isfinite(joined(torch.zeros(1, 3, 8, 8), torch.zeros(1))).all()
