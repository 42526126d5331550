"""Shapes of networks that nothing was drawn for are those of networks that are there."""

from __future__ import annotations

import pytest

from isoslice.models.config import AnyConfig, ModelConfig, MsdsrConfig, UNetSettings
from isoslice.models.files.folder import head_shapes, network_shapes
from isoslice.models.networks.error_head import build_head
from isoslice.models.networks.factory import build_network

SMALL_UNET = UNetSettings(width=32, groups=4)


@pytest.mark.parametrize(
    "config",
    [ModelConfig(sigma_data=0.1), MsdsrConfig(network=SMALL_UNET)],
    ids=["isoslice", "msdsr"],
)
def test_shapes_without_numbers_are_those_of_a_network_with_them(config: AnyConfig) -> None:
    weights = build_network(config).state_dict()
    there = {name: (tuple(each.shape), each.dtype) for name, each in weights.items()}
    assert network_shapes(config) == there


def test_so_are_those_of_the_error_head() -> None:
    weights = build_head(ModelConfig(sigma_data=0.1)).state_dict()
    there = {name: (tuple(each.shape), each.dtype) for name, each in weights.items()}
    assert head_shapes(ModelConfig(sigma_data=0.1)) == there
