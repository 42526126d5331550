"""How many operators a step of training starts, each of which takes a GPU time to launch."""

from __future__ import annotations

import pytest
import torch

from conftest import texture
from isoslice.models.networks.factory import build_network
from isoslice.models.presets import preset_config
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.objectives import objective_of
from isoslice.training.run import as_volumes, training_planes
from isoslice.training.steps import Training
from operator_count import OperatorCount

#: Of a step of the default recipe, views included; whatever the batch.
MOST = 706


@pytest.mark.usefixtures("arithmetic")
def test_a_step_starts_few_operators():
    config = preset_config("isoslice")
    config = config.updated(training=config.training.updated(batch=4))
    _, stacks = training_planes(as_volumes(texture(4, 80, 80), "ZYX"), None, False)
    objective = objective_of(config, stacks)
    network = build_network(objective.config)
    training = Training(network, stacks, objective, torch.device("cpu"), ProcessTopology())

    def step() -> None:
        training.accumulate(0)
        training.update(0.5)

    step()  # the first makes the optimiser's memory, too
    with OperatorCount() as count:
        step()
    assert 0.9 * MOST < count.total <= MOST
