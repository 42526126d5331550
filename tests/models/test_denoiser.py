"""The denoiser: shapes, locality, magnitudes."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from isoslice.models.config import NetworkSettings
from isoslice.models.networks.denoiser import Denoiser, MPConv, mp_silu, mp_sum_weights

TINY = ((8, 12, 16), (1, 1, 1), (1, 1, 0))


def tiny(channels=1, seed=0):
    torch.manual_seed(seed)
    network = Denoiser(channels, *TINY)
    network.renormalize()
    with torch.no_grad():
        network.leave_gain.fill_(1.0)
    return network


@pytest.mark.parametrize("shape", [(16, 16), (57, 31), (5, 3), (1, 1), (9, 200)])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_height_and_width(shape, channels):
    out = tiny(channels).eval()(torch.randn(2, 2 * channels + 1, *shape), torch.zeros(2))
    assert out.shape == (2, channels, *shape)
    assert torch.isfinite(out).all()


def test_the_default_is_small():
    """A good million weights, 53 thousand operations a pixel: what speed rests on."""
    shape = NetworkSettings()
    network = Denoiser(1, shape.widths, shape.blocks_down, shape.blocks_up)
    assert 1e6 < sum(p.numel() for p in network.parameters()) < 1.5e6
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, 3, 64, 64), torch.zeros(1))
    assert counter.get_total_flops() / 64**2 < 54_000


def test_outside_training_nothing_changes_once_weights_are_normalised():
    network = tiny()
    x, c = torch.randn(2, 3, 16, 16), torch.tensor([0.3, -0.4])
    torch.testing.assert_close(network.train()(x, c), network.eval()(x, c), atol=1e-4, rtol=1e-4)


def test_one_level_for_all_equals_one_level_each():
    network = tiny().eval()
    for block in (m for m in network.modules() if hasattr(m, "level")):
        torch.nn.init.constant_(block.level_gain, 0.3)
    x = torch.randn(3, 3, 16, 16)
    one, each = network(x, torch.tensor([0.3])), network(x, torch.full((3,), 0.3))
    torch.testing.assert_close(one, each, atol=1e-4, rtol=1e-4)


def test_images_in_a_batch_do_not_see_each_other():
    network = tiny().eval()
    x = torch.randn(2, 3, 16, 16)
    other = torch.cat([x[:1], 50 * x[1:]])
    level = torch.zeros(1)
    torch.testing.assert_close(network(x, level)[0], network(other, level)[0])


def test_influence_ends_at_a_finite_distance():
    """No layer looks at the whole image: far away, a change leaves no trace at all."""
    network = tiny().eval()
    x = torch.randn(1, 3, 16, 512)
    changed = x.clone()
    changed[..., :8] += 10
    change = (network(x, torch.zeros(1)) - network(changed, torch.zeros(1))).abs().amax((0, 1, 2))
    assert change[:8].max() > 1e-3
    assert change[200:].max() == 0


def test_layers_keep_the_magnitude_of_unit_normal_input():
    torch.manual_seed(0)
    x = torch.randn(8, 32, 24, 24)
    inner = MPConv(32, 48, 3)(x)[..., 1:-1, 1:-1]
    assert abs(float(inner.detach().std()) - 1) < 0.05
    assert abs(float(mp_silu(x).square().mean().sqrt()) - 1) < 0.05
    old, new = mp_sum_weights(0.3)
    assert new / old == pytest.approx(3 / 7)
    assert abs(float((old * x + new * torch.randn_like(x)).std()) - 1) < 0.05


@pytest.mark.parametrize("training", [True, False])
def test_levels_and_blocks_keep_magnitudes_too(training):
    """Right after initialisation each level's output has about unit variance."""
    network = tiny().train(training)
    seen = []
    for blocks in [*network.down, *network.up]:
        blocks.register_forward_hook(lambda _, __, out: seen.append(float(out.detach().std())))
    network(torch.randn(4, 3, 64, 64), torch.zeros(1))
    assert len(seen) == 6
    assert all(0.7 < deviation < 1.3 for deviation in seen)


def test_weights_of_each_output_are_normalised_to_unit_rms():
    network = tiny()
    for weight in network.normalized_weights():
        weight.data *= 1 + torch.arange(len(weight)).view(-1, *[1] * (weight.ndim - 1))
    network.renormalize()
    for weight in network.normalized_weights():
        rms = weight.flatten(1).square().mean(dim=1).sqrt()
        torch.testing.assert_close(rms, torch.ones(len(weight)), atol=1e-5, rtol=0)


def test_gradients_are_those_of_weights_that_are_normalised_at_every_evaluation():
    network, x, level = tiny(), torch.randn(2, 3, 16, 16), torch.zeros(1)
    network(x, level).square().mean().backward()
    network.project_gradients()
    found = [weight.grad.clone() for weight in network.normalized_weights()]

    def loss(*weights):
        rms = [w.flatten(1).square().mean(dim=1).sqrt() for w in weights]
        each = [w / r.view(-1, *[1] * (w.ndim - 1)) for w, r in zip(weights, rms, strict=True)]
        names = [name for name, w in network.named_parameters() if any(w is n for n in stored)]
        given = dict(zip(names, each, strict=True))
        return torch.func.functional_call(network, given, (x, level)).square().mean()

    stored = network.normalized_weights()
    expected = torch.autograd.grad(loss(*stored), stored)
    for ours, theirs, weight in zip(found, expected, stored, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=1e-3)
        assert float((ours * weight.detach()).flatten(1).sum(dim=1).abs().max()) < 1e-5


@pytest.mark.parametrize("levels", [1, 2])
def test_bfloat16_gives_nearly_the_same(levels):
    network = tiny()
    x, c_noise = torch.randn(2, 3, 17, 15), torch.linspace(-0.5, 0.5, levels)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = network.train()(x, c_noise)
        out.float().square().mean().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in network.parameters())
    exact, out = network(x, c_noise).detach(), out.detach()
    assert float((out.float() - exact).std() / exact.std()) < 0.05
