"""Weights at hand for many batches: the same bits, by fewer operators."""

from __future__ import annotations

import pytest
import torch

from isoslice.models.networks.denoiser import Denoiser
from isoslice.models.networks.ready_weights import ready_weights
from operator_count import OperatorCount


@pytest.fixture
def network():
    torch.manual_seed(0)
    made = Denoiser(1, (8, 12), (1, 1), (1, 1)).eval()
    torch.nn.init.constant_(made.leave_gain, 0.5)
    return made


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_same_bits_by_fewer_operators(network, dtype):
    images, levels = torch.randn(2, 3, 21, 30), torch.tensor([0.3])

    def output():
        with (
            OperatorCount() as count,
            torch.inference_mode(),
            torch.autocast("cpu", dtype, enabled=dtype is torch.bfloat16),
        ):
            return network(images, levels), count.total

    expected, before = output()
    with ready_weights(torch.nn.Sequential(network), dtype):
        found, fewer = output()
    assert torch.equal(found, expected)
    assert before - fewer == 7  # products: of four blocks' second layers, and three between them
    assert output()[1] == before
    assert not network.ready


def test_other_precisions_have_weights_of_their_own(network):
    images, levels = torch.randn(1, 3, 8, 8), torch.tensor([0.3])
    with torch.inference_mode():
        expected = network(images, levels)
        with ready_weights(network, torch.bfloat16):
            assert torch.equal(network(images, levels), expected)


def test_other_networks_are_left_alone():
    with ready_weights(lambda x, levels: x, torch.float32):
        pass


def test_nothing_is_left_when_it_ends_badly(network):
    with pytest.raises(KeyError), ready_weights(network, torch.float32):
        raise KeyError
    assert not network.ready


def test_weights_that_changed_are_scaled_again(network):
    images, levels = torch.randn(1, 3, 8, 8), torch.tensor([0.3])
    with ready_weights(network, torch.float32), torch.inference_mode():
        before = network(images, levels)
    with torch.no_grad():
        network.enter.weight.mul_(2)
    with ready_weights(network, torch.float32), torch.inference_mode():
        assert not torch.equal(network(images, levels), before)
