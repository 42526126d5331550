"""The measured planes of a frame, normalised, and the interpolation between them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Region
from isoslice.data.grid import PlaneGrid
from isoslice.inference.interpolated import Base, make_base


class MeasuredPlanes(Protocol):
    """Measured planes to restore from."""

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all of them, (C, n, Y, X)."""

    def read(self, place: Region) -> NDArray[np.float32]:
        """Read a part, normalised, (C, n, y, x)."""

    def base(self, place: Region, softening: float | None, device: torch.device) -> Base:
        """Interpolate a part of the volume linearly; see `interpolated.Base`."""


@dataclass
class PlanesInMemory:
    """Planes (C, n, Y, X), normalised, on any device, and where they lie; see `MeasuredPlanes`."""

    planes: Tensor
    grid: PlaneGrid
    _base: tuple[torch.device, Base] | None = field(default=None)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape of all of them."""
        c, n, y, x = self.planes.shape
        return c, n, y, x

    def read(self, place: Region) -> NDArray[np.float32]:
        """Copy a part."""
        part: NDArray[np.float32] = self.planes[(slice(None), *place)].contiguous().cpu().numpy()
        return part

    def base(self, place: Region, softening: float | None, device: torch.device) -> Base:
        """Return a view of one interpolation, which is made once."""
        if self._base is None or self._base[0] != device:
            self._base = device, make_base(self.planes, self.grid, softening, device)
        return self._base[1].window(place)
