"""An untrained network of a few weights, and a head with random ones."""

from __future__ import annotations

import torch

from isoslice.models.config import ModelConfig, NetworkSettings, TrainingSettings
from isoslice.models.networks.error_head import build_head
from isoslice.models.networks.factory import build_network

TINY = ModelConfig(
    network=NetworkSettings(widths=(8, 12), blocks_down=(1, 1), blocks_up=(1, 0)),
    training=TrainingSettings(crop=32, batch=4),
    sigma_data=0.1,
)
CPU = torch.device("cpu")


def network(config=TINY, gain=0.5):
    torch.manual_seed(0)
    made = build_network(config).eval()
    made.renormalize()
    with torch.no_grad():
        made.leave_gain.fill_(gain)
    return made


def let_hear(network):
    """Let what is told have an effect, which training begins without."""
    gains = "leave_gain", "measured_gain", "level_gain"
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith(gains):
                parameter.fill_(0.5)


def random_head(config=TINY):
    head = build_head(config)
    for parameter in head.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return head.eval()
