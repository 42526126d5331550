"""Errors of rows that are measured as the planes of a stack were: its own planes are the truth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.crops import spaced_rows
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

#: Differences that are smaller shares of the noise say nothing.
NOISE_SHARE = 0.2
#: Spacings of output planes and pixels that differ by less count as the same.
SAME_SPACING = 0.02


def measured_row_errors(
    network: SpreadNetwork,
    config: ModelConfig,
    images: Sequence[NDArray[np.float32]],
    measurement: Measurement,
    device: torch.device,
    *,
    clean: bool = False,
) -> RowErrors | None:
    """Measure rows, then columns, of images as planes were, restore them, and compare.

    Arguments and result as of `calibration.row_errors`; `measurement` is that of the whole stack,
    of which as many planes are taken as fit. `clean` says that images have no noise of planes.
    """
    generator = np.random.default_rng(0)
    each = (
        _errors(network, config, rows, measurement, device, generator, clean)
        for rows in with_rows(images, measurement.pixels)
    )
    found = [errors for errors in each if errors is not None]
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
    clean: bool,
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Compare one image (C, H, W): errors and predicted ones, (C, pixels)."""
    short = shortened(measurement, image.shape[1])
    if short is None:
        return None
    truth = np.ascontiguousarray(image[:, : short.depth])
    planes = measured(truth, short, generator, clean=clean)
    grid = PlaneGrid(short.positions)
    base = make_base(torch.from_numpy(planes[:, :, None]), grid, config.softening, device)
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


def anisotropy_seen(
    pieces: Sequence[NDArray[np.float32]],
    images: Sequence[NDArray[np.float32]],
    measurement: Measurement,
    *,
    clean: bool = False,
) -> NDArray[np.float64]:
    """Compare how planes differ from the means of their neighbours with how rows do, (C,).

    Parameters
    ----------
    pieces
        Neighbouring measured planes, each (C, n, Y, X).
    images, clean
        As of `measured_row_errors`; their rows are measured as the planes were.
    measurement
        That of the stack.

    Returns
    -------
    Mean squared difference of planes over that of rows, without the noise of both; 1 where noise
    drowns them, or planes or rows are too few.
    """
    across = [_midpoints(np.moveaxis(piece, 1, 0)) for piece in pieces if piece.shape[1] > 2]
    within, grain = [], []
    for rows in with_rows(images, measurement.pixels):
        middle = _in_the_middle(measurement, rows.shape[1])
        if middle is None:
            continue
        within.append(_midpoints(np.einsum("iz,czw->icw", middle.matrix, rows.astype(np.float64))))
        grain.append(float((middle.matrix**2).sum(axis=1).mean()))
    if not across or not within:
        return np.ones(len(images[0]))
    noise = 1.5 * np.square(np.broadcast_to(np.asarray(measurement.noise), len(images[0])))
    of_planes = np.mean(across, axis=0) - noise
    of_rows = np.mean(within, axis=0) - (0 if clean else np.mean(grain)) * noise
    known = np.minimum(of_planes, of_rows) > NOISE_SHARE * noise
    return np.where(known, of_planes / np.where(known, of_rows, 1.0), 1.0)


def _in_the_middle(measurement: Measurement, height: int) -> Measurement | None:
    """Return the planes that see none but `height` rows; None if they are fewer than three."""
    reach = measurement.profile.reach
    places = tuple(p for p in measurement.positions if reach <= p <= height - 1 - reach)
    return None if len(places) < 3 else replace(measurement, positions=places, depth=height)


def _midpoints(planes: NDArray[Any]) -> NDArray[np.float64]:
    """Mean squared difference of planes (n, C, ...) from the mean of both neighbours, (C,)."""
    differences = planes[1:-1] - (planes[:-2] + planes[2:]) / 2.0
    squares = np.square(differences).mean(axis=0)
    return np.asarray(squares.reshape(len(squares), -1).mean(axis=1), np.float64)


def with_rows(
    images: Sequence[NDArray[np.float32]], pixels: float
) -> Iterator[NDArray[np.float32]]:
    """Yield images (C, H, W), then turned, with rows as far apart as output planes, in pixels."""
    for image in images:
        for turned in (image, image.swapaxes(1, 2)):
            if abs(pixels - 1) < SAME_SPACING:
                yield turned
                continue
            count = int((turned.shape[1] - 1) / pixels + 1e-9) + 1
            if count < 2:
                continue
            yield spaced_rows(turned, count, pixels)


def measured(
    rows: NDArray[np.float32],
    measurement: Measurement,
    generator: np.random.Generator,
    *,
    clean: bool = False,
) -> NDArray[np.float32]:
    """Measure planes (C, n, W) of rows (C, D, W), with as much noise as the stack's have.

    Rows have that noise themselves, which a profile averages; so the rest is added.
    """
    matrix = measurement.matrix
    noise = np.broadcast_to(np.asarray(measurement.noise), len(rows))
    added = np.sqrt(np.clip(1.0 - (not clean) * (matrix**2).sum(axis=1), 0, None))
    planes = np.einsum("iz,czw->ciw", matrix, rows.astype(np.float64))
    planes += noise[:, None, None] * added[:, None] * generator.normal(size=planes.shape)
    result: NDArray[np.float32] = planes.astype(np.float32)
    return result
