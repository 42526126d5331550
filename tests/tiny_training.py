"""Trainings of seconds: of isoslice's own recipe (`fast`), and of the paper's (`quickly`)."""

from __future__ import annotations

import numpy as np
import torch

from conftest import texture
from isoslice.data.volume import Volume
from isoslice.models.config import MaskedTraining, NetworkSettings, TrainingSettings, UNetSettings
from isoslice.training.train import train

NETWORK = NetworkSettings(widths=(16, 24), blocks_down=(1, 1), blocks_up=(1, 0))
SETTINGS = TrainingSettings(batch=4, crop=32, warmup_steps=2)


def stripes(planes=12, side=48, seed=0):
    """Planes of diagonal waves: hidden rows follow from known ones, but not linearly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    waves = [
        np.sin((x + sign * y) / 3 + phase)
        for sign, phase in zip(rng.choice([-1, 1], planes), rng.uniform(0, 6, planes), strict=True)
    ]
    return (np.stack(waves) * 100 + 128).astype(np.uint8)


def fast(images=None, **options):
    options = {"network": NETWORK, "settings": SETTINGS, "seed": 0, "device": "cpu", **options}
    return train(stripes() if images is None else images, axes="ZYX", **options)


def weights(model):
    return torch.cat([p.flatten() for p in model.network.parameters()])


SHAPE = UNetSettings(width=8, multipliers=(1, 2), blocks=1, attention=(2,), groups=4)
MASKED = MaskedTraining(batch=4, crop=32, hidden_rows=(18, 28), learning_rate=1e-3)


def quickly(preset, images=None, **options):
    options = {"network": SHAPE, "settings": MASKED, "seed": 0, "device": "cpu", **options}
    images = texture(8, 48, 48) if images is None else images
    return train(
        images, axes=None if isinstance(images, Volume) else "ZYX", preset=preset, **options
    )
