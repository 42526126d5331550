"""The paper's U-Net: its size, its shapes, and that every part of it matters."""

from __future__ import annotations

import pytest
import torch

from isoslice.models.config import MsdsrConfig, UNetSettings
from isoslice.models.networks.factory import build_network
from isoslice.models.networks.unet import Attention, UNet, time_embedding


def small(channels=1, width=8, **options):
    torch.manual_seed(0)
    options = {
        "multipliers": (1, 2),
        "blocks": 1,
        "attention": (2,),
        "head_channels": 8,
        "groups": 4,
        **options,
    }
    return UNet(channels, width, **options).eval()


def awake(network):
    """Blocks start as nothing; give every weight something to say."""
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return network


def test_released_network_has_the_published_size():
    with torch.device("meta"):
        network = build_network(MsdsrConfig(network=UNetSettings(channels=3)))
    assert sum(p.numel() for p in network.parameters()) == 274_056_163  # paper: 274.06 M


def test_untrained_output_is_zero():
    x = torch.randn(2, 3, 16, 16)
    assert torch.equal(small(3)(x, torch.tensor([1, 2])), torch.zeros_like(x))


@torch.inference_mode()
def test_time_step_and_every_pixel_reach_the_output():
    network = awake(small())
    x = torch.randn(1, 1, 16, 16)
    first = network(x, torch.tensor([5]))
    assert not torch.allclose(first, network(x, torch.tensor([500])), atol=1e-3)
    far = x.clone()
    far[0, 0, 0, 0] += 5
    assert not torch.allclose(network(far, torch.tensor([5]))[..., 15, 15], first[..., 15, 15])


@torch.inference_mode()
def test_images_of_a_batch_do_not_mix():
    network = awake(small())
    x, t = torch.randn(3, 1, 16, 24), torch.tensor([1, 10, 100])
    together = network(x, t)
    alone = torch.cat([network(x[i : i + 1], t[i : i + 1]) for i in range(3)])
    assert torch.allclose(together, alone, atol=1e-4)


@torch.inference_mode()
def test_attention_is_softmax_attention():
    torch.manual_seed(0)
    layer = awake(Attention(16, 8, 4)).eval()
    x = torch.randn(2, 16, 3, 5)
    flat = x.reshape(2, 16, 15)
    qkv = layer.qkv(layer.norm(flat))
    heads = []
    for head in range(2):
        q, k, v = qkv[:, 24 * head : 24 * (head + 1)].split(8, dim=1)
        weights = torch.softmax(torch.einsum("nct,ncs->nts", q, k) / 8**0.5, dim=-1)
        heads.append(torch.einsum("nts,ncs->nct", weights, v))
    expected = flat + layer.proj_out(torch.cat(heads, dim=1))
    assert torch.allclose(layer(x, torch.zeros(2, 1)), expected.reshape(x.shape), atol=1e-5)


def test_time_embedding():
    found = time_embedding(torch.tensor([0, 3]), 8)
    assert torch.allclose(found[0], torch.tensor([1.0, 1, 1, 1, 0, 0, 0, 0]))
    frequencies = 10_000 ** (-torch.arange(4) / 4)
    assert torch.allclose(found[1, 4:], (3 * frequencies).sin())


@pytest.mark.parametrize("width", [8, 16, 40])
def test_any_multiple_of_eight_is_a_width(width):
    network = small(width=width, multipliers=(1, 2, 3), attention=(2, 4), head_channels=32)
    assert network(torch.zeros(1, 1, 8, 8), torch.zeros(1)).shape == (1, 1, 8, 8)
