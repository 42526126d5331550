"""A step of training: gradients of micro-batches and processes, and the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from isoslice.data.planes import PlaneStack, draw_crops
from isoslice.runtime.device import autocast
from isoslice.training.distributed.topology import ProcessTopology
from isoslice.training.objectives import Objective, micro_batches_per_step


class Training:
    """A network being trained, its optimiser, and the average of its weights.

    Several processes have to be connected (`sync.join`); all take the same steps.

    Parameters
    ----------
    network
        Moved to `device`, and trained in place; the first process's weights count.
    stacks, objective
        Data and recipe.
    device
        Where to compute.
    topology
        This process among several.
    """

    def __init__(
        self,
        network: nn.Module,
        stacks: Sequence[PlaneStack],
        objective: Objective,
        device: torch.device,
        topology: ProcessTopology,
    ) -> None:
        self.network = network.to(device).train()
        self.stacks, self.objective = stacks, objective
        self.device, self.topology = device, topology
        self.micro_batches = micro_batches_per_step(objective, topology.count)
        self.step = 0
        self.running_loss: Tensor | None = None
        self._loss, self._joint_loss = _Loss(network, objective), None
        if topology.count > 1:
            # Buffers are constant.
            self._joint_loss = DistributedDataParallel(self._loss, broadcast_buffers=False)
        self.averaged = copy.deepcopy(network).requires_grad_(False)
        self.optimizer = objective.optimizer(network)

    def accumulate(self, index: int) -> None:
        """Add the gradient of micro-batch `index` of a step; the last one's, of all processes."""
        last = index == self.micro_batches - 1
        if index == 0:
            self.optimizer.zero_grad()
        images, generator = self._draw(index)
        joint = self._joint_loss
        with nullcontext() if joint is None or last else joint.no_sync():
            with autocast(self.device):
                loss = (joint or self._loss)(images.to(self.device), generator)
            (loss / self.micro_batches).backward()
        latest = loss.detach()
        before = self.running_loss  # from a checkpoint: on the CPU
        self.running_loss = latest if before is None else before.to(latest).lerp(latest, 0.02)

    def _draw(self, index: int) -> tuple[Tensor, torch.Generator]:
        """Draw crops (N, C, H, W), and a generator for the rest: by (seed, step, rank) alone."""
        objective, settings = self.objective, self.objective.training
        micro_batch = self.step * self.micro_batches + index
        generator = torch.Generator().manual_seed(
            (settings.seed * 1_000_003 + micro_batch) * 1_009 + self.topology.rank + 1
        )
        images = draw_crops(
            self.stacks,
            objective.micro_batch,
            settings.crop,
            generator,
            quarter_turns=objective.quarter_turns,
            row_spacing=settings.row_spacing,
        )
        return images, generator

    def update(self, done: float) -> None:
        """Step along the accumulated gradient, with the fraction `done` of the budget used."""
        rate, decay = self.objective.rate(self.step, done), self.objective.decay(self.step)
        groups = self.optimizer.param_groups
        for group in groups:
            group["lr"] = rate * group["scale"]
        weights = [weight for group in groups for weight in group["params"]]
        nn.utils.clip_grad_norm_(weights, self.objective.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.objective.post_step(self.network)
        with torch.no_grad():
            pairs = zip(self.averaged.parameters(), self.network.parameters(), strict=True)
            for average, weight in pairs:
                average.lerp_(weight, 1 - decay)

    def state_dict(self) -> dict[str, Any]:
        """Return what `load_state_dict` continues from."""
        return {
            "step": self.step,
            "network": self.network.state_dict(),
            "averaged": self.averaged.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "running_loss": self.running_loss,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state on the CPU."""
        self.network.load_state_dict(state["network"])
        self.averaged.load_state_dict(state["averaged"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step, self.running_loss = state["step"], state["running_loss"]


class _Loss(nn.Module):
    """An objective's loss as a module, which is what `DistributedDataParallel` wraps."""

    def __init__(self, network: nn.Module, objective: Objective) -> None:
        super().__init__()
        self.network, self.objective = network, objective

    def forward(self, images: Tensor, generator: torch.Generator) -> Tensor:
        return self.objective.loss(self.network, images, generator)


def images_per_step(objective: Objective, topology: ProcessTopology) -> int:
    """Return the number of crops in a step, over all processes."""
    return (
        micro_batches_per_step(objective, topology.count) * objective.micro_batch * topology.count
    )


def finalize_network(averaged: nn.Module, objective: Objective) -> nn.Module:
    """Copy an averaged network, constrain its weights, and set it to evaluation mode."""
    network = copy.deepcopy(averaged).eval()
    objective.post_step(network)
    return network
