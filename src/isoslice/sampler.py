"""From known planes to a volume: one residual, denoised through XZ and YZ slices in turn.

The paper (section 3.3) samples XZ slices and YZ slices apart and averages the two volumes. Here
both look at one volume and take turns, so that they agree at the end and a fifth of the
evaluations is enough. The first two evaluations, one per direction, see no noise: combined they
are the mean that ``mode="mean"`` returns, that sampling starts from, and onto which a part of the
sample's detail is put at the end (see `detail`).

A pass over XZ slices touches each y alone, one over YZ slices each x: a volume can be cut along
the other axis without halos or seams.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.config import SamplerSettings
from isoslice.detail import DEFAULT_DETAIL, blend_detail
from isoslice.device import autocast
from isoslice.diffusion import NO_SIGNAL, Network, denoise, noise_schedule
from isoslice.geometry import PlaneGrid
from isoslice.interpolate import interpolate
from isoslice.noise import noise_block

Plane = Literal["XZ", "YZ"]

#: Dimension of a (C, Z, Y, X) volume that counts the slices of each plane.
_SLICE_DIM: dict[Plane, int] = {"XZ": 2, "YZ": 3}

#: Pixels in one batch of slices; what bounds memory beside the volume itself.
BATCH_PIXELS = {"cpu": 2**16, "cuda": 2**22, "mps": 2**19}


def slices(volume: Tensor, plane: Plane) -> Tensor:
    """View a volume (C, Z, Y, X) as its slices (N, C, Z, W); writing to it writes the volume."""
    return volume.movedim(_SLICE_DIM[plane], 0)


def _batches(count: int, pixels: int, device: torch.device) -> Iterator[slice]:
    size = max(1, BATCH_PIXELS[device.type] // pixels)
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def denoise_slices(
    network: Network,
    residual: Tensor,
    base: Tensor,
    mask: Tensor,
    plane: Plane,
    sigma: float,
    sigma_data: float,
    device: torch.device,
) -> Iterator[tuple[Tensor, Tensor]]:
    """Denoise a volume slice by slice.

    Parameters
    ----------
    network
        The denoiser, on `device`, in evaluation mode.
    residual, base
        Noisy residual and interpolated volume, (C, Z, Y, X), on the CPU.
    mask
        Known planes, shape (Z,).
    plane
        Direction of the slices.
    sigma, sigma_data
        Noise level of `residual`, and the model's residual deviation.
    device
        Where to compute.

    Yields
    ------
    For each batch of slices, a view into `residual` and the estimate of it, (n, C, Z, W).
    """
    residual_slices, base_slices = slices(residual, plane), slices(base, plane)
    level = torch.tensor([sigma], device=device)
    pixels = residual_slices.shape[2] * residual_slices.shape[3]
    for batch in _batches(len(residual_slices), pixels, device):
        view = residual_slices[batch]
        with autocast(device):
            estimate = denoise(
                network,
                view.to(device),
                base_slices[batch].to(device),
                mask.to(device).expand(len(view), -1),
                level,
                sigma_data,
            )
        yield view, estimate.float().to(residual.device)


def combination_weight(power: float, agreement: float) -> float:
    """Weight of each direction's mean in the best linear combination of the two.

    Each direction sees one slice through a voxel and returns the expected residual given that
    slice: r_xz, r_yz. An expectation is uncorrelated with its own error, so E[r r_xz] = E[r_xz^2]
    is the `power` v of an estimate, which is known although r is not. With the `agreement`
    c = E[r_xz r_yz], w (r_xz + r_yz) has its least squared error at w = v / (v + c): 1/2 where
    both say the same, 1 where they have nothing in common.
    """
    if power <= 0:
        return 0.5
    return power / (power + min(max(agreement, 0.0), power))


@torch.inference_mode()
def restore_distilled(
    network: Network,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    sigma_data: float,
    settings: SamplerSettings,
    sigma_second: float,
    *,
    seed: int = 0,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> NDArray[np.float32]:
    """Fill in planes by a distilled network: one pass over XZ slices, one over YZ slices.

    The first starts from noise alone; the second from the first's result and what is left of that
    noise at the level `sigma_second` (in units of `sigma_data`). Other arguments and the result
    are as in `restore`.
    """
    device = device or torch.device("cpu")
    base, mask = base_volume(planes, grid), torch.from_numpy(grid.mask)
    first, second = settings.sigma_max * sigma_data, sigma_second * sigma_data
    residual = torch.zeros_like(base)
    add_noise(residual, mask, first, seed)
    done = 0.0
    for plane, sigma, kept in (("XZ", first, second / first), ("YZ", second, 0.0)):
        across = residual.shape[_SLICE_DIM[cast("Plane", plane)]]
        for view, estimate in denoise_slices(
            network, residual, base, mask, cast("Plane", plane), sigma, sigma_data, device
        ):
            view.copy_(torch.lerp(estimate, view, kept))
            done += len(view) / across
            report(min(done / 2, 1.0))
    result: NDArray[np.float32] = residual.add_(base).numpy()
    result[:, list(grid.known)] = planes
    return result


def base_volume(planes: NDArray[np.float32], grid: PlaneGrid) -> Tensor:
    """Interpolate planes (C, n, Y, X) linearly: (C, grid.depth, Y, X)."""
    return torch.from_numpy(np.stack([interpolate(channel, grid) for channel in planes]))


def add_noise(residual: Tensor, mask: Tensor, sigma: float, seed: int) -> None:
    """Add noise to the unmeasured planes of a (C, Z, Y, X) volume, in place."""
    c, z, y, x = residual.shape
    for index in range(z):  # plane by plane: no second volume for the noise
        if not mask[index]:
            noise = torch.from_numpy(noise_block(seed, (c, 1, y, x), (0, index, 0, 0)))
            residual[:, index] += sigma * noise[:, 0]


@torch.inference_mode()
def restore(
    network: Network,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    sigma_data: float,
    settings: SamplerSettings,
    *,
    evaluations: int = 5,
    mode: Literal["sample", "mean"] = "sample",
    detail: float = DEFAULT_DETAIL,
    seed: int = 0,
    device: torch.device | None = None,
    report: Callable[[float], None] = lambda fraction: None,
) -> NDArray[np.float32]:
    """Fill in the planes between the measured ones.

    Parameters
    ----------
    network
        The denoiser, on `device`, in evaluation mode.
    planes
        Measured planes, normalised, shape (C, n, Y, X).
    grid
        Where they lie.
    sigma_data, settings
        The model's residual deviation and noise levels.
    evaluations
        Network evaluations per voxel: two for the mean, the rest take turns in sampling.
    mode
        ``mean``: the expected volume (smooth, highest PSNR). ``sample``: one plausible volume.
    detail
        How much of the sample's detail is kept, from 0 (the mean) to 1; see `detail.blend_detail`.
    seed
        Of the noise field.
    device
        Where to compute; the CPU by default.
    report
        Called with the fraction done.

    Returns
    -------
    Shape (C, grid.depth, Y, X). Measured planes are bit for bit those of `planes`.
    """
    device = device or torch.device("cpu")
    base, mask = base_volume(planes, grid), torch.from_numpy(grid.mask)
    total = 2 if mode == "mean" else evaluations
    done = 0.0

    def denoised(plane: Plane, sigma: float) -> Iterator[tuple[Tensor, Tensor]]:
        nonlocal done
        across = residual.shape[_SLICE_DIM[plane]]
        for view, estimate in denoise_slices(
            network, residual, base, mask, plane, sigma, sigma_data, device
        ):
            yield view, estimate
            done += len(view) / across
            report(min(done / total, 1.0))

    # The mean: what each direction expects, averaged.
    residual = torch.zeros_like(base)
    power = agreement = 0.0
    for view, estimate in denoised("XZ", NO_SIGNAL):
        view.copy_(estimate)
        power += float(estimate.square().sum(dtype=torch.float64))
    for view, estimate in denoised("YZ", NO_SIGNAL):
        power += float(estimate.square().sum(dtype=torch.float64))
        agreement += float((estimate * view).sum(dtype=torch.float64))
        view.add_(estimate)  # what the slices hold is not looked at: no signal
    residual *= combination_weight(power / 2, agreement)
    if mode == "sample" and evaluations > 2:
        mean = residual.clone()
        levels = noise_schedule(
            evaluations - 2,
            settings.sigma_max * sigma_data,
            settings.sigma_min * sigma_data,
            settings.rho,
        )
        add_noise(residual, mask, levels[0], seed)
        for step, (sigma, following) in enumerate(pairwise(levels)):
            for view, estimate in denoised(("XZ", "YZ")[step % 2], sigma):
                # Euler's step along the probability flow (EDM equation 4).
                view.copy_(torch.lerp(estimate, view, settings.retain * following / sigma))
        blend_detail(mean, residual, detail, settings.detail_sigma, settings.detail_gain)
    result: NDArray[np.float32] = residual.add_(base).numpy()
    result[:, list(grid.known)] = planes
    return result
