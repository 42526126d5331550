"""Run work on all cores of the processor, one item per thread.

PyTorch can split one convolution among threads. One convolution per thread is faster, since nothing
waits for the slowest thread after every layer, and results do not depend on the number of threads:
the way a convolution is split changes its last digits.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import lru_cache
from typing import TypeVar

import torch

Item = TypeVar("Item")

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3


def on_all_cores(
    work: Callable[[Item], None], items: Iterable[Item], device: torch.device
) -> Iterator[Item]:
    """Call `work` for every item, and yield the items in order as they are done.

    On a CPU, as many threads run as PyTorch is set to use, and PyTorch uses one thread within each;
    on other devices, items are processed one after the other.

    Parameters
    ----------
    work
        Called with one item; calls must not depend on each other.
    items
        Arguments of the calls.
    device
        Device on which `work` computes.
    """
    threads = torch.get_num_threads()
    if device.type != "cpu":
        for item in items:
            work(item)
            yield item
        return
    pool = _pool(threads, os.getpid())
    futures: list[tuple[Item, Future[None]]] = []
    try:
        futures = [(item, pool.submit(work, item)) for item in items]
        for item, future in futures:
            future.result()
            yield item
    finally:
        for _, future in futures:
            future.cancel()
        wait([future for _, future in futures])
        torch.set_num_threads(threads)


@contextmanager
def behind() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Give a function that runs calls in one thread beside this one, in their order.

    It returns once the call before has ended, and raises what went wrong there; the end of the
    block waits for the last one, and raises what went wrong in it.
    """
    before: Future[object] | None = None
    with ThreadPoolExecutor(1, "isoslice-behind") as pool:

        def run(call: Callable[[], object]) -> None:
            nonlocal before
            last, before = before, None
            if last is not None:
                last.result()
            before = pool.submit(call)

        yield run
        if before is not None:
            before.result()


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Start the threads once per process: PyTorch prepares convolutions for every new thread."""
    keep_freed_memory()
    return ThreadPoolExecutor(threads, "isoslice", _use_one_thread)


def _use_one_thread() -> None:
    """Let PyTorch compute in this thread alone: its number of threads is set per thread."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # else PyTorch sets the number again when it first computes


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in the calling thread alone during the block."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let the C library keep the memory that a network's layers free, for the next layers.

    Beyond a threshold, glibc returns freed memory to the system, which clears every page before it
    is used again: a tenth of the time in the network, and half of it in a worker of Dask, which
    sets the threshold to 64 kB. The values set here are those that glibc itself would reach after
    freeing a block of 32 MB (mallopt(3)). Other C libraries are left alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def threads_each(processes: int) -> int:
    """Return the threads of each of several processes on this machine."""
    return max(1, torch.get_num_threads() // processes)
