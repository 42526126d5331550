"""The paper's recipes: masked slice diffusion, and the end-to-end U-Net; slices by themselves."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isoslice.data.baselines import gaussian_blur3
from isoslice.data.box import SlicePlane, widened
from isoslice.errors import SettingsError
from isoslice.inference.asked_profile import as_text
from isoslice.inference.fields import Files
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.inference.passes import Pass
from isoslice.inference.recipes.protocol import BlockResult, Noise, Report
from isoslice.inference.slicewise import (
    Estimate,
    Slab,
    batch_size,
    ddim_estimate,
    direct_estimate,
    run_slices,
)
from isoslice.inference.stages import COMPOSE_COST, RESULT, Stage, chain
from isoslice.models.choices import Mode
from isoslice.models.config import EndToEndConfig, MsdsrConfig
from isoslice.models.diffusion.ddim import ddim_coefficients
from isoslice.models.diffusion.edm import NO_SIGNAL
from isoslice.models.diffusion.masked import ddim, direct

#: Bytes that the paper's U-Net takes: fixed, and for each pixel given at once, in half precision.
FIXED_BYTES, NETWORK_BYTES = 200 * 2**20, 13_000


class SlicewiseStages:
    """What both recipes of the paper have in common: slices by themselves, then averaged.

    See `protocol.Recipe`.
    """

    config: MsdsrConfig | EndToEndConfig

    def estimate(self, network: nn.Module, options: ResolvedOptions) -> Estimate:
        """Return what restores a batch of slices."""
        raise NotImplementedError

    def stages(self, options: ResolvedOptions) -> tuple[Stage, ...]:
        """List one pass a direction, and their average."""
        planes: tuple[SlicePlane, ...] = ("XZ", "YZ")
        if options.direction != "both":
            planes = (options.direction,)
        passes = chain("slices", [Pass(p, NO_SIGNAL) for p in planes], cost=options.steps)
        return (*passes, Stage(RESULT, "blocks", (passes[-1].name,), cost=COMPOSE_COST))

    def field_dtype(self, largest: float) -> torch.dtype:
        """Return single precision: these fields hold intensities."""
        return torch.float32

    def batch_slices(self, pixels: int, device: str) -> int:
        """See `slicewise.batch_size`."""
        return batch_size(pixels, device)

    def network_bytes(self, pixels: int, threads: int, device: str = "cpu") -> int:
        """Count one batch for all threads, in windows of the training crop's size."""
        window = min(pixels, self.config.training.crop**2)
        return FIXED_BYTES + NETWORK_BYTES * window * self.batch_slices(pixels, device)

    def run_pass(self, work: FrameWork, stage: Stage, index: int, report: Report) -> Files:
        """Restore a slab's slices; see `slicewise.run_slices`."""
        store, step = work.store, stage.step
        assert step is not None  # it is a pass
        _, y, x = store.layout.slab(step.plane, index)
        total = store.start(stage.start, step.plane, index, keep=work.keeps(stage))
        slab = Slab(
            work.planes.read((slice(0, work.planes.shape[1]), y, x)),
            work.grid,
            step.plane,
            (y if step.plane == "XZ" else x).start,
        )
        run_slices(
            self.estimate(work.network, work.options),
            slab,
            total,
            share=1 / sum(each.kind == "pass" for each in work.stages),
            multiple=2 ** (len(self.config.network.multipliers) - 1),
            device=work.device,
            report=report,
        )
        return store.write(stage.name, step.plane, index, total)

    def find_numbers(self, work: FrameWork, stage: Stage) -> Files:
        """There are no such stages."""
        raise NotImplementedError

    def make_block(self, work: FrameWork, stage: Stage, index: int) -> BlockResult:
        """Return the average of both directions, blurred if that is asked for."""
        box, blur = work.block(index), work.options.blur
        wide = widened(box, work.store.layout.shape, (1, 1, 1)) if blur else box
        volume = work.store.read(stage.reads[0], wide.slices())
        if blur:
            blurred = gaussian_blur3(volume.cpu().numpy())
            volume = torch.from_numpy(blurred)[(slice(None), *box.slices(wide.start))]
        return BlockResult({"volume": volume}, {})


@dataclass(frozen=True)
class MaskedDiffusionRecipe(SlicewiseStages):
    """MSDSR (paper, section 3); see `protocol.Recipe`."""

    config: MsdsrConfig
    most_accurate: Mode = "sample"

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Draw a sample, of 200 DDIM steps by default."""
        sampler = self.config.sampler
        _check(options, self.config.recipe, "sample")
        steps = sampler.steps if options.steps is None else options.steps
        count = len(ddim_coefficients(steps, sampler.eta, sampler.timesteps))
        return options.resolved("sample", count, None)

    def estimate(self, network: nn.Module, options: ResolvedOptions) -> Estimate:
        """Sample slices by DDIM; see `slicewise.ddim_estimate`."""
        sampler, window = self.config.sampler, self.config.training.crop
        return ddim_estimate(network, sampler, window, options.steps, options.seed)

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Sample by DDIM, whatever the mode; see `protocol.Recipe.restore_rows`."""
        sampler = self.config.sampler
        schedule = ddim_coefficients(steps, sampler.eta, sampler.timesteps)
        return ddim(network, known, masks, schedule, noise, clip=sampler.clip)


@dataclass(frozen=True)
class EndToEndRecipe(SlicewiseStages):
    """The end-to-end U-Net (paper, section 4.2); see `protocol.Recipe`."""

    config: EndToEndConfig
    most_accurate: Mode = "mean"

    def resolve(self, options: PredictOptions) -> ResolvedOptions:
        """Estimate the mean in one evaluation."""
        _check(options, self.config.recipe, "mean")
        return options.resolved("mean", 1, None)

    def estimate(self, network: nn.Module, options: ResolvedOptions) -> Estimate:
        """Restore slices in one pass."""
        return direct_estimate(network, self.config.training.crop)

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Restore in one pass; see `protocol.Recipe.restore_rows`."""
        return direct(network, known, masks)


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
    if options.undoes_blur or options.denoise:
        profile = f"slice profile {as_text(options.slice_profile)}"
        asked = profile if options.undoes_blur else "denoise"
        raise SettingsError(
            f"got {asked} with a {recipe} model, which takes planes for points without noise; "
            "leave it out, or train a model of the preset isoslice"
        )
    if options.estimates_errors:
        raise SettingsError(
            f"got a {recipe} model, which does not know its errors, expected one of the preset "
            "isoslice; leave uncertainty and samples out, or train one"
        )
