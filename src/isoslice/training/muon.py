"""The Muon optimiser: momentum matrices are orthogonalised before the step.

Gradients of a convolution, as a matrix (out, in x kernel), are dominated by a few singular
directions. Adam scales weights one by one and keeps this imbalance; Muon gives all singular
directions equal length (Jordan et al. 2024, kellerjordan.github.io/posts/muon; Liu et al. 2025,
arXiv 2502.16982). It needs fewer steps, which suits trainings of minutes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

#: Coefficients of the Newton-Schulz iteration x -> a x + b x^3 + c x^5 on singular values, which
#: maps (0, 1] to about 0.7 ... 1.2 in five steps (Jordan et al.).
_A, _B, _C = 3.4445, -4.7750, 2.0315
NEWTON_SCHULZ_STEPS = 5
#: Decay of Muon's momentum, and Adam's betas.
MOMENTUM, BETAS = 0.95, (0.9, 0.99)


def orthogonalized(matrices: Sequence[Tensor]) -> list[Tensor]:
    """Approximate U V^T of each matrix U S V^T; singular values become 0.7 to 1.2.

    Iterates on the smaller Gram matrix G = X X^T: each step multiplies X from the left by the
    polynomial q = a + b G + c G^2, which commutes with G. Gram matrices of one size are iterated
    together, which is a small part of the launches on a GPU.
    """
    norms = torch.stack(torch._foreach_norm(list(matrices))) + 1e-7
    wide = [x if x.shape[0] <= x.shape[1] else x.T for x in matrices]
    wide = list(torch._foreach_div(wide, list(norms.unbind())))
    result = list(wide)
    sizes = [len(x) for x in wide]
    for size in sorted(set(sizes)):
        which = [i for i, each in enumerate(sizes) if each == size]
        product = _polynomial(torch.stack([wide[i] @ wide[i].T for i in which]))
        for i, left in zip(which, product.unbind(), strict=True):
            x = left @ wide[i]
            result[i] = x if matrices[i].shape[0] <= matrices[i].shape[1] else x.T
    return result


def _polynomial(gram: Tensor) -> Tensor:
    """Return the product of all steps' polynomials of Gram matrices (B, n, n), same shape.

    Written with r = q - a, whose products take no identity.
    """
    product = torch.eye(gram.shape[1], device=gram.device, dtype=gram.dtype).expand_as(gram)
    for _ in range(NEWTON_SCHULZ_STEPS):
        r = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        product = torch.baddbmm(product, r, product, beta=_A)
        gram = torch.baddbmm(gram, r, gram, beta=_A)
        gram = torch.baddbmm(gram, gram, r, beta=_A)
    return product


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
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights:
                (self._muon if group["orthogonal"] else self._adam)(weights, group["lr"])
        return loss

    def _muon(self, weights: list[Tensor], rate: float) -> None:
        gradients, averages = _gradients(weights), self._kept("average", weights)
        torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
        nesterov = torch._foreach_lerp(gradients, averages, MOMENTUM)
        flat = [each.reshape(len(each), -1) for each in nesterov]
        scales = [-rate * max(each.shape) ** 0.5 for each in flat]  # 1 / RMS of an orthogonal one
        steps = torch._foreach_mul(orthogonalized(flat), scales)
        shaped = [each.reshape(w.shape) for each, w in zip(steps, weights, strict=True)]
        torch._foreach_add_(weights, shaped)

    def _adam(self, weights: list[Tensor], rate: float) -> None:
        gradients = _gradients(weights)
        averages, squares = (self._kept(name, weights) for name in ("average", "square"))
        for weight in weights:
            self.state[weight]["step"] = self.state[weight].get("step", 0) + 1
        torch._foreach_lerp_(averages, gradients, 1 - BETAS[0])
        torch._foreach_lerp_(squares, torch._foreach_mul(gradients, gradients), 1 - BETAS[1])
        steps = [self.state[weight]["step"] for weight in weights]
        roots = torch._foreach_div(squares, [1 - BETAS[1] ** step for step in steps])
        torch._foreach_sqrt_(roots)
        torch._foreach_add_(roots, 1e-8)
        rates = [-rate / (1 - BETAS[0] ** step) for step in steps]
        torch._foreach_addcdiv_(weights, averages, roots, rates)

    def _kept(self, name: str, weights: list[Tensor]) -> list[Tensor]:
        """Return what is kept of each weight under a name; zeros at first."""
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]


def _gradients(weights: list[Tensor]) -> list[Tensor]:
    return [weight.grad for weight in weights if weight.grad is not None]
