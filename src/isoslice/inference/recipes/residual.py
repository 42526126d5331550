"""isoslice's own recipe: the residual of linear interpolation, denoised in XZ and YZ in turn."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from isoslice.data.box import Region, Triple
from isoslice.data.masking import fill_rows
from isoslice.errors import SettingsError
from isoslice.inference.as_measured import as_measured
from isoslice.inference.detail.blend import DEFAULT_DETAIL
from isoslice.inference.fields import Files
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.interpolated import residual_dtype
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.inference.passes import (
    BATCH_PIXELS,
    batch_size,
    distilled_passes,
    run_pass,
    sampling_passes,
)
from isoslice.inference.recipes.protocol import BlockResult, Noise, Report
from isoslice.inference.recipes.residual_blocks import find_numbers, make_block
from isoslice.inference.recipes.residual_stages import residual_stages
from isoslice.inference.stages import Stage
from isoslice.inference.tiling import WHOLE
from isoslice.models.choices import Mode
from isoslice.models.config import ModelConfig
from isoslice.models.diffusion.edm import NO_SIGNAL, denoise
from isoslice.models.diffusion.variance_stabilization import stretch, unstretch

#: Bytes that the network takes for each pixel given at once, in half precision.
NETWORK_BYTES = 200
#: Network evaluations of a sample, fewest and most, and where nothing is asked for.
STEPS, DEFAULT_STEPS = (3, 1000), 5


@dataclass(frozen=True)
class ResidualRecipe:
    """Diffusion of the residual; see `protocol.Recipe`."""

    config: ModelConfig

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

    def stages(self, options: ResolvedOptions) -> tuple[Stage, ...]:
        """See `residual_stages`."""
        return residual_stages(self.config, options)

    def field_dtype(self, largest: float) -> torch.dtype:
        """Return half precision, if the largest intensity allows it once stretched."""
        stretched = stretch(torch.tensor([-largest, largest]), self.config.softening)
        return residual_dtype(float(stretched.abs().max()))

    def batch_slices(self, pixels: int, device: str) -> int:
        """See `passes.batch_size`."""
        return batch_size(pixels, device)

    def network_bytes(self, pixels: int, threads: int, device: str = "cpu") -> int:
        """Count a batch for each thread, or a window of a slice; see `tiling`."""
        return threads * NETWORK_BYTES * max(min(pixels, WHOLE), BATCH_PIXELS[device])

    def run_pass(self, work: FrameWork, stage: Stage, index: int, report: Report) -> Files:
        """Denoise a slab of the residual; see `passes.run_pass`."""
        store, step, softening = work.store, stage.step, self.config.softening
        assert step is not None  # it is a pass
        place = store.layout.slab(step.plane, index)
        lateral, done = place[1 if step.plane == "XZ" else 2], 0
        residual = store.start(stage.start, step.plane, index, keep=work.keeps(stage))
        base = as_measured(work, self.config, work.planes.base(place, softening, store.device))
        network: nn.Module = work.network
        if stage.of_errors:
            assert work.estimator is not None  # there is such a stage with one only
            network = work.estimator.network
        with torch.inference_mode():
            for finished in run_pass(
                network,
                self.config,
                step,
                residual,
                base,
                origin=_first_voxel(place, work.origin),
                seed=work.options.seed + stage.draw,
                device=work.device,
            ):
                done += finished
                report(done / (lateral.stop - lateral.start))
        return store.write(stage.name, step.plane, index, residual)

    def find_numbers(self, work: FrameWork, stage: Stage) -> Files:
        """Find the gains of detail, or the scale of deviations."""
        return find_numbers(self.config, work, stage)

    def make_block(self, work: FrameWork, stage: Stage, index: int) -> BlockResult:
        """See `residual_blocks`."""
        return make_block(self.config, work, stage, index)

    def restore_rows(
        self, network: nn.Module, known: Tensor, masks: Tensor, mode: Mode, steps: int, noise: Noise
    ) -> Tensor:
        """Take the residual's mean, then Euler's steps from it, in one direction.

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


def _first_voxel(place: Region, origin: Triple) -> Triple:
    """Return where the first voxel of a part of a crop lies in the whole volume."""
    z, y, x = (part.start + before for part, before in zip(place, origin, strict=True))
    return z, y, x
