"""Random numbers that PyTorch draws by itself, such as first weights, without a trace."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let PyTorch's own generator on the CPU begin with `seed`, and leave it as it was before.

    That of no device is touched, which `torch.manual_seed` would seed too.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield
