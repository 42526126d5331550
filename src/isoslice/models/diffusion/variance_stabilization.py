"""Stretch intensities so that errors have about the same variance at all of them.

In micro-CT or fluorescence a few bright structures have most of the error, and noise levels that
suit them hide everything dark. The inverse hyperbolic sine (Lupton, Gunn & Szalay 1999,
astro-ph/9903081) is linear at low and logarithmic at high intensities. Where errors hardly depend
on intensity, as in electron microscopy, nothing is stretched.
"""

from __future__ import annotations

import math
from typing import TypeAlias

import torch
from torch import Tensor

#: The constant c of the curve: of all images, or of each of a batch, (N, 1, 1, 1); None for no
#: stretch.
Softening: TypeAlias = float | Tensor | None
#: A constant by which intensities in [0, 1] are not stretched, for batches in which others are.
UNSTRETCHED = 1e3

#: Candidates for the softening c.
SOFTENINGS = (0.08, 0.16, 0.32)
#: Stretch only if the deviation of log errors across intensities falls below this share of before.
MAX_DEVIATION_RATIO = 0.8
#: Number of intensity bins whose errors are compared.
INTENSITY_BINS = 32


def _full(softening: float | Tensor) -> float | Tensor:
    """Return asinh(1 / c)."""
    return (
        torch.asinh(1 / softening) if isinstance(softening, Tensor) else math.asinh(1 / softening)
    )


def stretch(images: Tensor, softening: Softening) -> Tensor:
    """Compute asinh(x / c) / asinh(1 / c) of intensities in about [0, 1]; 0 and 1 are fixed points.

    `softening` is c, where the curve turns from linear to logarithmic; None is the identity.
    """
    if softening is None:
        return images
    return torch.asinh(images / softening) / _full(softening)


def unstretch(images: Tensor, softening: Softening) -> Tensor:
    """Undo `stretch`."""
    if softening is None:
        return images
    return torch.sinh(images * _full(softening)) * softening


def unstretch_slope(stretched: Tensor, softening: Softening) -> Tensor:
    """Compute the derivative of `unstretch`, by which small errors are multiplied."""
    if softening is None:
        return torch.ones_like(stretched)
    scale = _full(softening)
    return softening * scale * torch.cosh(stretched * scale)


def intensity_error(stretched: Tensor, images: Tensor, softening: float | Tensor) -> Tensor:
    """Compare a stretched estimate y with intensities x: (unstretch(y) - x) / unstretch'(y).

    For small errors this is y - stretch(x). But minimising its square leads to
    ``unstretch(y) = E[x]``, while that of y - stretch(x) leads to ``y = E[stretch(x)]``, which is
    too dark where bright structures are uncertain. No gradient flows through the slope.
    """
    slope = unstretch_slope(stretched.detach(), softening)
    return (unstretch(stretched, softening) - images) / slope


def fit_softening(base: Tensor, residual: Tensor) -> float | None:
    """Choose the softening that makes errors depend least on intensity.

    Stretching multiplies errors at intensity x by a constant times 1 / sqrt(c^2 + x^2).

    Parameters
    ----------
    base, residual
        Interpolated intensities and their residuals; same shape.

    Returns
    -------
    One of `SOFTENINGS`, or None if stretching gains too little (`MAX_DEVIATION_RATIO`).
    """
    base, residual = base.flatten().double(), residual.flatten().double()
    # torch.quantile refuses large tensors.
    ordered = base.sort().values
    edges = torch.unique_consecutive(
        ordered[torch.linspace(0, len(ordered) - 1, INTENSITY_BINS + 1).long()]
    )
    if len(edges) < 3:
        return None
    which = torch.bucketize(base, edges[1:-1], right=True)
    count = torch.bincount(which).clamp(min=1)
    intensity = torch.bincount(which, base) / count
    error = (torch.bincount(which, residual**2) / count).sqrt().clamp(min=1e-6)

    def log_deviation(softening: float | None) -> float:
        slope = 1.0 if softening is None else 1 / (softening**2 + intensity**2).sqrt()
        logs = (error * slope).log()
        mean = (logs * count).sum() / count.sum()
        return math.sqrt(float(((logs - mean) ** 2 * count).sum() / count.sum()))

    best = min(SOFTENINGS, key=log_deviation)
    return best if log_deviation(best) < MAX_DEVIATION_RATIO * log_deviation(None) else None
