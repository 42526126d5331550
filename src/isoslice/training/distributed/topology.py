"""Rank and number of training processes, as started by isoslice, SLURM or torchrun."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isoslice.errors import SettingsError

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class ProcessTopology:
    """Rank of this process among those that train together; by default it is the only one.

    Attributes
    ----------
    rank, count
        Rank of the process, from 0, and number of processes.
    local_rank, devices
        The same on its node.
    node
        Rank of its node, from 0.
    init_method
        URL of the rendezvous, for `torch.distributed.init_process_group`.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    devices: int = 1
    node: int = 0
    init_method: str = ""

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which writes and reports."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """Number of nodes."""
        return self.count // self.devices


def find_topology(
    devices: int, nodes: int, device: torch.device, environment: Mapping[str, str] = os.environ
) -> ProcessTopology | None:
    """Check that this many processes can train here, and find the rank of this one.

    Parameters
    ----------
    devices, nodes
        Processes per node, one for each GPU, and nodes.
    device
        Type of device.
    environment
        Environment variables, as set by SLURM or torchrun.

    Returns
    -------
    None if this process has to start the others.

    Raises
    ------
    SettingsError
        If a number is out of range, there are fewer GPUs or cores, or another number of processes
        was started.
    """
    for name, value in (("devices", devices), ("nodes", nodes)):
        if value < 1:
            raise SettingsError(f"got {name} {value}, expected at least 1")
    if devices * nodes == 1:
        return ProcessTopology()
    topology = _torchrun(environment) or _slurm(environment)
    if topology is None and nodes > 1:
        raise SettingsError(
            f"got nodes {nodes}, but neither SLURM nor torchrun started this process, expected one "
            f"process for each device; start them with srun --nodes {nodes} --ntasks-per-node "
            f"{devices} isoslice train ..., or train on this machine alone with --nodes 1"
        )
    if topology is not None and (topology.devices, topology.nodes, topology.count) != (
        devices,
        nodes,
        devices * nodes,
    ):
        raise SettingsError(
            f"got devices {devices} and nodes {nodes}, but {topology.count} processes were started "
            f"on {topology.nodes} node(s), {topology.devices} on this one, expected {devices} on "
            f"each of {nodes}; give SLURM --nodes {nodes} --ntasks-per-node {devices}, or "
            "isoslice other numbers"
        )
    _check_devices(devices, device, started=topology is not None)
    return topology


def cores() -> int:
    """Return the number of CPU cores that this process may use."""
    own = getattr(os, "sched_getaffinity", None)  # missing on macOS and Windows
    return len(own(0)) if own else os.cpu_count() or 1


def _check_devices(devices: int, device: torch.device, *, started: bool) -> None:
    import torch

    if device.type == "cuda":
        available = torch.cuda.device_count()
        advice = f"use --devices {available}, or let each process see all GPUs of its node"
        named = "GPU(s) in sight"
    elif device.type == "cpu":
        # A cluster restricts each process to its share of the node's cores.
        available = devices if started else cores()
        advice, named = f"use --devices {available}", "core(s), one for each process at least,"
    else:
        available, advice, named = 1, "use --devices 1, or --device cpu", f"{device.type} device"
    if devices > available:
        raise SettingsError(
            f"got devices {devices} with {available} {named} here, expected at most {available}; "
            f"{advice}"
        )


def _torchrun(environment: Mapping[str, str]) -> ProcessTopology | None:
    """Read the environment variables that torchrun sets."""
    if "TORCHELASTIC_RUN_ID" not in environment or int(environment["WORLD_SIZE"]) == 1:
        return None
    return ProcessTopology(
        rank=int(environment["RANK"]),
        count=int(environment["WORLD_SIZE"]),
        local_rank=int(environment["LOCAL_RANK"]),
        devices=int(environment["LOCAL_WORLD_SIZE"]),
        node=int(environment["GROUP_RANK"]),
        init_method="env://",
    )


def _slurm(environment: Mapping[str, str]) -> ProcessTopology | None:
    """Read the variables that srun sets for a step; a batch script without srun is no step."""
    count = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if count == 1:
        return None
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
    here = count // nodes if count % nodes == 0 else count
    local_rank = int(environment["SLURM_LOCALID"])
    if local_rank >= here:  # nodes have different numbers of tasks
        here = local_rank + 1
    address = environment.get("MASTER_ADDR") or first_host(
        environment.get("SLURM_STEP_NODELIST", "127.0.0.1")
    )
    # Jobs that share a node need different ports.
    port = environment.get("MASTER_PORT") or 15_000 + int(environment["SLURM_JOB_ID"]) % 10_000
    return ProcessTopology(
        rank=int(environment["SLURM_PROCID"]),
        count=count,
        local_rank=local_rank,
        devices=here,
        node=int(environment["SLURM_NODEID"]),
        init_method=f"tcp://{address}:{port}",
    )


def first_host(nodes: str) -> str:
    """Return the first host of a compressed SLURM node list, such as ``gpu[07-09,12],big1``."""
    head, bracket, rest = nodes.partition("[")
    if not bracket or "," in head:
        return head.split(",")[0]
    inside, _, after = rest.partition("]")
    return head + inside.split(",")[0].split("-")[0] + after.split(",")[0]
