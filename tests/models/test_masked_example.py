"""Masked training examples: what is known stays, what is hidden is not looked at."""

from __future__ import annotations

import pytest
import torch

from isoslice.data.masking import draw_masks
from isoslice.models.config import ModelConfig, NetworkSettings, TrainingSettings
from isoslice.models.diffusion.masked_example import draw_example, draw_masked, mask_images
from isoslice.models.diffusion.variance_stabilization import stretch


@pytest.mark.parametrize("softening", [None, 0.08])
def test_the_base_holds_known_rows_and_knows_nothing_of_hidden_ones(softening):
    settings = TrainingSettings(factors=(4,))
    images = torch.rand(5, 2, 32, 7)
    made = draw_masked(images, settings, softening, torch.Generator().manual_seed(1))
    drawn = draw_masks(5, 32, (4,), settings.even_share, torch.Generator().manual_seed(1))
    assert torch.equal(made.masks, drawn)
    assert torch.equal(made.stretched, stretch(images, softening))
    known = ~made.hidden.expand_as(images)
    assert torch.equal(made.residual[known], torch.zeros_like(images)[known])
    other = images.masked_fill(made.hidden, torch.nan)
    assert torch.equal(mask_images(other, made.masks, softening).base, made.base)


def test_a_network_that_is_told_sees_points_and_planes_that_are_none():
    network = NetworkSettings(measured=True)
    training = TrainingSettings(measured_share=0.5)
    config = ModelConfig(network=network, training=training, sigma_data=0.1)
    images = torch.rand(6, 1, 48, 20)
    made = draw_example(images, config, torch.Generator().manual_seed(1))
    assert torch.equal(made.stretched, images)
    points, others = made.measured[:3], made.measured[3:]
    assert not points.any()
    assert torch.equal(made.hidden[:3, 0, :, 0], made.masks[:3] != 1)
    assert torch.equal(made.hidden[3:].all(dim=2).flatten(), others.any(dim=1))
    untold = config.updated(network=NetworkSettings())
    made = draw_example(images, untold, torch.Generator().manual_seed(1))
    assert made.measured is None
    assert made.masks.dtype == torch.bool
