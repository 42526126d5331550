"""The interpolated volume, never in memory as a whole: any part of it is made when it is needed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from isoslice.data.box import Region, Triple
from isoslice.data.grid import PlaneGrid
from isoslice.inference.consistency import Correction
from isoslice.models.diffusion.variance_stabilization import stretch

#: Intensities beyond which half precision would not do for the residual.
HALF = 1000.0


@dataclass(frozen=True)
class Base:
    """Measured planes, stretched, and where rows of the volume lie between them.

    Attributes
    ----------
    planes
        Shape (C, n, Y, X).
    lower, share
        Of each row: the plane below it, and its distance from there, as a share of the interval.
    mask
        Share of a measured plane in each row: 1 where one was measured.
    measured
        How planes were measured, for the network, (1, 2); see `edm.denoise`.
    correction
        Has estimates agree with planes that are no points.
    """

    planes: Tensor
    lower: Tensor
    share: Tensor
    mask: Tensor
    measured: Tensor | None = None
    correction: Correction | None = None

    @property
    def shape(self) -> Triple:
        """Length along Z, Y and X."""
        return len(self.lower), self.planes.shape[2], self.planes.shape[3]

    def part(self, place: Region) -> Tensor:
        """Interpolate linearly: (C, z, y, x), a new tensor."""
        z, y, x = place
        planes, lower = self.planes[:, :, y, x], self.lower[z]
        below, above = planes.index_select(1, lower), planes.index_select(1, lower + 1)
        return below.lerp_(above, self.share[z, None, None])

    def window(self, place: Region) -> Base:
        """Return a view of a part."""
        z, y, x = place
        return Base(self.planes[:, :, y, x], self.lower[z], self.share[z], self.mask[z])


def residual_dtype(largest: float) -> torch.dtype:
    """Return half precision, if the largest intensity (stretched, of either sign) allows."""
    return torch.float16 if largest < HALF else torch.float32


def make_base(
    planes: Tensor,
    grid: PlaneGrid,
    softening: float | None,
    device: torch.device,
    rows: slice = slice(None),
) -> Base:
    """Stretch planes (C, n, Y, X), normalised, and interpolate `rows` of their grid from them.

    On `device`, wherever they are.
    """
    lower, share = grid.bracket(rows)
    return Base(
        stretch(planes.to(device), softening),
        torch.from_numpy(lower).to(device),
        torch.from_numpy(share.astype(np.float32)).to(device),
        torch.from_numpy(grid.shares[rows]),
    )
