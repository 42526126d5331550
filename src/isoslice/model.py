"""A trained model: load, save, predict."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from isoslice.asked import resolve_asked
from isoslice.coarse import coarse_axis, refined, renamed, turned
from isoslice.config import AnyConfig, ModelConfig
from isoslice.device import choose_device, describe
from isoslice.doubts import doubts_of
from isoslice.errors import DoubtWarning, ModelError
from isoslice.fits import Wanted, check_fits
from isoslice.frames import Frame, fill_along_z, frames_of, lost_messages
from isoslice.geometry import even_grid
from isoslice.io.atomic import atomic_output
from isoslice.labels import label_messages
from isoslice.modelcard import model_card
from isoslice.modelfiles import (
    head_shapes,
    network_shapes,
    read_record,
    read_settings,
    read_trust,
    read_weights,
    short,
)
from isoslice.msdsr import blur as blurred
from isoslice.normalize import Normalization, look_at
from isoslice.passes import Mode
from isoslice.prediction import Prediction, provenance, told_exceptions
from isoslice.progress import Progress
from isoslice.recipes import Direction, build_network, resolve_options, restore_planes
from isoslice.spread import SpreadHead, build_head
from isoslice.srh import srh_channels
from isoslice.stacks import as_volume, check_stack, choose_factor, restores_separately
from isoslice.survey import lost_planes, planes_of
from isoslice.trust import Trust
from isoslice.uncertainty import StackScale, told_scales
from isoslice.volume import Volume, from_tczyx, voxel_size_of

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG, WEIGHTS, CARD, RECORD = "config.json", "weights.safetensors", "README.md", "training.json"
#: Of models that can tell where to doubt; see `trust`.
TRUST, SPREAD = "trust.json", "spread.safetensors"


@dataclass(frozen=True)
class Model:
    """A denoiser with everything needed to use it.

    Attributes
    ----------
    config
        Settings, saved as ``config.json``.
    network
        The denoiser, in evaluation mode.
    info
        Record of the training, saved as ``training.json``.
    head
        Predicts errors of the mean, saved as ``spread.safetensors``; None where there is none.
    trust
        What is known of its errors, saved as ``trust.json``.
    """

    config: AnyConfig
    network: nn.Module
    info: Mapping[str, Any] = field(default_factory=dict)
    head: SpreadHead | None = None
    trust: Trust = field(default_factory=Trust)

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the SHA-256 of the weights: which model this is."""
        digest = hashlib.sha256()
        for name, tensor in sorted(self.network.state_dict().items()):
            digest.update(name.encode())
            digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()[:12]

    def save(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the model folder at `path`: configuration, weights, card and training record.

        Raises
        ------
        OutputError
            If the folder cannot be written, or exists and `overwrite` is False.
        """
        weights = {name: t.detach().cpu().contiguous() for name, t in _weights(self.network)}
        with atomic_output(Path(path), overwrite=overwrite) as folder:
            folder.mkdir()
            (folder / CONFIG).write_text(
                self.config.model_dump_json(indent=2) + "\n", encoding="utf-8"
            )
            (folder / RECORD).write_text(
                json.dumps(dict(self.info), indent=2) + "\n", encoding="utf-8"
            )
            (folder / CARD).write_text(model_card(self.config, self.info), encoding="utf-8")
            save_file(weights, folder / WEIGHTS)
            (folder / TRUST).write_text(
                self.trust.model_dump_json(indent=1) + "\n", encoding="utf-8"
            )
            if self.head is not None:
                head = {name: t.detach().cpu().contiguous() for name, t in _weights(self.head)}
                save_file(head, folder / SPREAD)

    @classmethod
    def load(cls, path: str | Path) -> Model:
        """Read a model folder; nothing in it is ever executed.

        Raises
        ------
        ModelError
            If `path` is no model folder, or one that is damaged or was tampered with.
        """
        folder = Path(path)
        if not is_model_folder(folder):
            raise ModelError(
                f"{folder}: no isoslice model there, expected a folder with {CONFIG} and "
                f"{WEIGHTS}; make one with 'isoslice train IMAGES -o {folder}'"
            )
        try:
            config = read_settings(folder / CONFIG)
            info = read_record(folder / RECORD)
        except (ValueError, OSError) as error:
            raise ModelError(
                f"{folder}: got settings that cannot be read ({short(error)}), expected those "
                "isoslice wrote; restore the folder or train the model again"
            ) from error
        # Before anything is built: settings may describe a network larger than the memory.
        stored = read_weights(folder / WEIGHTS, network_shapes(config))
        trust, kept = Trust(), None
        if (folder / TRUST).exists():
            trust = read_trust(folder / TRUST)
        if isinstance(config, ModelConfig) and (folder / SPREAD).exists():
            kept = read_weights(folder / SPREAD, head_shapes(config))
        network = build_network(config)
        network.load_state_dict(stored)
        network.eval().requires_grad_(False)
        head = None
        if kept is not None and isinstance(config, ModelConfig):
            head = build_head(config)
            head.load_state_dict(kept)
            head.eval().requires_grad_(False)
        return cls(config, network, info, head, trust)

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
        normalization, seen = look_at(data, volume.source, self.config.intensities)
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
                std[at] = scaled.widths(made.std)
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


def is_model_folder(path: str | Path) -> bool:
    """Tell whether `path` holds the files of a model."""
    return (Path(path) / CONFIG).is_file() and (Path(path) / WEIGHTS).is_file()


def _weights(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(network.state_dict().items())
