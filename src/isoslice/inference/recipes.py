"""What the recipes do differently once trained: networks, samplers, options."""

from __future__ import annotations

from collections.abc import Callable
from typing import get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from isoslice.data.grid import PlaneGrid
from isoslice.errors import SettingsError
from isoslice.inference.detail.blend import DEFAULT_DETAIL
from isoslice.inference.passes import Mode
from isoslice.inference.sampler import restore
from isoslice.inference.slicewise import ddim_estimate, direct_estimate, restore_slicewise
from isoslice.models.choices import Direction as Direction
from isoslice.models.config import AnyConfig, ModelConfig, MsdsrConfig
from isoslice.models.diffusion.ddim import ddim_coefficients

#: Network evaluations of isoslice's own sampler.
DEFAULT_STEPS = 5


def restore_planes(
    network: nn.Module,
    config: AnyConfig,
    planes: NDArray[np.float32],
    grid: PlaneGrid,
    *,
    mode: Mode,
    steps: int,
    detail: float | None,
    seed: int,
    direction: Direction,
    device: torch.device,
    report: Callable[[float], None],
) -> NDArray[np.float32]:
    """Fill in planes by the model's own recipe; see `sampler.restore`."""
    if isinstance(config, ModelConfig):
        return restore(
            network,
            config,
            planes,
            grid,
            mode=mode,
            evaluations=steps,
            detail=detail,
            seed=seed,
            device=device,
            report=report,
        )
    window = config.training.crop
    estimate = (
        ddim_estimate(network, config.sampler, window, steps, seed)
        if isinstance(config, MsdsrConfig)
        else direct_estimate(network, window)
    )
    return restore_slicewise(
        planes,
        grid,
        estimate,
        directions=("XZ", "YZ") if direction == "both" else (direction,),
        multiple=2 ** (len(config.network.multipliers) - 1),
        device=device,
        report=report,
    )


def resolve_options(
    config: AnyConfig,
    mode: Mode | None,
    steps: int | None,
    detail: float | None,
    seed: int,
    direction: str,
) -> tuple[Mode, int, float | None]:
    """Return mode, steps and detail as the recipe has them; detail is None where there is none."""
    own, sampled = isinstance(config, ModelConfig), isinstance(config, MsdsrConfig)
    if mode is not None and mode not in get_args(Mode):
        raise SettingsError(f"got mode {mode!r}, expected 'sample' or 'mean'")
    if not own and mode == ("mean" if sampled else "sample"):
        raise SettingsError(
            f"got mode {mode!r}, but a model of the preset {config.recipe} has only "
            f"'{'sample' if sampled else 'mean'}'; leave the mode out"
        )
    if direction not in get_args(Direction):
        raise SettingsError(f"got direction {direction!r}, expected 'both', 'XZ' or 'YZ'")
    if own and direction != "both":
        raise SettingsError(
            f"got direction {direction!r}, but this model's sampler uses both in turn; leave it out"
        )
    if not 0 <= seed < 2**62:
        raise SettingsError(f"got seed {seed}, expected 0 or more")
    if detail is not None and not 0 <= detail <= 1:
        raise SettingsError(f"got detail {detail}, expected 0 (the mean) to 1 (a whole sample)")
    if detail is not None and (not own or mode == "mean"):
        reason = "the mean has none" if own else f"a {config.recipe} model has no such dial"
        raise SettingsError(f"got detail {detail:g}, but {reason}; leave the detail out")
    if isinstance(config, MsdsrConfig):
        steps = config.sampler.steps if steps is None else steps
        count = len(ddim_coefficients(steps, config.sampler.eta, config.sampler.timesteps))
        return "sample", count, None
    if not own:
        return "mean", 1, None
    if mode == "mean" or detail == 0:
        return "mean", 2, None
    if isinstance(config, ModelConfig) and config.distilled is not None:
        for name, value in (("steps", steps), ("detail", detail)):
            if value is not None and (name, value) != ("steps", 2):
                raise SettingsError(
                    f"got {name} {value:g}, but a distilled model always takes two evaluations, "
                    f"with the detail it was taught; leave the {name} out"
                )
        return "sample", 2, None
    steps = DEFAULT_STEPS if steps is None else steps
    if not 3 <= steps <= 1000:
        raise SettingsError(
            f"got steps {steps}, expected 3 to 1000; the default is {DEFAULT_STEPS}"
        )
    return "sample", steps, DEFAULT_DETAIL if detail is None else detail
