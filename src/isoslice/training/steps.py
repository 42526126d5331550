"""A step of training: gradients of micro-batches and processes, and the average of the weights."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from isoslice.data.crops import Indices, PlanePool, StackTable, draw_places, read_crops
from isoslice.data.planes import PlaneStack
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
        self.table = StackTable.of(stacks)
        self.pool = PlanePool.fitting(stacks, device)
        self.device, self.topology = device, topology
        self.micro_batches = micro_batches_per_step(objective, topology.count)
        self.step = 0
        self.running_loss: Tensor | None = None
        self._loss, self._joint_loss = _Loss(network, objective), None
        if topology.count > 1:
            # Buffers are constant.
            self._joint_loss = DistributedDataParallel(self._loss, broadcast_buffers=False)
        objective.post_step(network)
        self.averaged = copy.deepcopy(network).requires_grad_(False)
        self.optimizer = objective.optimizer(network)

    def accumulate(self, index: int) -> None:
        """Add the gradient of micro-batch `index` of a step; the last one's, of all processes."""
        last = index == self.micro_batches - 1
        if index == 0:
            self.optimizer.zero_grad()
        images, generator, stacks = self._draw(index)
        joint = self._joint_loss
        with nullcontext() if joint is None or last else joint.no_sync():
            with autocast(self.device):
                loss = (joint or self._loss)(images, generator, stacks)
            (loss / self.micro_batches).backward()
        latest = loss.detach()
        before = self.running_loss  # from a checkpoint: on the CPU
        self.running_loss = latest if before is None else before.to(latest).lerp(latest, 0.02)

    def _draw(self, index: int) -> tuple[Tensor, torch.Generator, Indices]:
        """Draw crops (N, C, H, W), by (seed, step, rank) alone.

        Also returned are a generator for the rest, and the stack of each crop.
        """
        objective, settings = self.objective, self.objective.training
        micro_batch = self.step * self.micro_batches + index
        generator = torch.Generator().manual_seed(
            (settings.seed * 1_000_003 + micro_batch) * 1_009 + self.topology.rank + 1
        )
        size, spacing = settings.crop, settings.row_spacing
        places = draw_places(
            self.table,
            objective.micro_batch,
            size,
            generator,
            objective.quarter_turns,
            spacing,
        )
        if self.pool is None:
            images = read_crops(self.stacks, places, size, spacing).to(self.device)
        else:
            images = self.pool.read(places, size, spacing)
        return images, generator, places.stack

    def update(self, done: float) -> None:
        """Step along the accumulated gradient, with the fraction `done` of the budget used."""
        rate, decay = self.objective.rate(self.step, done), self.objective.decay(self.step)
        groups = self.optimizer.param_groups
        for group in groups:
            group["lr"] = rate * group["scale"]
        weights = [weight for group in groups for weight in group["params"]]
        self.objective.pre_step(self.network)
        nn.utils.clip_grad_norm_(weights, self.objective.clip_norm)
        self.optimizer.step()
        self.step += 1
        self.objective.post_step(self.network)
        with torch.no_grad():
            averages: list[Tensor] = list(self.averaged.parameters())
            latest: list[Tensor] = list(self.network.parameters())
            torch._foreach_lerp_(averages, latest, 1 - decay)

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

    def forward(self, images: Tensor, generator: torch.Generator, stacks: Indices) -> Tensor:
        return self.objective.loss(self.network, images, generator, stacks)


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
