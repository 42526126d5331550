"""The Muon optimiser: momentum matrices are orthogonalised before the step.

Gradients of a convolution, as a matrix (out, in x kernel), are dominated by a few singular
directions. Adam scales weights one by one and keeps this imbalance; Muon gives all singular
directions equal length (Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025,
arXiv 2502.16982). It needs fewer steps, which suits trainings of minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

#: Coefficients of the Newton-Schulz iteration x -> a x + b x^3 + c x^5 on singular values, which
#: maps (0, 1] to about 0.7 ... 1.2 in five steps (Jordan et al.).
_A, _B, _C = 3.4445, -4.7750, 2.0315
NEWTON_SCHULZ_STEPS = 5
#: Decay of Muon's momentum, and Adam's betas.
MOMENTUM, BETAS = 0.95, (0.9, 0.99)


def orthogonalized(matrix: Tensor) -> Tensor:
    """Approximate U V^T of a matrix U S V^T; singular values become 0.7 to 1.2.

    Iterates on the smaller Gram matrix G = X X^T: each step multiplies X from the left by the
    polynomial q = a + b G + c G^2, which commutes with G.
    """
    x = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    x = x / (x.norm() + 1e-7)
    gram = x @ x.T
    product = torch.eye(len(gram), device=x.device, dtype=x.dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        q = torch.addmm(gram, gram, gram, beta=_B, alpha=_C)
        q.diagonal().add_(_A)
        product, gram = q @ product, q @ gram @ q
    result: Tensor = product @ x
    return result if matrix.shape[0] <= matrix.shape[1] else result.T


class Muon(torch.optim.Optimizer):
    """Muon for parameter groups with ``orthogonal`` set, Adam for the others.

    The RMS of a Muon step over the weights is `lr`.

    Parameters
    ----------
    groups
        Dictionaries with ``params``; with ``orthogonal``, these are tensors (out, in, ...).
    lr
        Learning rate of groups without one.
    """

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "orthogonal": False})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step; `closure`, if given, computes the gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            advance = self._muon if group["orthogonal"] else self._adam
            for weight in group["params"]:
                if weight.grad is not None:
                    advance(weight, weight.grad, group["lr"])
        return loss

    def _muon(self, weight: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[weight]
        if not state:
            state["average"] = torch.zeros_like(gradient)
        average = state["average"].lerp_(gradient, 1 - MOMENTUM)
        nesterov = gradient.lerp(average, MOMENTUM).reshape(len(gradient), -1)
        scale = max(nesterov.shape) ** 0.5  # 1 / RMS of an orthogonal matrix
        weight.sub_(orthogonalized(nesterov).reshape(weight.shape), alpha=rate * scale)

    def _adam(self, weight: Tensor, gradient: Tensor, rate: float) -> None:
        state = self.state[weight]
        if not state:
            state |= {
                "step": 0,
                "average": torch.zeros_like(gradient),
                "square": torch.zeros_like(gradient),
            }
        state["step"] += 1
        average = state["average"].lerp_(gradient, 1 - BETAS[0])
        square = state["square"].lerp_(gradient.square(), 1 - BETAS[1])
        unbiased = [1 - beta ** state["step"] for beta in BETAS]
        weight.addcdiv_(
            average, (square / unbiased[1]).sqrt_().add_(1e-8), value=-rate / unbiased[0]
        )
