"""What processes that train together agree on: one clock, when to stop, the mean of a loss."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from isoslice.runtime import budget
from isoslice.training.distributed.topology import ProcessTopology

#: Longest time a process waits for the others; then it fails.
PATIENCE = timedelta(minutes=10)


def join(topology: ProcessTopology, device: torch.device) -> None:
    """Meet the other processes, if there are any; they stay together until they end."""
    if topology.count > 1 and not dist.is_initialized():
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=topology.meeting,
            rank=topology.rank,
            world_size=topology.count,
            timeout=PATIENCE,
        )


class Peers:
    """The processes one trains with. Alone, one agrees with oneself at no cost.

    All of them have to ask the same questions in the same order.
    """

    def __init__(self, topology: ProcessTopology) -> None:
        self._topology = topology
        # Over the network rather than from GPU to GPU: no GPU has to wait for what is asked.
        self._group: Any = dist.new_group(backend="gloo", timeout=PATIENCE) if self.any else None

    @property
    def any(self) -> bool:
        """Whether there are others."""
        return self._topology.count > 1

    def agree(self, interrupted: bool) -> tuple[float, bool]:
        """Return the first process's clock, in seconds, and whether any one was interrupted.

        What depends on these alone is decided in the same way by all.
        """
        now = budget.now()
        if not self.any:
            return now, interrupted
        clock = now if self._topology.first else -math.inf
        said = torch.tensor([clock, float(interrupted)], dtype=torch.float64)
        dist.all_reduce(said, dist.ReduceOp.MAX, group=self._group)
        return float(said[0]), bool(said[1])

    def mean(self, value: float) -> float:
        """Mean of a number over the processes."""
        if not self.any:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(total, group=self._group)
        return float(total[0]) / self._topology.count
