"""Reproducible draws from PyTorch's global generator, such as initial weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed PyTorch's global CPU generator for the block, and restore its state afterwards.

    The generators of devices, which `torch.manual_seed` would seed too, are left alone.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
