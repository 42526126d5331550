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

from isoslice.training.orthogonalization import Orthogonalization

#: Decay of Muon's momentum, and Adam's betas.
MOMENTUM, BETAS = 0.95, (0.9, 0.99)


def _plain(name: str) -> Any:
    """Return a method of optimisers without the wrapper that loads PyTorch's compiler.

    That takes seconds, of which an adaptation has few, and nothing here is compiled.
    """
    method = getattr(torch.optim.Optimizer, name)
    return getattr(method, "__wrapped__", method)


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

    add_param_group = _plain("add_param_group")
    zero_grad = _plain("zero_grad")
    state_dict = _plain("state_dict")
    load_state_dict = _plain("load_state_dict")

    def __init__(self, groups: Iterable[dict[str, Any]], lr: float) -> None:
        super().__init__(groups, {"lr": lr, "orthogonal": False})
        self._of_weights: dict[tuple[int, ...], Orthogonalization] = {}

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Perform one step; `closure`, if given, computes the gradients first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        others: list[Tensor] = []
        rates: list[float] = []
        for group in self.param_groups:
            weights = [weight for weight in group["params"] if weight.grad is not None]
            if weights and group["orthogonal"]:
                self._muon(weights, group["lr"])
            else:
                others += weights
                rates += [group["lr"]] * len(weights)
        if others:
            self._adam(others, rates)
        return loss

    def _muon(self, weights: list[Tensor], rate: float) -> None:
        gradients, averages = _gradients(weights), self._kept("average", weights)
        torch._foreach_lerp_(averages, gradients, 1 - MOMENTUM)
        nesterov = torch._foreach_lerp(gradients, averages, MOMENTUM)
        steps = self._orthogonalization(weights)(nesterov)
        # 1 / RMS of an orthogonal matrix.
        torch._foreach_mul_(
            steps, [-rate * max(len(w), w.numel() // len(w)) ** 0.5 for w in weights]
        )
        torch._foreach_add_(weights, steps)

    def _orthogonalization(self, weights: list[Tensor]) -> Orthogonalization:
        """Return what orthogonalises tensors of the weights' shapes, the same at every step."""
        key = tuple(id(weight) for weight in weights)
        if key not in self._of_weights:
            self._of_weights[key] = Orthogonalization(weights)
        return self._of_weights[key]

    def _adam(self, weights: list[Tensor], rates: list[float]) -> None:
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
        scales = [-rate / (1 - BETAS[0] ** step) for rate, step in zip(rates, steps, strict=True)]
        torch._foreach_addcdiv_(weights, averages, roots, scales)

    def _kept(self, name: str, weights: list[Tensor]) -> list[Tensor]:
        """Return what is kept of each weight under a name; zeros at first."""
        for weight in weights:
            if name not in self.state[weight]:
                self.state[weight][name] = torch.zeros_like(weight)
        return [self.state[weight][name] for weight in weights]


def _gradients(weights: list[Tensor]) -> list[Tensor]:
    return [weight.grad for weight in weights if weight.grad is not None]
