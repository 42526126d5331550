"""Work on all cores of the processor, each one with a piece of its own.

PyTorch can share one convolution among threads. A convolution a thread is faster, as nothing waits
for the slowest thread after every layer, and results then don't depend on how many threads there
are: how a convolution is cut among them changes its last digits.
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
    """Call `work` for every item, and yield the items in their order as they are done.

    On a CPU there are as many threads as PyTorch is set to use, and what `work` computes runs in
    its own thread alone; other devices take one item after the other.

    Parameters
    ----------
    work
        Called with one item each; must not touch what it does for another one.
    items
        What there is to do.
    device
        Where `work` computes.
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


@lru_cache(maxsize=1)
def _pool(threads: int, process: int) -> ThreadPoolExecutor:
    """Start the threads, once in a process: PyTorch prepares convolutions for each thread anew."""
    keep_freed_memory()
    return ThreadPoolExecutor(threads, "isoslice", _alone)


def _alone() -> None:
    """Let PyTorch compute in this thread alone: the number that it uses is a thread's own."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # it would read the number again when it first computes


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch compute in the thread that asks alone, while the block runs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def keep_freed_memory() -> None:
    """Let the C library keep what a network's layers free for what the next ones need.

    glibc returns freed memory to the system beyond a threshold, and the system has to clear every
    page of what is asked for again: a tenth of the time in the network, and half of it in a worker
    of Dask, which sets the threshold to 64 kB. Here it is what glibc itself would arrive at after
    freeing a piece of 32 MB (mallopt(3)). Other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, 32 * 2**20)
        mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)
