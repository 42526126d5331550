"""How much of an adaptation to keep: judged on what the stack itself hides and shows.

A few steps on a few planes may also make a network worse. So the weights before and after are
averaged (Wortsman et al. 2022, arXiv 2109.01903), and the share of the new ones that restores best
is kept: none, if that is best. What is restored are hidden rows of planes that were held out, at
the distance of the planes, and hidden planes, at twice that distance: rows alone know nothing of a
specimen that looks otherwise along Z. A share is as good as the mean of both says, if neither is
worse than before; and none is trusted that is larger than one which restores worse.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from isoslice.data.crops import draw_crops
from isoslice.data.masking import even_rows
from isoslice.data.planes import PlaneStack
from isoslice.data.subsampling import evenly_spaced
from isoslice.inference.rows import restore_rows
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise
from isoslice.models.diffusion.masked_example import draw_example
from isoslice.models.diffusion.variance_stabilization import unstretch
from isoslice.models.networks.denoiser import Denoiser
from isoslice.runtime.device import autocast
from isoslice.runtime.progress import Progress

#: Shares of the new weights that are tried beside none.
SHARES = (0.25, 0.5, 1.0)
#: Crops of all stacks that are restored for each, and at once.
CROPS, BATCH = 128, 32
#: XZ slices of all stacks and as many YZ slices, that planes are restored in; most rows and columns
#: of each.
SLICES, MOST_ROWS, MOST_COLUMNS = 24, 256, 2048
#: Planes that are enough to hide some.
LEAST_PLANES = 5
#: Gain that is worth another network, in dB.
LEAST_GAIN = 0.01


@dataclass(frozen=True)
class Judged:
    """What networks are judged by, of one channel of a stack.

    Attributes
    ----------
    config
        The model's settings in its units, by which rows are hidden.
    held_out
        Planes that no network has seen.
    planes
        All planes in their order; None if some are missing, unevenly spaced, blurred, or as near as
        pixels.
    factor
        Distance of planes, in rows.
    """

    config: ModelConfig
    held_out: PlaneStack
    planes: PlaneStack | None
    factor: int


@dataclass(frozen=True)
class Blend:
    """A network between two.

    Attributes
    ----------
    network
        In evaluation mode.
    share
        Of the new weights, from 0 to 1.
    rows, planes
        PSNR on hidden rows and on hidden planes over that of the old network in dB, the mean of all
        stacks; the latter NaN if no planes could be hidden.
    """

    network: nn.Module
    share: float
    rows: float = 0.0
    planes: float = math.nan

    @property
    def gain(self) -> float:
        """The mean of both gains; of a loss and a gain the loss."""
        gains = [self.rows] if math.isnan(self.planes) else [self.rows, self.planes]
        return min(gains) if min(gains) < 0 else sum(gains) / len(gains)


def blended(old: nn.Module, new: nn.Module, share: float) -> nn.Module:
    """Average the weights of two networks, and normalise them again."""
    network = copy.deepcopy(old)
    with torch.no_grad():
        pairs = zip(network.parameters(), new.parameters(), strict=True)
        for weight, other in pairs:
            weight.lerp_(other.to(weight), share)
    if isinstance(network, Denoiser):
        network.renormalize()
    return network.eval()


def best_blend(
    old: nn.Module,
    new: nn.Module,
    judged: Sequence[Judged],
    device: torch.device,
    progress: Progress | None = None,
) -> Blend:
    """Find the share of new weights that restores best.

    Parameters
    ----------
    old, new
        Networks of one shape.
    judged, device
        What they are judged by, and where to compute.
    progress
        Hears how far it is.
    """
    tell = partial((progress or Progress()).update, "comparing it with the model as it was")
    tell(0.0)
    before = _errors(old, judged, device)
    best = Blend(old, 0.0)
    for tried, share in enumerate(SHARES, 1):
        tell(tried / (1 + len(SHARES)))
        network = blended(old, new, share)
        after = _errors(network, judged, device)
        rows, planes = (_gain(*pair) for pair in zip(before, after, strict=True))
        found = Blend(network, share, rows, planes)
        if found.gain < 0:  # few planes may flatter larger ones by chance
            break
        if found.gain > max(best.gain, LEAST_GAIN):
            best = found
    tell(1.0)
    return best


def _errors(
    network: nn.Module, judged: Sequence[Judged], device: torch.device
) -> tuple[list[float], list[float]]:
    """Measure mean squared errors on hidden rows, and on hidden planes, of each channel."""
    network = network.to(device)
    crops, slices = (max(1, count // len(judged)) for count in (CROPS, SLICES))
    rows = [row_error(network, each.held_out, each.config, crops, device) for each in judged]
    planes = [
        plane_error(network, each.planes, each.config, each.factor, slices, device)
        for each in judged
        if each.planes is not None and len(each.planes.data) >= LEAST_PLANES
    ]
    return rows, planes


def _gain(before: Sequence[float], after: Sequence[float]) -> float:
    """Return the mean gain of PSNR in dB; NaN of nothing."""
    gains = [10 * math.log10(a / b) for a, b in zip(before, after, strict=True)]
    return sum(gains) / len(gains) if gains else math.nan


@torch.inference_mode()
def row_error(
    network: nn.Module, stack: PlaneStack, config: ModelConfig, count: int, device: torch.device
) -> float:
    """Measure the mean squared error of the mean on hidden rows of so many crops of planes.

    `config` has the units of the stack, and says how rows are hidden.
    """
    generator, training = torch.Generator().manual_seed(0), config.training
    square, pixels = 0.0, 0
    for first in range(0, count, BATCH):
        some = min(BATCH, count - first)
        images = draw_crops(
            [stack], some, training.crop, generator, row_spacing=training.row_spacing
        ).to(device)
        example = draw_example(images, config, generator)
        residual = _mean(network, example.base, example.masks, example.measured, config.sigma_data)
        restored = unstretch(example.base + residual, config.softening)
        where = example.hidden.expand_as(images)
        square += float((restored - images)[where].square().sum())
        pixels += int(where.sum())
    return max(square / max(pixels, 1), 1e-12)


@torch.inference_mode()
def plane_error(
    network: nn.Module,
    stack: PlaneStack,
    config: ModelConfig,
    factor: int,
    count: int,
    device: torch.device,
) -> float:
    """Measure the mean squared error on every second plane, in XZ and in YZ slices.

    Parameters
    ----------
    network, config
        In evaluation mode on `device`; the model's settings, in the units of the planes.
    stack, factor
        Planes of one channel, so many rows apart.
    count
        Of XZ slices, and of YZ slices.
    device
        Where to compute.
    """
    whole = (len(stack.data) - 1) // 2 * 2 + 1
    most = min(whole, max(LEAST_PLANES, MOST_ROWS // factor) // 2 * 2 + 1)
    first = (whole - most) // 2
    planes = stack.data[first : first + most, 0]
    depth = (len(planes) - 1) * factor + 1
    known = even_rows(depth, 2 * factor)
    errors = []
    for axis in (1, 2):
        chosen = evenly_spaced(planes.shape[axis], count)
        slices = stack.normalization.apply(planes.take(chosen, axis)[None])[0]
        slices = np.moveaxis(slices, axis, 0)
        aside = max(0, slices.shape[2] - MOST_COLUMNS) // 2
        slices = slices[..., aside : aside + MOST_COLUMNS]
        images = torch.zeros(len(slices), 1, depth, slices.shape[2], device=device)
        images[:, 0, ::factor] = torch.from_numpy(np.ascontiguousarray(slices)).to(device)
        masks = known.to(device).expand(len(images), -1)
        restored = restore_rows(network, config, images, masks, mode="mean")
        hidden = slice(factor, None, 2 * factor)
        errors.append((restored - images)[:, 0, hidden].flatten())
    return max(float(torch.cat(errors).square().mean()), 1e-12)


def _mean(
    network: nn.Module, base: Tensor, masks: Tensor, measured: Tensor | None, scale: float
) -> Tensor:
    """Estimate the residual without any noise, (N, C, H, W)."""
    level = torch.tensor([NO_SIGNAL], device=base.device)
    with autocast(base.device):
        nothing = torch.zeros_like(base)
        return denoise(network, nothing, base, masks, level, scale, measured).float()
