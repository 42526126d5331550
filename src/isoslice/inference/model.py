"""Restoring stacks with a trained model."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.coarse import coarse_axis, refined, renamed, turned
from isoslice.data.frames import Frame, fill_along_z, frames_of, lost_messages
from isoslice.data.grid import even_grid
from isoslice.data.labels import label_messages
from isoslice.data.normalization import Normalization, measure_stack
from isoslice.data.srh import srh_channels
from isoslice.data.survey import lost_planes, planes_of
from isoslice.data.volume import Volume, from_tczyx, voxel_size_of
from isoslice.errors import DoubtWarning
from isoslice.inference.diagnostics import doubts_of
from isoslice.inference.memory import Wanted, check_fits
from isoslice.inference.options import resolve_asked
from isoslice.inference.passes import Mode
from isoslice.inference.prediction import Prediction, provenance, told_exceptions
from isoslice.inference.recipes import Direction, resolve_options, restore_planes
from isoslice.inference.stack import as_volume, check_stack, choose_factor, restores_separately
from isoslice.inference.uncertainty import StackScale, told_scales
from isoslice.models.config import ModelConfig
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
        mode, steps, detail = resolve_options(self.config, mode, steps, detail, seed, direction)
        asked = resolve_asked(self, mode, detail, uncertainty, samples, keep_samples, blur)
        given = as_volume(stack, axes, voxel_size)
        along = coarse_axis(given, along)
        volume = turned(given, along)
        if self.config.srh:
            volume = srh_channels(volume)
        separate = restores_separately(self.config, volume)
        check_stack(volume, volume.size("C") if separate else self.config.network.channels)
        factor = choose_factor(volume, factor, progress, along)
        chosen = choose_device(device)
        if isinstance(self.config, ModelConfig) and chosen.type == "cpu":
            check_fits(volume, factor, Wanted(mode == "mean", uncertainty, samples, keep_samples))
        progress.note(f"computing on {describe(chosen)}")

        data = volume.tczyx()
        normalization, seen = measure_stack(data, volume.source, self.config.intensities)
        lost = lost_planes(seen, planes_of(data))
        time, run = seen.filled_run
        filled = data[time][:, run]
        found = doubts_of(
            lambda place: normalization.apply(filled[(slice(None), *place)]),
            factor,
            self.config,
            self.trust.familiar,
            volume.voxel_size,
            volume.unit,
            (filled.shape[1], volume.size("Y"), volume.size("X")),
            self.info,
        )
        doubts = (*lost_messages(seen, lost), *label_messages(filled), *found.messages)
        for message in doubts:
            warnings.warn(message, DoubtWarning, stacklevel=2)
        own = Path(volume.source).name in self.info.get("sources", ())
        depth = even_grid(volume.size("Z"), factor).depth
        shape = (*data.shape[:2], depth, *data.shape[3:])
        output = np.empty(shape, data.dtype)
        std = np.empty(shape, np.float32) if asked.wanted else None
        kept = [np.empty(shape, data.dtype) for _ in range(samples if keep_samples else 0)]
        scales: list[StackScale] = []
        network = self.network.to(chosen)
        frames = frames_of(data.shape[:3], factor, lost, separate, seed)
        for number, frame in enumerate(frames):

            def report(fraction: float, number: int = number) -> None:
                progress.update("restoring", (number + fraction) / len(frames))

            at = frame.time, frame.channels
            scaled = normalization.of_channels(frame.channels)

            def finish(
                into: NDArray[Any],
                restored: NDArray[np.float32],
                frame: Frame = frame,
                scaled: Normalization = scaled,
            ) -> None:
                into[frame.time, frame.channels] = scaled.invert(restored, data.dtype)
                frame.put_back(into, data, scaled)

            planes = scaled.apply(fill_along_z(data[at][:, list(frame.kept)]))
            if std is not None:
                made = asked.restore(
                    planes,
                    frame.grid,
                    mode,
                    steps,
                    detail,
                    frame.seed,
                    own=own,
                    device=chosen,
                    report=report,
                )
                finish(output, made.volume)
                std[at] = scaled.scale_deviations(made.std)
                frame.clear_deviations(std, data, scaled)
                scales.append(made.scale)
                for volume_i, sample in zip(kept, made.samples, strict=True):
                    finish(volume_i, sample)
                continue
            restored = restore_planes(
                network,
                self.config,
                planes,
                frame.grid,
                mode=mode,
                steps=steps,
                detail=detail,
                seed=frame.seed,
                direction=direction,
                device=chosen,
                report=report,
            )
            finish(output, blurred(restored) if blur else restored)
        mode = "mean" if samples else mode
        made_by = provenance(
            model=self.fingerprint,
            recipe=self.config.recipe,
            factor=factor,
            mode=mode,
            steps=steps,
            detail=detail,
            direction=direction,
            blur=blur,
            seed=seed,
            source=volume.source,
            normalization=normalization,
            doubts=doubts,
            **({"samples": samples} if samples else {}),
            **({"uncertainty": told_scales(scales)} if scales else {}),
            **told_exceptions(along, lost),
        )
        spacing, metadata = refined(given, along, factor)
        return Prediction(
            from_tczyx(output, volume.axes),
            renamed(volume.axes, along),
            voxel_size_of(spacing),
            factor,
            made_by,
            volume.unit,
            volume.channel_names,
            None if std is None else from_tczyx(std, volume.axes),
            tuple(from_tczyx(each, volume.axes) for each in kept),
            scales[0].calibration if scales else None,
            doubts,
            metadata,
        )
