"""Networks without numbers: their shapes and types, at the cost of neither memory nor time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

#: Functions that fill tensors, and what makes the same tensors unfilled.
_UNFILLED: dict[Any, Callable[..., Tensor]] = {
    torch.randn: torch.empty,
    torch.linspace: lambda start, end, steps, **options: torch.empty(steps, **options),
    Tensor.normal_: lambda tensor, *_, **__: tensor,
    Tensor.uniform_: lambda tensor, *_, **__: tensor,
}


class _Unfilled(TorchFunctionMode):
    """Leaves new tensors unfilled.

    On the meta device nothing is drawn anyway, but PyTorch loads a library of symbolic mathematics
    to find that out: half a second of a cold start.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        return _UNFILLED.get(func, func)(*args, **(kwargs or {}))


@contextmanager
def undrawn() -> Iterator[None]:
    """Build networks without weights, on the meta device, in the block."""
    with torch.device("meta"), _Unfilled():
        yield
