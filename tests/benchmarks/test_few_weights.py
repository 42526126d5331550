"""Adapting a few weights: only those that are chosen change."""

from __future__ import annotations

import pytest

pytest.importorskip("torch")

import numpy as np
import torch

from isoslice.models.config import ModelConfig, NetworkSettings
from isoslice.models.networks.factory import build_network
from pretrain.few_weights import CHOICES, few

CONFIG = ModelConfig(
    network=NetworkSettings(widths=(8, 8), blocks_down=(1, 1), blocks_up=(1, 0), measured=True),
    sigma_data=0.1,
)


@pytest.mark.parametrize("name", CHOICES)
def test_only_chosen_weights_learn(name: str):
    network = build_network(CONFIG, 0)
    objective = few(CHOICES[name])(CONFIG)
    optimizer = objective.optimizer(network)
    before = {key: weight.detach().clone() for key, weight in network.named_parameters()}
    images = torch.from_numpy(np.random.default_rng(0).random((4, 1, 32, 32), np.float32))
    objective.loss(network, images, torch.Generator().manual_seed(0)).backward()
    optimizer.step()
    changed = {k for k, w in network.named_parameters() if not torch.equal(w, before[k])}
    chosen = {key for key in before if CHOICES[name](key)}
    assert changed
    assert changed <= chosen
    assert (len(chosen) == len(before)) == (name == "all")
