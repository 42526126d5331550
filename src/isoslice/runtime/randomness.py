"""Reproducible draws: initial weights, and noise on any device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global CPU generator for the block, and restore its state afterwards.

    The generators of devices, which `torch.manual_seed` would seed too, are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


def normal(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Draw normal noise on a device, in an order that `generator`, on the CPU, determines.

    On a GPU by a generator of its own, seeded by that: hundreds of images are drawn there faster
    than they are copied.
    """
    if device.type != "cuda":
        return torch.randn(*shape, generator=generator).to(device)
    seed = int(torch.randint(2**62, (), generator=generator))
    return torch.randn(*shape, generator=torch.Generator(device).manual_seed(seed), device=device)
