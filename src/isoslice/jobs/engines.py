"""Who restores the blocks: this process, or a Dask cluster's workers. Voxels are the same."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from isoslice.errors import SettingsError
from isoslice.jobs.job import Job, open_job

if TYPE_CHECKING:
    from distributed import Client

#: Called with a finished block and its files.
Finished = Callable[[int, dict[str, int]], None]
#: Blocks that a cluster is given at once, per worker: no more than keeps it busy.
AHEAD = 2
#: How often a block is tried again whose worker died.
RETRIES = 3


def run_here(
    job: Job, blocks: Sequence[int], finished: Finished, report: Callable[[float], None]
) -> None:
    """Restore blocks one after the other; `report` hears the share of them that is done."""
    for number, index in enumerate(blocks):

        def heard(fraction: float, number: int = number) -> None:
            report((number + fraction) / len(blocks))

        finished(index, job.restore(index, heard))


@contextmanager
def local_cluster(workers: int, threads: int) -> Iterator[Client]:
    """Start workers on this machine, each a process with so many threads."""
    distributed = _distributed()
    with (
        distributed.LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            memory_limit=0,  # our own budget holds; Dask's would kill what is counted differently
            env={"OMP_NUM_THREADS": str(threads), "ISOSLICE_THREADS": str(threads)},
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


@contextmanager
def remote_cluster(address: str) -> Iterator[Client]:
    """Connect to a Dask scheduler.

    Raises
    ------
    SettingsError
        If nothing answers there.
    """
    distributed = _distributed()
    try:
        client = distributed.Client(address, timeout="20s")
    except (OSError, ValueError, TimeoutError) as error:
        raise SettingsError(
            f"got scheduler {address}, where no Dask scheduler answers ({error}), expected an "
            "address such as tcp://host:8786; start one with 'dask scheduler'"
        ) from error
    with client:
        yield client


def run_on(
    client: Client,
    folder: Path,
    blocks: Sequence[int],
    finished: Finished,
    report: Callable[[float], None],
    device: str = "auto",
) -> None:
    """Restore blocks on the workers of a cluster.

    A worker that dies is replaced by its nanny, and its block given to another one. What goes wrong
    otherwise is raised here.
    """
    distributed = _distributed()
    waiting = list(reversed(blocks))
    stream = distributed.as_completed()

    def hand_out() -> None:
        workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        while waiting and stream.count() < AHEAD * workers:
            index = waiting.pop()
            stream.add(
                client.submit(
                    restore_on_worker,
                    str(folder),
                    index,
                    device,
                    pure=False,
                    retries=RETRIES,
                    key=f"isoslice-{folder.name}-{index}",
                )
            )

    hand_out()
    for done, future in enumerate(stream, start=1):
        index, files = future.result()
        future.release()
        finished(index, files)
        report(done / len(blocks))
        hand_out()


def restore_on_worker(folder: str, index: int, device: str) -> tuple[int, dict[str, int]]:
    """Restore one block where this is called; the model is loaded with the first one."""
    return index, _opened(folder, _pinned(device)).restore(index)


@lru_cache(maxsize=1)
def _opened(folder: str, device: str) -> Job:
    import torch

    threads = os.environ.get("ISOSLICE_THREADS")
    if threads:
        torch.set_num_threads(int(threads))
    job = open_job(Path(folder), device.partition(":")[0])
    if ":" in device:
        job = _moved(job, device)
    return job


def _moved(job: Job, device: str) -> Job:
    from dataclasses import replace

    import torch

    chosen = torch.device(device)
    torch.cuda.set_device(chosen)
    job.model.network.to(chosen)
    return replace(job, device=chosen)


def _pinned(device: str) -> str:
    """Give each worker of a machine with several GPUs one of them, by the worker's number."""
    import torch

    if device not in ("auto", "cuda") or not torch.cuda.is_available():
        return device
    count = torch.cuda.device_count()
    try:
        name = str(_distributed().get_worker().name)
    except ValueError:
        return device
    digits = "".join(c for c in name if c.isdigit())
    return f"cuda:{int(digits or 0) % count}"


def _distributed() -> Any:
    try:
        import distributed
    except ImportError as error:
        raise SettingsError(
            "got --workers or --scheduler, which need Dask, expected it installed; run: pip "
            "install 'isoslice[cluster]'"
        ) from error
    return distributed
