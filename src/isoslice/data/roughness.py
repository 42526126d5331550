"""How rough an image is, how wrong linear interpolation would be, and whether Z is like Y and X.

All of it is measured on planes that were measured; no truth is needed.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isoslice.data.masking import even_rows, fill_rows


def roughness(planes: Tensor) -> Tensor:
    """Mean absolute difference of neighbours along Y and X, of each plane (C, n, Y, X): (C, n)."""
    along = [planes.diff(dim=dim).abs().flatten(2) for dim in (2, 3)]
    return torch.cat(along, dim=2).mean(dim=2)


def linear_error(planes: Tensor, factor: int) -> Tensor:
    """Mean squared error of linear interpolation within planes (C, n, Y, X): (C,).

    Of every `factor` rows, then columns, all but one are hidden. Not a number in planes that are
    smaller than that.
    """
    errors = []
    for images in (planes, planes.transpose(2, 3)):
        images = images[:, :, : (images.shape[2] - 1) // factor * factor + 1]
        known = even_rows(images.shape[2], factor).to(images.device)
        filled = fill_rows(images, known.expand(len(images), -1))
        errors.append((filled - images)[:, :, ~known].square().flatten(1))
    return torch.cat(errors, dim=1).mean(dim=1)


def midpoint_error(planes: Tensor, dim: int, step: int) -> Tensor:
    """Mean squared error of voxels as means of those `step` before and after them, (C,).

    Not a number where `planes` (C, n, Y, X) are too few, or too small.
    """
    inside = max(0, planes.shape[dim] - 2 * step)
    start = 0 if not inside else step
    before, at, after = (planes.narrow(dim, i * start, inside) for i in range(3))
    return (at - (before + after) / 2).square().flatten(1).mean(dim=1)


def anisotropy(pieces: Sequence[Tensor], factor: int) -> Tensor:
    """How much larger errors are between planes than between rows as far apart, (C,).

    From measured planes as means of their neighbours, against voxels as means of those `factor` to
    either side. Where that cannot be told, 1.
    """
    across = sum(midpoint_error(piece, 1, 1) for piece in pieces)
    within = sum(midpoint_error(piece, dim, factor) / 2 for piece in pieces for dim in (2, 3))
    return torch.as_tensor(across / within).nan_to_num(nan=1.0, posinf=1.0)
