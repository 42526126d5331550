"""The paper's recipes: masked slice diffusion, and the end-to-end U-Net; slices by themselves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isoslice.data.grid import PlaneGrid
from isoslice.errors import SettingsError
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.inference.recipes.protocol import Noise
from isoslice.inference.slicewise import (
    Estimate,
    ddim_estimate,
    direct_estimate,
    restore_slicewise,
)
from isoslice.models.choices import Mode
from isoslice.models.config import EndToEndConfig, MsdsrConfig
from isoslice.models.diffusion.ddim import ddim_coefficients
from isoslice.models.diffusion.masked import ddim, direct


@dataclass(frozen=True)
class MaskedDiffusionRecipe:
    """MSDSR (paper, section 3); see `protocol.Recipe`."""

    config: MsdsrConfig
    restores_blocks: bool = False
    memory_is_known: bool = False
    most_accurate: Mode = "sample"

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Draw a sample, of 200 DDIM steps by default."""
        sampler = self.config.sampler
        _check(options, self.config.recipe, "sample")
        steps = sampler.steps if options.steps is None else options.steps
        count = len(ddim_coefficients(steps, sampler.eta, sampler.timesteps))
        return options.resolved("sample", count, None)

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
        """Restore XZ and YZ slices by DDIM and average both; see `slicewise.ddim_estimate`."""
        sampler = self.config.sampler
        window, steps = self.config.training.crop, options.steps
        estimate = ddim_estimate(network, sampler, window, steps, options.seed)
        return _averaged(self.config, estimate, planes, grid, options, device, report)

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Sample by DDIM, whatever the mode; see `protocol.Recipe.restore_rows`."""
        sampler = self.config.sampler
        schedule = ddim_coefficients(steps, sampler.eta, sampler.timesteps)
        return ddim(network, known, masks, schedule, noise, clip=sampler.clip)


@dataclass(frozen=True)
class EndToEndRecipe:
    """The end-to-end U-Net (paper, section 4.2); see `protocol.Recipe`."""

    config: EndToEndConfig
    restores_blocks: bool = False
    memory_is_known: bool = False
    most_accurate: Mode = "mean"

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Estimate the mean in one evaluation."""
        _check(options, self.config.recipe, "mean")
        return options.resolved("mean", 1, None)

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
        """Restore XZ and YZ slices in one pass and average both."""
        estimate = direct_estimate(network, self.config.training.crop)
        return _averaged(self.config, estimate, planes, grid, options, device, report)

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Restore in one pass; see `protocol.Recipe.restore_rows`."""
        return direct(network, known, masks)


def _averaged(
    config: MsdsrConfig | EndToEndConfig,
    estimate: Estimate,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    options: ResolvedOptions,
    device: torch.device,
    report: Callable[[float], None],
) -> NDArray[np.float32]:
    return restore_slicewise(
        planes,
        grid,
        estimate,
        directions=("XZ", "YZ") if options.direction == "both" else (options.direction,),
        multiple=2 ** (len(config.network.multipliers) - 1),
        device=device,
        report=report,
    )


def _check(options: PredictOptions, recipe: str, only: Mode) -> None:
    """Raise `SettingsError` for what only isoslice's own recipe can do."""
    if options.mode is not None and options.mode != only:
        raise SettingsError(
            f"got mode {options.mode!r}, but a model of the preset {recipe} has only {only!r}; "
            "leave the mode out"
        )
    if options.detail is not None:
        raise SettingsError(
            f"got detail {options.detail:g}, but a {recipe} model has no such dial; leave the "
            "detail out"
        )
    if options.estimates_errors:
        raise SettingsError(
            f"got a {recipe} model, which does not know its errors, expected one of the preset "
            "isoslice; leave uncertainty and samples out, or train one"
        )
