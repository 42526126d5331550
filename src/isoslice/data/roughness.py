"""Roughness of images, error of linear interpolation, anisotropy: all from measured planes."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from isoslice.data.masking import even_rows, fill_rows


def roughness(planes: Tensor) -> Tensor:
    """Compute the mean absolute gradient along Y and X of planes (C, n, Y, X), shape (C, n)."""
    along = [planes.diff(dim=dim).abs().flatten(2) for dim in (2, 3)]
    return torch.cat(along, dim=2).mean(dim=2)


def linear_error(planes: Tensor, factor: int) -> Tensor:
    """Compute the MSE of linear interpolation within planes (C, n, Y, X), shape (C,).

    Of every `factor` rows, then columns, all but one are hidden and interpolated. NaN where planes
    are smaller than `factor`.
    """
    errors = []
    for images in (planes, planes.transpose(2, 3)):
        images = images[:, :, : (images.shape[2] - 1) // factor * factor + 1]
        known = even_rows(images.shape[2], factor).to(images.device)
        filled = fill_rows(images, known.expand(len(images), -1))
        errors.append((filled - images)[:, :, ~known].square().flatten(1))
    return torch.cat(errors, dim=1).mean(dim=1)


def midpoint_error(planes: Tensor, dim: int, step: int) -> Tensor:
    """Compute the MSE of the mean of two neighbours at ±`step` along `dim`, shape (C,).

    NaN where `planes` (C, n, Y, X) are too few or too small.
    """
    inside = max(0, planes.shape[dim] - 2 * step)
    start = 0 if not inside else step
    before, at, after = (planes.narrow(dim, i * start, inside) for i in range(3))
    middle = (before + after).div_(2)
    return torch.sub(at, middle, out=middle).square_().flatten(1).mean(dim=1)


def anisotropy(pieces: Sequence[Tensor], factor: int) -> Tensor:
    """Compute the ratio of midpoint errors along Z to those as far apart in Y and X, shape (C,).

    Measured planes are predicted as means of their neighbours, voxels within planes as means of
    those at ±`factor`. 1 where it is undefined.
    """
    across = sum(midpoint_error(piece, 1, 1) for piece in pieces)
    within = sum(midpoint_error(piece, dim, factor) / 2 for piece in pieces for dim in (2, 3))
    return torch.as_tensor(across / within).nan_to_num(nan=1.0, posinf=1.0)
