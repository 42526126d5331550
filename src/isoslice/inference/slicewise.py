"""Volumes by independent slices, as in the paper: XZ and YZ apart, then averaged (section 3.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

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
BATCH_PIXELS = {"cpu": 2**16, "cuda": 2**20, "large cuda": 2**20, "mps": 2**18}


def batch_size(pixels: int, device: str) -> int:
    """Say how many slices of so many pixels make a batch."""
    return max(1, BATCH_PIXELS[device] // pixels)


@dataclass(frozen=True)
class Slab:
    """Measured planes of a slab, whose slices are to be restored.

    Attributes
    ----------
    planes, grid
        Normalised, (C, n, y, x); and where they lie.
    plane
        Direction of the slices.
    first
        Number of the slab's first slice in the volume: a multiple of `batch_size`.
    """

    planes: NDArray[np.float32]
    grid: PlaneGrid
    plane: SlicePlane
    first: int = 0


@torch.inference_mode()
def run_slices(
    estimate: Estimate,
    slab: Slab,
    total: Tensor,
    *,
    share: float,
    multiple: int,
    device: torch.device,
    report: Callable[[float], None] = lambda fraction: None,
) -> None:
    """Restore the slices of a slab by themselves, and add a share of them to `total`, in place.

    Parameters
    ----------
    estimate
        Restores a batch of slices.
    slab
        What is known of them.
    total
        Shape (C, grid.depth, y, x).
    share
        What the estimates are multiplied by.
    multiple
        Slices are padded to multiples of this: rows as hidden ones, columns by repetition.
    device
        Where `estimate` computes.
    report
        Called with the fraction done.
    """
    depth, plane = slab.grid.depth, slab.plane
    known = torch.zeros(len(slab.planes), depth, *slab.planes.shape[2:])
    known[:, list(slab.grid.known)] = torch.from_numpy(slab.planes)
    given, result = slices(known, plane), slices(total, plane)
    width = given.shape[3]
    rows, columns = -depth % multiple, -width % multiple
    mask = F.pad(torch.from_numpy(slab.grid.mask), (0, rows))[None]
    size = batch_size(depth * width, device.type)
    for start in range(0, len(given), size):
        batch = given[start : start + size]

        def done(part: float, start: int = start, count: int = len(batch)) -> None:
            report((start + part * count) / len(given))

        padded = F.pad(batch, (0, columns, 0, 0), mode="replicate")
        padded = F.pad(padded, (0, 0, 0, rows))
        with autocast(device):
            restored = estimate(padded.to(device), mask.to(device), plane, slab.first + start, done)
        restored = restored[..., :depth, :width].float().to(total.device)
        result[start : start + size] += share * restored
        done(1.0)


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
