"""Weights of many layers, scaled and cast at once: on a GPU a few launches, not a few for each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: Tensors that share memory begin at multiples of so many elements, which vector units need.
ALIGNMENT = 64


def scale_weights(
    weights: Sequence[Tensor], scales: Sequence[float], dtype: torch.dtype
) -> tuple[Tensor, ...]:
    """Multiply weights of any shapes by a number each, and cast them, with gradients."""
    apply: Callable[..., tuple[Tensor, ...]] = _Scale.apply
    return apply(scales, dtype, *weights)


class _Scale(torch.autograd.Function):
    """See `scale_weights`."""

    @staticmethod
    def forward(
        ctx: Any, scales: Sequence[float], dtype: torch.dtype, *weights: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.scales, ctx.dtype = scales, weights[0].dtype
        ctx.layout = [(weight.shape, weight.stride()) for weight in weights]
        return cast_all(torch._foreach_mul(weights, scales), dtype, ctx.layout)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        """Return the gradients of the weights, laid out in memory as these."""
        cast = cast_all(gradients, ctx.dtype, ctx.layout)
        return None, None, *torch._foreach_mul(cast, ctx.scales)


def cast_all(
    tensors: tuple[Tensor, ...],
    dtype: torch.dtype,
    layout: Sequence[tuple[Sequence[int], Sequence[int]]],
) -> tuple[Tensor, ...]:
    """Cast tensors of any shapes to one type, with the shapes and strides of a layout.

    Those that are cast share memory; none are where all have the type.
    """
    if tensors[0].dtype == dtype:
        return tensors
    starts = [0]
    for tensor in tensors:
        starts.append(starts[-1] - -tensor.numel() // ALIGNMENT * ALIGNMENT)
    memory = torch.empty(starts[-1], dtype=dtype, device=tensors[0].device)
    cast = tuple(
        memory.as_strided(shape, stride, start)
        for (shape, stride), start in zip(layout, starts, strict=False)
    )
    torch._foreach_copy_(cast, tensors)
    return cast
