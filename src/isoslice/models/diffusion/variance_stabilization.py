"""Intensities stretched so that dark and bright places are equally hard to restore.

In micro-CT or fluorescence a few bright structures have most of the error, and whatever noise level
suits them drowns everything dark. The inverse hyperbolic sine (Lupton, Gunn & Szalay 1999,
astro-ph/9903081) is linear where it is dark and logarithmic where it is bright. Where errors are
about the same at all intensities, as in electron microscopy, nothing is stretched.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

#: Softenings that are tried.
SOFTENINGS = (0.08, 0.16, 0.32)
#: Stretch only where errors become this much more equal: spread of their logarithm, after / before.
WORTH_IT = 0.8
#: Bins of intensity that errors are compared between.
BINS = 32


def stretch(images: Tensor, softening: float | None) -> Tensor:
    """asinh(x / c) / asinh(1 / c) of intensities in about [0, 1]: 0 and 1 stay where they are.

    `softening` is c, where linear goes over into logarithmic; None leaves all as it is.
    """
    if softening is None:
        return images
    return torch.asinh(images / softening) / math.asinh(1 / softening)


def unstretch(images: Tensor, softening: float | None) -> Tensor:
    """Undo `stretch`."""
    if softening is None:
        return images
    return torch.sinh(images * math.asinh(1 / softening)) * softening


def unstretch_slope(stretched: Tensor, softening: float | None) -> Tensor:
    """Return how fast intensities rise with stretched ones: small errors grow by that."""
    if softening is None:
        return torch.ones_like(stretched)
    scale = math.asinh(1 / softening)
    return softening * scale * torch.cosh(stretched * scale)


def intensity_error(stretched: Tensor, images: Tensor, softening: float) -> Tensor:
    """Error of a stretched estimate y against intensities x: (unstretch(y) - x) / unstretch'(y).

    For small errors this is y - stretch(x). But minimising its square leads to
    ``unstretch(y) = E[x]``, while that of y - stretch(x) leads to ``y = E[stretch(x)]``, which is
    too dark where bright structures are uncertain. No gradient flows through the slope.
    """
    slope = unstretch_slope(stretched.detach(), softening)
    return (unstretch(stretched, softening) - images) / slope


def fit_softening(base: Tensor, residual: Tensor) -> float | None:
    """Choose the softening that makes errors most equal at all intensities.

    Stretching multiplies errors at intensity x by about 1 / sqrt(c^2 + x^2).

    Parameters
    ----------
    base, residual
        Interpolated intensities, and what they lack; same shape.

    Returns
    -------
    One of `SOFTENINGS`, or None if it isn't worth it.
    """
    base, residual = base.flatten().double(), residual.flatten().double()
    # torch.quantile refuses large tensors.
    order = base.sort().values
    edges = torch.unique_consecutive(order[torch.linspace(0, len(order) - 1, BINS + 1).long()])
    if len(edges) < 3:
        return None
    which = torch.bucketize(base, edges[1:-1], right=True)
    count = torch.bincount(which).clamp(min=1)
    intensity = torch.bincount(which, base) / count
    error = (torch.bincount(which, residual**2) / count).sqrt().clamp(min=1e-6)

    def spread(softening: float | None) -> float:
        slope = 1.0 if softening is None else 1 / (softening**2 + intensity**2).sqrt()
        logs = (error * slope).log()
        mean = (logs * count).sum() / count.sum()
        return math.sqrt(float(((logs - mean) ** 2 * count).sum() / count.sum()))

    best = min(SOFTENINGS, key=spread)
    return best if spread(best) < WORTH_IT * spread(None) else None
