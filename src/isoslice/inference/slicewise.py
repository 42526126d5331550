"""Volumes by independent slices, as in the paper: XZ and YZ apart, then averaged (section 3.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from isoslice.data.box import SlicePlane
from isoslice.data.grid import PlaneGrid
from isoslice.inference.passes import slices
from isoslice.inference.tiling import windowed
from isoslice.models.config import DdimSettings
from isoslice.models.diffusion.ddim import ddim_coefficients
from isoslice.models.diffusion.edm import Network
from isoslice.models.diffusion.masked import ddim, direct
from isoslice.models.diffusion.noise import noise_block
from isoslice.runtime.device import autocast

#: (known rows (N, C, H, W), mask (1, H), direction, first slice, report) -> restored (N, C, H, W)
Estimate = Callable[[Tensor, Tensor, SlicePlane, int, Callable[[float], None]], Tensor]

#: Pixels in one batch of slices.
BATCH_PIXELS = {"cpu": 2**16, "cuda": 2**20, "mps": 2**18}


@torch.inference_mode()
def restore_slicewise(
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    estimate: Estimate,
    *,
    directions: Sequence[SlicePlane] = ("XZ", "YZ"),
    multiple: int = 8,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> NDArray[np.float32]:
    """Restore every slice of each direction by itself and average the directions.

    Parameters
    ----------
    planes
        Measured planes, shape (C, n, Y, X).
    grid
        Where they lie.
    estimate
        Restores a batch of slices.
    directions
        One or both of ``XZ`` and ``YZ``.
    multiple
        Slices are padded to multiples of this: rows as hidden ones, columns by repetition.
    device
        Where `estimate` computes; the CPU by default.
    report
        Called with the fraction done.

    Returns
    -------
    Shape (C, grid.depth, Y, X); measured planes are as `estimate` left them.
    """
    device = device or torch.device("cpu")
    channels, _, height, width = planes.shape
    known = torch.zeros(channels, grid.depth, height, width)
    known[:, list(grid.known)] = torch.from_numpy(planes)
    total = torch.zeros_like(known)
    for number, plane in enumerate(directions):
        given, result = slices(known, plane), slices(total, plane)
        rows = -grid.depth % multiple
        columns = -given.shape[3] % multiple
        mask = F.pad(torch.from_numpy(grid.mask), (0, rows))[None]
        pixels = (grid.depth + rows) * (given.shape[3] + columns)
        size = max(1, BATCH_PIXELS[device.type] // pixels)
        for start in range(0, len(given), size):
            batch = given[start : start + size]

            def done(
                part: float, number: int = number, start: int = start, n: int = len(batch)
            ) -> None:
                share = (start + part * n) / len(given)  # noqa: B023
                report((number + share) / len(directions))

            padded = F.pad(batch, (0, columns, 0, 0), mode="replicate")
            padded = F.pad(padded, (0, 0, 0, rows))
            with autocast(device):
                restored = estimate(padded.to(device), mask.to(device), plane, start, done)
            restored = restored[..., : grid.depth, : given.shape[3]].float().cpu()
            result[start : start + size] += restored / len(directions)
            done(1.0)
    averaged: NDArray[np.float32] = total.numpy()
    return averaged


def ddim_estimate(
    network: Network, settings: DdimSettings, window: int, steps: int, seed: int
) -> Estimate:
    """Estimate slices by DDIM; noise depends on (seed, direction, step, voxel) alone."""
    coefficients = ddim_coefficients(steps, settings.eta, settings.timesteps)
    blended = windowed(network, window)

    def estimate(
        known: Tensor, mask: Tensor, plane: SlicePlane, start: int, report: Callable[[float], None]
    ) -> Tensor:
        count, channels, rows, columns = known.shape

        def noise(step: int) -> Tensor:
            key = ((seed * 10_007 + step) * 2 + (plane == "YZ")) % 2**63
            if plane == "XZ":
                block = noise_block(key, (channels, rows, count, columns), (0, 0, start, 0))
            else:
                block = noise_block(key, (channels, rows, columns, count), (0, 0, 0, start))
            return slices(block, plane).contiguous().to(known.device)

        return ddim(blended, known, mask, coefficients, noise, report, settings.clip)

    return estimate


def direct_estimate(network: Network, window: int) -> Estimate:
    """Estimate slices in one pass (the end-to-end U-Net)."""
    blended = windowed(network, window)

    def estimate(
        known: Tensor, mask: Tensor, plane: SlicePlane, start: int, report: Callable[[float], None]
    ) -> Tensor:
        return direct(blended, known, mask)

    return estimate
