"""Restoring stacks with a trained model."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.coarse import renamed
from isoslice.data.frames import Frame, fill_along_z
from isoslice.data.normalization import Normalization
from isoslice.data.volume import Volume, from_tczyx, voxel_size_of
from isoslice.inference.inspection import diagnose, inspect, warn_of
from isoslice.inference.memory import check_fits
from isoslice.inference.options import PredictOptions, ResolvedOptions
from isoslice.inference.plan import Plan, plan_restoration
from isoslice.inference.prediction import Prediction, provenance
from isoslice.inference.recipes import recipe_of
from isoslice.inference.stack import as_volume, stack_to_restore
from isoslice.inference.uncertainty import (
    ErrorEstimator,
    StackScale,
    error_estimator,
    restore_with_std,
)
from isoslice.models.choices import Direction, Mode
from isoslice.models.diffusion.masked import blur as blurred
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.device import choose_device, describe
from isoslice.runtime.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Model(ModelBundle):
    """A trained model: load, save, predict."""

    def predict(
        self,
        stack: NDArray[Any] | Volume,
        axes: str | None = None,
        voxel_size: Sequence[float] | None = None,
        factor: int | None = None,
        *,
        steps: int | None = None,
        seed: int = 0,
        mode: Mode | None = None,
        detail: float | None = None,
        direction: Direction = "both",
        blur: bool = False,
        uncertainty: bool = False,
        samples: int = 0,
        keep_samples: bool = False,
        device: str = "auto",
        progress: Progress | None = None,
        along: str | None = None,
    ) -> Prediction:
        """Restore an anisotropic stack to an isotropic volume.

        Voxels without data stay without: where both measured planes around are NaN, infinite, or
        exactly 0 outside the field of view. Blank planes between others are taken as lost and
        restored. A model of one channel restores each of several by itself.

        Parameters
        ----------
        stack
            Voxels, or a `Volume` as `isoslice.read_volume` gives it; with a Z axis of at least
            two planes, any of T and C beside it, and as many channels as the model.
        axes
            Axes of an array, one letter of TCZYX per dimension; needed unless `stack` is a Volume.
        voxel_size
            Spacing along Z, Y and X; overrides the Volume's own.
        factor
            Output planes per measured plane; by default the nearest integer to Z over XY spacing.
        steps
            Network evaluations per voxel: 5 by default, at least 3 in mode ``sample`` (``mean``
            takes 2). For a model of the preset msdsr: DDIM steps in each direction, 200 by default.
        seed
            Of the sampling noise: same seed, same result.
        mode
            ``sample``: one volume as sharp as the training images, its detail invented.
            ``mean``: the expected volume, smoother, with the highest PSNR.
            By default what the model can do, a sample if both; msdsr has no mean, the end-to-end
            U-Net no sample.
        detail
            How much of the sample's detail is kept: from 0, the mean and most faithful, to 1, the
            default and most realistic. Fine detail comes first, then what the specimen needs of the
            coarse.
        direction
            Of msdsr and the end-to-end U-Net: slices to restore, for ablations; by default both,
            averaged.
        blur
            Blur the result by the paper's Gaussian (3 x 3 x 3 voxels, sigma 0.5); measured planes
            stay as they are.
        uncertainty
            Tell the standard deviation of every voxel too, from two more evaluations a voxel.
        samples
            Draw so many samples, at least 2, with the seeds `seed`, `seed` + 1, ...: the volume is
            the mean then, and their spread goes into its standard deviation.
        keep_samples
            Return them too.
        device
            ``auto``, ``cpu``, ``cuda`` or ``mps``.
        progress
            Receives notes and progress; silent by default.
        along
            The axis that is coarse: ``Z``, ``Y`` or ``X``; by default what the voxel size says.

        Returns
        -------
        The volume with its axes, new voxel size, factor and provenance.

        Raises
        ------
        DataError
            If the stack cannot be used: axes, channels, planes, values, spacing.
        SettingsError
            If an option is out of range, or the volume does not fit into memory.
        """
        progress = progress or Progress()
        recipe = recipe_of(self.config)
        options = recipe.resolve(
            PredictOptions(
                mode=mode,
                steps=steps,
                detail=detail,
                seed=seed,
                direction=direction,
                blur=blur,
                uncertainty=uncertainty,
                samples=samples,
                keep_samples=keep_samples,
            )
        )
        estimator = error_estimator(self) if options.estimates_errors else None
        given = as_volume(stack, axes, voxel_size)
        coarse = stack_to_restore(given, self.config, factor, progress, along)
        computing = choose_device(device)
        if recipe.memory_is_known and computing.type == "cpu":
            check_fits(coarse.volume, coarse.factor, options)
        progress.note(f"computing on {describe(computing)}")
        inspection = inspect(coarse.volume, self.config, progress)
        doubts = warn_of(diagnose(coarse.volume, coarse.factor, self, inspection))
        plan = plan_restoration(coarse, inspection, self, options, doubts)
        restored = self._restore(plan, coarse.volume, estimator, computing, progress)
        axes = coarse.volume.axes
        return Prediction(
            from_tczyx(restored.volume, axes),
            renamed(axes, coarse.along),
            voxel_size_of(coarse.refined_spacing),
            coarse.factor,
            provenance(plan, restored.scales),
            coarse.volume.unit,
            coarse.volume.channel_names,
            None if restored.std is None else from_tczyx(restored.std, axes),
            tuple(from_tczyx(sample, axes) for sample in restored.samples),
            restored.scales[0].calibration if restored.scales else None,
            doubts,
            coarse.refined_metadata,
        )

    def _restore(
        self,
        plan: Plan,
        stack: Volume,
        estimator: ErrorEstimator | None,
        device: torch.device,
        progress: Progress,
    ) -> _Restored:
        """Restore every frame of a stack in memory."""
        data, options, frames = stack.tczyx(), plan.options, plan.frames(stack)
        restored = _empty(data, frames[0].grid.depth, options)
        own = Path(stack.source).name in self.info.get("sources", ())
        recipe, network = recipe_of(self.config), self.network.to(device)
        for number, frame in enumerate(frames):

            def report(fraction: float, number: int = number) -> None:
                progress.update("restoring", (number + fraction) / len(frames))

            scaled = plan.normalization.of_channels(frame.channels)

            def finish(
                into: NDArray[Any],
                made: NDArray[np.float32],
                frame: Frame = frame,
                scaled: Normalization = scaled,
            ) -> None:
                into[frame.time, frame.channels] = scaled.invert(made, data.dtype)
                frame.put_back(into, data, scaled)

            at = frame.time, frame.channels
            planes = scaled.apply(fill_along_z(data[at][:, list(frame.kept)]))
            chosen = options.with_seed(frame.seed)
            if estimator is None or restored.std is None:
                made = recipe.restore_planes(
                    network, planes, frame.grid, chosen, device=device, report=report
                )
                finish(restored.volume, blurred(made) if options.blur else made)
                continue
            with_std = restore_with_std(
                estimator, planes, frame.grid, chosen, own=own, device=device, report=report
            )
            finish(restored.volume, with_std.volume)
            restored.std[at] = scaled.scale_deviations(with_std.std)
            frame.clear_deviations(restored.std, data, scaled)
            restored.scales.append(with_std.scale)
            for volume, sample in zip(restored.samples, with_std.samples, strict=True):
                finish(volume, sample)
        return restored


@dataclass
class _Restored:
    """Volumes (T, C, Z, Y, X) in the stack's intensities; see `Prediction`."""

    volume: NDArray[Any]
    std: NDArray[np.float32] | None
    samples: list[NDArray[Any]]
    scales: list[StackScale]


def _empty(stack: NDArray[Any], depth: int, options: ResolvedOptions) -> _Restored:
    shape = (*stack.shape[:2], depth, *stack.shape[3:])
    return _Restored(
        np.empty(shape, stack.dtype),
        np.empty(shape, np.float32) if options.estimates_errors else None,
        [np.empty(shape, stack.dtype) for _ in range(options.samples * options.keep_samples)],
        [],
    )
