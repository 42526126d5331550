"""Which of several processes this one is, and who started them: isoslice, SLURM or torchrun."""

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
    """Where a process stands among those that train together; by default it is alone.

    Attributes
    ----------
    rank, count
        Number of the process, from 0, and how many there are.
    local_rank, devices
        The same on its node.
    node
        Number of its node, from 0.
    meeting
        Where they find each other: an ``init_method`` of `torch.distributed`.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    devices: int = 1
    node: int = 0
    meeting: str = ""

    @property
    def first(self) -> bool:
        """Whether this process is the one that writes and reports."""
        return self.rank == 0

    @property
    def nodes(self) -> int:
        """How many nodes there are."""
        return self.count // self.devices


def find_topology(
    devices: int, nodes: int, device: torch.device, environment: Mapping[str, str] = os.environ
) -> ProcessTopology | None:
    """Check that so many processes can train here, and tell which one this is.

    Parameters
    ----------
    devices, nodes
        Processes a node, one for each GPU, and nodes.
    device
        Kind of device.
    environment
        What SLURM or torchrun tell the processes that they start.

    Returns
    -------
    The place of this process; None if it has yet to start the others.

    Raises
    ------
    SettingsError
        If a number is out of range, there are fewer GPUs or cores than asked for, or the processes
        that were started are not as many.
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
    """Cores of the processor that this process may use."""
    own = getattr(os, "sched_getaffinity", None)  # macOS and Windows have none
    return len(own(0)) if own else os.cpu_count() or 1


def _check_devices(devices: int, device: torch.device, *, started: bool) -> None:
    import torch

    if device.type == "cuda":
        there = torch.cuda.device_count()
        advice = f"use --devices {there}, or let each process see all GPUs of its node"
        named = "GPU(s) in sight"
    elif device.type == "cpu":
        # What a cluster gives to a process is a part of the node already.
        there = devices if started else cores()
        advice, named = f"use --devices {there}", "core(s), one for each process at least,"
    else:
        there, advice, named = 1, "use --devices 1, or --device cpu", f"{device.type} device"
    if devices > there:
        raise SettingsError(
            f"got devices {devices} with {there} {named} here, expected at most {there}; {advice}"
        )


def _torchrun(environment: Mapping[str, str]) -> ProcessTopology | None:
    """Read what torchrun tells its processes."""
    if "TORCHELASTIC_RUN_ID" not in environment or int(environment["WORLD_SIZE"]) == 1:
        return None
    return ProcessTopology(
        rank=int(environment["RANK"]),
        count=int(environment["WORLD_SIZE"]),
        local_rank=int(environment["LOCAL_RANK"]),
        devices=int(environment["LOCAL_WORLD_SIZE"]),
        node=int(environment["GROUP_RANK"]),
        meeting="env://",
    )


def _slurm(environment: Mapping[str, str]) -> ProcessTopology | None:
    """Read what srun tells its tasks; a batch script without srun is one process, not a step."""
    count = int(environment.get("SLURM_STEP_NUM_TASKS", 1))
    if count == 1:
        return None
    nodes = int(environment.get("SLURM_STEP_NUM_NODES", 1))
    here = count // nodes if count % nodes == 0 else count
    local_rank = int(environment["SLURM_LOCALID"])
    if local_rank >= here:  # tasks are spread unevenly
        here = local_rank + 1
    address = environment.get("MASTER_ADDR") or first_host(
        environment.get("SLURM_STEP_NODELIST", "127.0.0.1")
    )
    # Jobs that share a node need a port each.
    port = environment.get("MASTER_PORT") or 15_000 + int(environment["SLURM_JOB_ID"]) % 10_000
    return ProcessTopology(
        rank=int(environment["SLURM_PROCID"]),
        count=count,
        local_rank=local_rank,
        devices=here,
        node=int(environment["SLURM_NODEID"]),
        meeting=f"tcp://{address}:{port}",
    )


def first_host(nodes: str) -> str:
    """First name in SLURM's short form of a list of hosts, such as ``gpu[07-09,12],big1``."""
    head, bracket, rest = nodes.partition("[")
    if not bracket or "," in head:
        return head.split(",")[0]
    inside, _, after = rest.partition("]")
    return head + inside.split(",")[0].split("-")[0] + after.split(",")[0]
