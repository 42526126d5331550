"""Errors of rows that are measured as the planes of a stack were: its own planes are the truth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.data.measurement import Measurement
from isoslice.inference.consistency import correction_for
from isoslice.inference.interpolated import make_base
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise
from isoslice.models.diffusion.variance_stabilization import unstretch, unstretch_slope
from isoslice.models.networks.error_head import SpreadNetwork
from isoslice.models.reliability.calibration import RowErrors
from isoslice.runtime.device import autocast


def measured_row_errors(
    network: SpreadNetwork,
    config: ModelConfig,
    images: Sequence[NDArray[np.float32]],
    measurement: Measurement,
    device: torch.device,
) -> RowErrors | None:
    """Measure rows, then columns, of images as planes were, restore them, and compare.

    Arguments and result as of `calibration.row_errors`; `measurement` is that of the whole stack,
    of which as many planes are taken as fit.
    """
    generator = np.random.default_rng(0)
    found = [
        errors
        for image in images
        for turned in (image, image.swapaxes(1, 2))
        if (errors := _errors(network, config, turned, measurement, device, generator)) is not None
    ]
    if not found:
        return None
    error, spread = (torch.cat(parts, dim=1) for parts in zip(*found, strict=True))
    return RowErrors(error, spread)


def shortened(measurement: Measurement, height: int) -> Measurement | None:
    """Return the first planes of a measurement, as many as fit into `height` rows; two at least."""
    places = [p for p in measurement.positions if p <= height - 1]
    if len(places) < 2:
        return None
    depth = PlaneGrid(tuple(places)).depth
    return replace(measurement, positions=tuple(places), depth=depth)


@torch.inference_mode()
def _errors(
    network: SpreadNetwork,
    config: ModelConfig,
    image: NDArray[np.float32],
    measurement: Measurement,
    device: torch.device,
    generator: np.random.Generator,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Compare one image (C, H, W): errors and predicted ones, (C, pixels)."""
    short = shortened(measurement, image.shape[1])
    if short is None:
        return None
    truth = np.ascontiguousarray(image[:, : short.depth])
    planes = measured(truth, short, generator)
    grid = PlaneGrid(short.positions)
    base = make_base(planes[:, :, None], grid, config.softening, device)
    linear = base.part((slice(None), slice(None), slice(None))).movedim(2, 0)
    told = torch.tensor([short.levels(config.sigma_data)], device=device)
    level = torch.tensor([NO_SIGNAL], device=device)
    nothing, rows = torch.zeros_like(linear), base.mask[None].to(device)
    with autocast(device):
        mean, spread = (
            denoise(each, nothing, linear, rows, level, config.sigma_data, told).float()
            for each in (network.denoiser, network)
        )
    correction = correction_for(short, config.softening, device)
    if correction is not None:
        mean = correction(mean, linear, base.planes.movedim(2, 0))
    restored = linear + mean
    error = unstretch(restored, config.softening) - torch.from_numpy(truth)[None].to(device)
    predicted = spread * unstretch_slope(restored, config.softening)
    return error[0].flatten(1).cpu(), predicted[0].flatten(1).cpu()


def measured(
    rows: NDArray[np.float32], measurement: Measurement, generator: np.random.Generator
) -> NDArray[np.float32]:
    """Measure planes (C, n, W) of rows (C, D, W), with as much noise as the stack's have.

    Rows have that noise themselves, which a profile averages; so the rest is added.
    """
    matrix = measurement.matrix
    noise = np.broadcast_to(np.asarray(measurement.noise), len(rows))
    added = np.sqrt(np.clip(1 - (matrix**2).sum(axis=1), 0, None))
    planes = np.einsum("iz,czw->ciw", matrix, rows.astype(np.float64))
    planes += noise[:, None, None] * added[:, None] * generator.normal(size=planes.shape)
    result: NDArray[np.float32] = planes.astype(np.float32)
    return result
