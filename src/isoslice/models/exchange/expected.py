"""Restore the expected volume of a coarse stack: all that a package's program computes.

A package holds what is in this file, with what that needs of others (see `architecture`), and has
no isoslice at hand. Constants that layers above decide on are said again here; tests hold them to
be the same.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from isoslice.models.diffusion.variance_stabilization import stretch, unstretch
from isoslice.models.exchange.measured_units import measured_units
from isoslice.models.networks.denoiser import Denoiser

#: Percentiles of a stack's intensities that become 0 and 1, where the model has no fixed ones.
PERCENTILES = (0.1, 99.9)
#: Weight of each direction's estimate in their sum: each sees one slice through a voxel.
WEIGHT = 0.57
#: What the denoiser is told if there is no signal, only planes: it returns the mean then.
NO_SIGNAL = 1.5
#: Pixels of slices that are computed at once; what bounds memory beside the volume itself.
BATCH_PIXELS = 2**18


class ExpectedVolume(nn.Module):
    """Fill in the planes between those of a coarse stack with their expected intensities.

    Linear interpolation, and what a network expects it to be wrong by, seen in XZ slices and in YZ
    slices. Planes that were measured come back as they are.

    Parameters
    ----------
    widths, blocks_down, blocks_up, channels, measured
        Of the network; see `Denoiser`.
    sigma_data
        Standard deviation of what interpolation is wrong by, normalised.
    factor
        Planes of the volume for each of the stack, k: plane i becomes plane i k.
    softening
        Constant of the stretch of intensities; None for no stretch. See `stretch`.
    per_stack
        Of a model of many specimens, for which both are measured on each stack: how rows are
        hidden for that, see `measured_units`.
    intensities
        Those that become 0 and 1; by default percentiles of each stack.
    """

    def __init__(
        self,
        widths: Sequence[int],
        blocks_down: Sequence[int],
        blocks_up: Sequence[int],
        sigma_data: float,
        factor: int,
        channels: int = 1,
        measured: bool = False,
        softening: float | None = None,
        per_stack: Mapping[str, Any] | None = None,
        intensities: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        shape = tuple(widths), tuple(blocks_down), tuple(blocks_up)
        self.denoiser = Denoiser(channels, *shape, measured)
        self.sigma_data, self.softening, self.per_stack = sigma_data, softening, per_stack
        self.factor, self.intensities, self.channels = factor, intensities, channels

    def forward(self, stacks: Tensor) -> Tensor:
        """(N, C, n, Y, X) -> (N, C, (n - 1) k + 1, Y, X), float32, on the same scale."""
        # A model of many specimens has units for each channel that it restores by itself.
        size = stacks.shape[1] if self.per_stack is None else self.channels
        return torch.stack(
            [torch.cat([self.restore(c) for c in stack.float().split(size)]) for stack in stacks]
        )

    def restore(self, stack: Tensor) -> Tensor:
        """Restore one stack, (C, n, Y, X)."""
        count, factor = stack.shape[1], self.factor
        if count < 2:
            raise ValueError(f"got {count} plane, expected at least two to fill in between")
        low, high = self.limits(stack)
        normalised = (stack - low) / (high - low)
        softening, scale = self.units(normalised)
        planes = stretch(normalised, softening)

        rows = torch.arange((count - 1) * factor + 1, device=stack.device)
        below = (rows // factor).clamp(max=count - 2)
        share = (rows - below * factor) / factor
        volume = planes[:, below].lerp(planes[:, below + 1], share[:, None, None])

        known = rows % factor == 0
        change = torch.zeros_like(volume)
        for axis in (2, 3):  # XZ slices lie along Y, YZ slices along X
            slices, changes = volume.movedim(axis, 0), change.movedim(axis, 0)
            size = max(1, BATCH_PIXELS // slices[0, 0].numel())
            for first in range(0, len(slices), size):
                part = slice(first, first + size)
                changes[part] += WEIGHT * scale * self.expected_error(slices[part], known)

        volume = unstretch(volume + change, softening) * (high - low) + low
        volume[:, ::factor] = stack
        return volume

    def expected_error(self, images: Tensor, known: Tensor) -> Tensor:
        """Estimate what slices (N, C, Z, W) are wrong by, in its units, from `known` rows (Z,)."""
        rows = known.to(images.dtype)[:, None].expand(len(images), 1, -1, images.shape[3])
        inputs = torch.cat([torch.zeros_like(images), images * 2 - 1, rows], dim=1)
        estimate: Tensor = self.denoiser(inputs, images.new_full((1,), NO_SIGNAL))
        return estimate * (1 - rows)

    def limits(self, stack: Tensor) -> tuple[Tensor, Tensor]:
        """Return the intensities of each channel that become 0 and 1, (C, 1, 1, 1) each."""
        if self.intensities is not None:
            pairs = [stack.new_tensor(self.intensities)] * len(stack)
        else:
            pairs = [percentiles(channel) for channel in stack]
        low, high = torch.stack(pairs).T[:, :, None, None, None]
        return low, high

    def units(self, planes: Tensor) -> tuple[float | None, float]:
        """Return softening and standard deviation of the residual for a stack, normalised."""
        measured = None
        if self.per_stack is not None:
            measured = measured_units(planes, **self.per_stack)
        return measured or (self.softening, self.sigma_data)


def percentiles(values: Tensor) -> Tensor:
    """Return `PERCENTILES`, interpolated between ranks; of almost constant values, the extremes."""
    ordered = values.flatten().sort().values
    found = []
    for percentile in PERCENTILES:
        place = (len(ordered) - 1) * percentile / 100
        below = math.floor(place)
        above = min(below + 1, len(ordered) - 1)
        found.append(ordered[below].lerp(ordered[above], place - below))
    if found[1] <= found[0]:
        found = [ordered[0], ordered[-1]]
    if found[1] <= found[0]:
        found[1] = found[0] + 1
    return torch.stack(found)
