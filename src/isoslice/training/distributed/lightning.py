"""Configure Lightning for processes that are running and connected already."""

from __future__ import annotations

import contextlib
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from isoslice.training.distributed.topology import ProcessTopology


class _Started(ClusterEnvironment):
    """Reports a `ProcessTopology` to Lightning; processes are connected by `sync.join`."""

    def __init__(self, topology: ProcessTopology) -> None:
        super().__init__()
        self._topology = topology

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return ""  # not used, since the process group exists

    @property
    def main_port(self) -> int:
        return 0

    @staticmethod
    def detect() -> bool:
        return False

    def world_size(self) -> int:
        return self._topology.count

    def set_world_size(self, size: int) -> None:
        """Nothing to set."""

    def global_rank(self) -> int:
        return self._topology.rank

    def set_global_rank(self, rank: int) -> None:
        """Nothing to set."""

    def local_rank(self) -> int:
        return self._topology.local_rank

    def node_rank(self) -> int:
        return self._topology.node


def trainer_options(topology: ProcessTopology) -> dict[str, Any]:
    """Return options of Lightning's trainer for the number of processes."""
    if topology.count == 1:
        return {"devices": 1}
    strategy = DDPStrategy(
        cluster_environment=_Started(topology),
        broadcast_buffers=False,  # they are constant
    )
    return {"devices": topology.devices, "num_nodes": topology.nodes, "strategy": strategy}


def disable_sigterm_broadcast(trainer: pl.Trainer) -> None:
    """Keep Lightning from synchronising GPUs before each step to detect SIGTERM.

    `sync.Peers.agree` does so on the CPU. Uses a private method, where Lightning has it; a test
    fails if a later version does the same under another name.
    """
    with contextlib.suppress(AttributeError):
        loop: Any = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            loop._broadcast_sigterm_tensor = lambda: None
