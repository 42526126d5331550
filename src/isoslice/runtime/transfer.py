"""Copies from a GPU that go on while it computes what comes next."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor


def to_host(values: Tensor) -> Callable[[], NDArray[Any]]:
    """Begin to copy a tensor to the host.

    On CUDA into pinned memory, beside what the device computes next; elsewhere at once, or not at
    all where the tensor lies on the host.

    Returns
    -------
    What waits for the copy and returns it, in any thread, where nothing of PyTorch computes.
    """
    if values.device.type != "cuda":
        there = values.cpu().numpy()
        return lambda: there
    pinned = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    pinned.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
    copied.record(torch.cuda.current_stream(values.device))
    arriving = pinned.numpy()  # a view, which keeps the memory

    def wait() -> NDArray[Any]:
        copied.synchronize()
        return arriving

    return wait
