"""Orthogonalise the matrices of many weights at once, by Newton-Schulz iterations.

On a GPU each of these small products takes longer to start than to compute. So matrices of one
shape lie side by side, in memory that is kept from step to step, and are multiplied together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

#: Coefficients of the Newton-Schulz iteration x -> a x + b x^3 + c x^5 on singular values, which
#: maps (0, 1] to about 0.7 ... 1.2 in five steps (Jordan et al. 2024, see `muon`).
_A, _B, _C = 3.4445, -4.7750, 2.0315
NEWTON_SCHULZ_STEPS = 5
#: Gram matrices are padded, to be iterated with larger ones, if it adds at most this share of work.
PADDING = 0.05


class Orthogonalization:
    """Approximate U V^T of matrices U S V^T; singular values become 0.7 to 1.2.

    Iterates on the smaller Gram matrix G = X X^T: each step multiplies X from the left by the
    polynomial q = a + b G + c G^2, which commutes with G.

    Parameters
    ----------
    weights
        Of the shapes, on the device and of the type of what will be orthogonalised. A weight
        (out, in, ...) is a matrix (out, in x ...).
    """

    def __init__(self, weights: Sequence[Tensor]) -> None:
        self._given, given = _side_by_side(weights)
        self._found, found = _side_by_side(weights)
        sizes = _padded_sizes([_wide(weight)[0] for weight in weights])
        self._groups = [
            _Group.of(size, [(given[s], found[s]) for s in sorted(given) if sizes[s[0]] == size])
            for size in sorted(set(sizes.values()))
        ]

    def __call__(self, tensors: list[Tensor] | tuple[Tensor, ...]) -> list[Tensor]:
        """Orthogonalise tensors of the weights' shapes; the next call overwrites the result."""
        norms = torch.stack(torch._foreach_norm(tensors)) + 1e-7
        torch._foreach_copy_(self._given, tensors)
        torch._foreach_div_(self._given, norms.unbind())
        for group in self._groups:
            group.orthogonalize()
        return self._found


class _Part(NamedTuple):
    """Matrices of one shape: X (B, n, k), X^T, where its Gram matrices go, and where q X."""

    given: Tensor
    across: Tensor
    gram: Tensor
    found: Tensor


class _Group(NamedTuple):
    """Matrices whose Gram matrices are iterated together: (B, n, n), padded with zeros."""

    gram: Tensor
    identity: Tensor
    parts: list[_Part]

    @classmethod
    def of(cls, size: int, pairs: Sequence[tuple[Tensor, Tensor]]) -> _Group:
        """Make room for the Gram matrices of what is given and found."""
        first = pairs[0][0]
        counts = [len(given) for given, _ in pairs]
        gram = first.new_zeros(sum(counts), size, size)
        parts = [
            _Part(given, given.mT, room[:, : given.shape[1], : given.shape[1]], found)
            for (given, found), room in zip(pairs, torch.split(gram, counts), strict=True)
        ]
        return cls(gram, torch.eye(size, dtype=first.dtype, device=first.device), parts)

    def orthogonalize(self) -> None:
        """Compute what is found from what is given."""
        for part in self.parts:
            if part.gram.is_contiguous():
                torch.bmm(part.given, part.across, out=part.gram)
            else:  # padded: not all devices multiply into that
                part.gram.copy_(torch.bmm(part.given, part.across))
        product = _polynomial(self.gram, self.identity)
        products = torch.split(product, [len(part.given) for part in self.parts])
        for part, left in zip(self.parts, products, strict=True):
            rows = part.gram.shape[1]
            padded = rows < left.shape[1]
            torch.bmm(left[:, :rows, :rows] if padded else left, part.given, out=part.found)


def _polynomial(gram: Tensor, identity: Tensor) -> Tensor:
    """Return the product of all steps' polynomials of Gram matrices (B, n, n), same shape.

    Written with r = q - a, whose products take no identity.
    """
    r = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
    product = r + _A * identity
    for _ in range(NEWTON_SCHULZ_STEPS - 1):
        gram = torch.baddbmm(gram, r, gram, beta=_A)
        gram = torch.baddbmm(gram, gram, r, beta=_A)
        r = torch.baddbmm(gram, gram, gram, beta=_B, alpha=_C)
        product = torch.baddbmm(product, r, product, beta=_A)
    return product


def _wide(weight: Tensor) -> tuple[int, int]:
    """Return the shape of a weight's matrix, or of its transpose if that has fewer rows."""
    rows, columns = len(weight), weight.numel() // len(weight)
    return min(rows, columns), max(rows, columns)


def _side_by_side(weights: Sequence[Tensor]) -> tuple[list[Tensor], dict[tuple[int, int], Tensor]]:
    """Make memory for matrices of weights.

    Returns
    -------
    A view of it for each weight, of its shape; and by shape all matrices of one, (B, n, k) with
    n <= k.
    """
    shapes = [_wide(weight) for weight in weights]
    memory = {s: weights[0].new_zeros(shapes.count(s), *s) for s in dict.fromkeys(shapes)}
    free = {shape: iter(batch) for shape, batch in memory.items()}
    views = []
    for weight, shape in zip(weights, shapes, strict=True):
        matrix = next(free[shape])
        views.append(_as_weight(matrix if len(weight) == shape[0] else matrix.T, weight))
    return views, memory


def _as_weight(matrix: Tensor, weight: Tensor) -> Tensor:
    """View a matrix (out, in x ...) in the shape of a weight (out, in, ...).

    The order of columns does not matter. So it is the weight's own, where that is without gaps:
    GPUs copy many tensors at once if they lie in memory alike.
    """
    formats = [torch.contiguous_format, torch.channels_last][: 1 + (weight.ndim == 4)]
    if matrix.is_contiguous() and any(weight.is_contiguous(memory_format=f) for f in formats):
        return matrix.as_strided(weight.shape, weight.stride())
    return matrix.view(weight.shape)


def _padded_sizes(sizes: Sequence[int]) -> dict[int, int]:
    """Return to what size Gram matrices of each size are padded: see `PADDING`."""
    work = sum(size**3 for size in sizes)
    padded: dict[int, int] = {}
    ordered = sorted(set(sizes), reverse=True)
    for larger, size in zip([None, *ordered], ordered, strict=False):
        padded[size] = size
        if larger is not None:
            target = padded[larger]
            if sizes.count(size) * (target**3 - size**3) <= PADDING * work:
                padded[size] = target
    return padded
