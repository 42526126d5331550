"""isoslice's own recipe: the residual of linear interpolation, denoised in XZ and YZ in turn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from isoslice.data.grid import PlaneGrid
from isoslice.data.masking import fill_rows
from isoslice.errors import SettingsError
from isoslice.inference.detail.blend import DEFAULT_DETAIL
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.inference.passes import distilled_passes, sampling_passes
from isoslice.inference.recipes.protocol import Noise
from isoslice.inference.sampler import restore
from isoslice.models.choices import Mode
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise
from isoslice.models.diffusion.variance_stabilization import stretch, unstretch

#: Network evaluations of a sample, fewest and most, and where nothing is asked for.
STEPS, DEFAULT_STEPS = (3, 1000), 5


@dataclass(frozen=True)
class ResidualRecipe:
    """Diffusion of the residual; see `protocol.Recipe`."""

    config: ModelConfig
    memory_is_known: bool = True

    @property
    def restores_blocks(self) -> bool:
        """All but SRH, whose third channel is derived from a volume in memory."""
        return not self.config.srh

    @property
    def most_accurate(self) -> Mode:
        """The mean."""
        return "mean"

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Take the mean at detail 0, a sample of five evaluations and all detail by default."""
        mode, steps, detail = options.mode, options.steps, options.detail
        if options.direction != "both":
            raise SettingsError(
                f"got direction {options.direction!r}, but this model's sampler uses both in "
                "turn; leave it out"
            )
        if detail is not None and mode == "mean":
            raise SettingsError(
                f"got detail {detail:g}, but the mean has none; leave the detail out"
            )
        if mode == "mean" or detail == 0:
            return options.resolved("mean", 2, None)
        if self.config.distilled is not None:
            for name, value in (("steps", steps), ("detail", detail)):
                if value is not None and (name, value) != ("steps", 2):
                    raise SettingsError(
                        f"got {name} {value:g}, but a distilled model always takes two "
                        f"evaluations, with the detail it was taught; leave the {name} out"
                    )
            return options.resolved("sample", 2, None)
        steps = DEFAULT_STEPS if steps is None else steps
        if not STEPS[0] <= steps <= STEPS[1]:
            raise SettingsError(
                f"got steps {steps}, expected {STEPS[0]} to {STEPS[1]}; the default is "
                f"{DEFAULT_STEPS}"
            )
        return options.resolved("sample", steps, DEFAULT_DETAIL if detail is None else detail)

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
        """See `sampler.restore`."""
        return restore(
            network,
            self.config,
            planes,
            grid,
            mode=options.mode,
            evaluations=options.steps,
            detail=options.detail,
            seed=options.seed,
            device=device,
            report=report,
        )

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Take the residual's mean, then Euler's steps from it: `sampler.restore` in one direction.

        See `protocol.Recipe.restore_rows`.
        """
        config = self.config
        base, scale = fill_rows(stretch(known, config.softening), masks), config.sigma_data

        def estimate(residual: Tensor, sigma: float) -> Tensor:
            level = torch.tensor([sigma], device=known.device)
            return denoise(network, residual, base, masks, level, scale)

        first = noise(0)  # drawn whatever the mode, so that images after these have the same
        if mode == "sample" and config.distilled is not None:
            residual = torch.zeros_like(base)
            passes = distilled_passes(config, config.distilled.sigma_second)
        else:
            residual = estimate(torch.zeros_like(base), NO_SIGNAL)
            passes = sampling_passes(config, max(1, steps - 1)) if mode == "sample" else []
        if passes:
            residual = residual + passes[0].sigma * first * ~masks[:, None, :, None]
        for step in passes:
            residual = torch.lerp(estimate(residual, step.sigma), residual, step.kept)
        return unstretch((base + residual).float(), config.softening)
