"""What computes: on this machine, or on the workers of a cluster, which all have to round alike."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import torch

from isoslice.errors import SettingsError
from isoslice.runtime.device import choose_device, device_memory, fast_dtype, kind_of, named


class Worker(NamedTuple):
    """A process that does tasks."""

    #: See `device.kind_of`; and such as ``cpu bfloat16``: others round differently.
    kind: str
    arithmetic: str
    #: How many of its threads compute at once, on a CPU.
    threads: int
    #: The same for users.
    told: str
    #: Bytes of a GPU's memory; None of a CPU.
    memory: int | None = None


def this_process(device: str, threads: int | None = None) -> Worker:
    """Describe this process, if it computes on `device`."""
    chosen = choose_device(device)
    precision = str(fast_dtype(chosen)).removeprefix("torch.")
    count = torch.get_num_threads() if threads is None else threads
    kind = kind_of(chosen)
    return Worker(kind, f"{kind} {precision}", count, named(chosen), device_memory(chosen))


def alike(workers: Iterable[Worker]) -> Worker:
    """Require workers to be of one kind, and return what stands for all of them.

    Raises
    ------
    SettingsError
        If there is none, or they do not round alike.
    """
    all_workers = list(workers)
    kinds = sorted({worker.arithmetic for worker in all_workers})
    if len(kinds) != 1:
        got = "workers of several kinds: " + ", ".join(kinds) if kinds else "no worker"
        raise SettingsError(
            f"got {got}, expected one kind, so that all voxels are made alike; start workers on "
            "machines of one kind, or say --device"
        )
    most = max(worker.threads for worker in all_workers)
    memories = [worker.memory for worker in all_workers if worker.memory is not None]
    count = "one worker" if len(all_workers) == 1 else f"{len(all_workers)} workers"
    return all_workers[0]._replace(
        threads=most,
        told=f"{count}: {all_workers[0].told}",
        memory=min(memories, default=None),
    )
