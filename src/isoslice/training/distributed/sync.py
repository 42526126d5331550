"""Collective operations across training processes: a common clock, interruption, means."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist

from isoslice.runtime import budget
from isoslice.training.distributed.topology import ProcessTopology

#: Time after which a process that waits for others fails.
TIMEOUT = timedelta(minutes=10)


def join(topology: ProcessTopology, device: torch.device) -> None:
    """Initialise the process group, if there are several processes and none exists yet."""
    if topology.count > 1 and not dist.is_initialized():
        dist.init_process_group(
            "nccl" if device.type == "cuda" else "gloo",
            init_method=topology.init_method,
            rank=topology.rank,
            world_size=topology.count,
            timeout=TIMEOUT,
        )


class Peers:
    """Collective operations across training processes; no-ops for a single one.

    All processes have to call the same methods in the same order.
    """

    def __init__(self, topology: ProcessTopology) -> None:
        self._topology = topology
        # gloo rather than NCCL, so that no GPU has to wait.
        self._group: Any = dist.new_group(backend="gloo", timeout=TIMEOUT) if self.any else None

    @property
    def any(self) -> bool:
        """Whether there are several processes."""
        return self._topology.count > 1

    def agree(self, interrupted: bool) -> tuple[float, bool]:
        """Return the first process's clock, in seconds, and whether any was interrupted.

        Decisions that depend on these alone are the same in all processes.
        """
        now = budget.now()
        if not self.any:
            return now, interrupted
        clock = now if self._topology.first else -math.inf
        state = torch.tensor([clock, float(interrupted)], dtype=torch.float64)
        dist.all_reduce(state, dist.ReduceOp.MAX, group=self._group)
        return float(state[0]), bool(state[1])

    def mean(self, value: float) -> float:
        """Average a number over the processes."""
        if not self.any:
            return value
        total = torch.tensor([value], dtype=torch.float64)
        dist.all_reduce(total, group=self._group)
        return float(total[0]) / self._topology.count
