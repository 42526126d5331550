"""Lightning's side of training in several processes, which are running when it is asked."""

from __future__ import annotations

import contextlib
from typing import Any

import pytorch_lightning as pl
from lightning_fabric.plugins.environments.cluster_environment import ClusterEnvironment
from pytorch_lightning.strategies import DDPStrategy

from isoslice.training.distributed.topology import ProcessTopology


class _Started(ClusterEnvironment):
    """Tells Lightning a `Place`; the processes have met before (`sync.join`)."""

    def __init__(self, topology: ProcessTopology) -> None:
        super().__init__()
        self._topology = topology

    @property
    def creates_processes_externally(self) -> bool:
        return True

    @property
    def main_address(self) -> str:
        return ""  # never asked, since they have met

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
    """Options of Lightning's trainer that say how many processes there are."""
    if topology.count == 1:
        return {"devices": 1}
    strategy = DDPStrategy(
        cluster_environment=_Started(topology),
        broadcast_buffers=False,  # the networks' are constant
    )
    return {"devices": topology.devices, "num_nodes": topology.nodes, "strategy": strategy}


def leave_signals_to_us(trainer: pl.Trainer) -> None:
    """Keep Lightning from asking all GPUs before each step whether SIGTERM has come.

    `peers.Peers.agree` does so already, and no GPU has to wait.
    """
    with contextlib.suppress(AttributeError):
        loop: Any = trainer.fit_loop.epoch_loop
        if hasattr(loop, "_broadcast_sigterm_tensor"):
            loop._broadcast_sigterm_tensor = lambda: None
