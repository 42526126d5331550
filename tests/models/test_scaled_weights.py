"""Weights that are scaled and cast together: as each by itself, and so their gradients."""

from __future__ import annotations

import pytest
import torch

from isoslice.models.networks.scaled_weights import scale_weights

SHAPES = ((5, 3, 3, 3), (4, 7, 2, 2), (6, 2, 1, 1), (3, 9))
SCALES = [0.5, 1.3, -2.0, 0.1]


def weights():
    torch.manual_seed(0)
    made = (torch.randn(*shape) for shape in SHAPES)
    return [
        (w.contiguous(memory_format=torch.channels_last) if w.ndim == 4 else w).requires_grad_()
        for w in made
    ]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_and_gradients_are_those_of_each_weight_by_itself(dtype):
    together, alone = weights(), weights()
    found = scale_weights(together, SCALES, dtype)
    expected = [(w * scale).to(dtype) for w, scale in zip(alone, SCALES, strict=True)]
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert torch.equal(ours, theirs)
        assert ours.stride() == theirs.stride()
    for each in (found, expected):
        sum((w.float() ** 3).sum() for w in each).backward()
    for ours, theirs in zip(together, alone, strict=True):
        assert torch.equal(ours.grad, theirs.grad)
        assert ours.grad.stride() == ours.stride()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_that_is_not_used_has_no_gradient_to_speak_of(dtype):
    given = weights()
    scale_weights(given, SCALES, dtype)[1].sum().backward()
    assert [bool(w.grad.any()) for w in given] == [False, True, False, False]
