"""Hidden rows of 2D images: known rows stay, hidden ones are never looked at, by any recipe."""

from __future__ import annotations

import pytest
import torch

from isoslice.data.masking import even_rows, fill_rows
from isoslice.inference.rows import restore_rows
from isoslice.models.config import EndToEndConfig, MaskedTraining, MsdsrConfig, UNetSettings
from isoslice.models.networks.factory import build_network

pytestmark = pytest.mark.usefixtures("arithmetic")
SHAPE = UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4)


def recipes(tiny_model):
    torch.manual_seed(0)
    yield tiny_model.network, tiny_model.config
    for kind in (MsdsrConfig, EndToEndConfig):
        config = kind(network=SHAPE, training=MaskedTraining())
        network = build_network(config).eval()
        for parameter in network.parameters():
            torch.nn.init.normal_(parameter, std=0.1)
        yield network, config


@pytest.fixture
def images():
    return torch.rand(3, 1, 32, 24, generator=torch.Generator().manual_seed(0))


def test_known_rows_stay_and_hidden_ones_are_not_seen(tiny_model, images):
    masks = torch.stack([even_rows(32, factor) for factor in (2, 4, 8)])
    scrambled = torch.where(masks[:, None, :, None], images, torch.rand_like(images))
    for network, config in recipes(tiny_model):
        found = restore_rows(network, config, images, masks, steps=5)
        assert torch.equal(found, restore_rows(network, config, scrambled, masks, steps=5)), (
            config.recipe
        )
        known = masks[:, None, :, None].expand_as(images)
        assert torch.equal(found[known], images[known])
        assert not torch.allclose(found[~known], images[~known])


def test_seeds_matter_where_something_is_drawn(tiny_model, images):
    masks = even_rows(32, 4).expand(3, -1)
    for network, config in recipes(tiny_model):
        first, same, other = (
            restore_rows(network, config, images, masks, steps=5, seed=seed) for seed in (0, 0, 1)
        )
        assert torch.equal(first, same)
        assert torch.equal(first, other) == (config.recipe == "end-to-end")


def test_the_mean_draws_nothing_and_starts_from_linear(tiny_model, images):
    masks = even_rows(32, 4).expand(3, -1)
    means = [
        restore_rows(tiny_model.network, tiny_model.config, images, masks, mode="mean", seed=seed)
        for seed in (0, 1)
    ]
    assert torch.equal(*means)
    base = fill_rows(images, masks)
    sample = restore_rows(tiny_model.network, tiny_model.config, images, masks, steps=8)
    assert (means[0] - base).abs().mean() < (sample - base).abs().mean()
