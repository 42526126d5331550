"""What prediction asks of a recipe."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isoslice.data.grid import PlaneGrid
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.models.choices import Mode

#: Gaussian noise of the images' shape and device; the argument numbers sampling steps.
Noise = Callable[[int], Tensor]


class Recipe(Protocol):
    """How a model of one kind restores slices, volumes and rows."""

    @property
    def restores_blocks(self) -> bool:
        """Whether volumes larger than memory can be restored, block by block."""

    @property
    def memory_is_known(self) -> bool:
        """Whether `memory.memory_needed` was measured on it."""

    @property
    def most_accurate(self) -> Mode:
        """The mode with the highest PSNR."""

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Choose mode, steps and detail where they are not given.

        Raises
        ------
        SettingsError
            If the recipe cannot do what is asked for.
        """

    def restore_planes(
        self,
        network: nn.Module,
        planes: NDArray[np.float32],
        grid: PlaneGrid,
        options: ResolvedOptions,
        *,
        device: torch.device,
        report: Callable[[float], None],
    ) -> NDArray[np.float32]:
        """Fill in the planes between measured ones.

        Parameters
        ----------
        network
            On `device`, in evaluation mode.
        planes
            Measured planes, normalised, (C, n, Y, X).
        grid
            Where they lie.
        options
            Resolved.
        device, report
            Where to compute; called with the fraction done.

        Returns
        -------
        Shape (C, grid.depth, Y, X), with measured planes as they are in `planes`.
        """

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Fill in hidden rows of images (N, C, H, W), which are 0; `masks` (N, H) are known."""
