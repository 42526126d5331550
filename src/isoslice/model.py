"""A trained model: load, save, predict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from isoslice import __version__
from isoslice.config import AnyConfig
from isoslice.device import choose_device, describe
from isoslice.errors import ModelError
from isoslice.geometry import even_grid, output_voxel_size
from isoslice.io.atomic import atomic_output
from isoslice.modelcard import model_card
from isoslice.modelfiles import (
    all_finite,
    first_difference,
    network_shapes,
    read_record,
    read_settings,
    short,
    stored_shapes,
)
from isoslice.msdsr import blur as blurred
from isoslice.normalize import Normalization, fixed_normalization, percentile_normalization
from isoslice.passes import Mode
from isoslice.progress import Progress
from isoslice.recipes import Direction, build_network, resolve_options, restore_planes
from isoslice.srh import srh_channels
from isoslice.stacks import as_volume, check_stack, choose_factor
from isoslice.volume import Volume, VoxelSize, from_tczyx

if TYPE_CHECKING:
    from collections.abc import Sequence

CONFIG, WEIGHTS, CARD, RECORD = "config.json", "weights.safetensors", "README.md", "training.json"


@dataclass(frozen=True)
class Prediction:
    """A restored volume.

    Attributes
    ----------
    volume
        Voxels in the input's axes order and type, Z longer: (n - 1) factor + 1 planes.
    axes
        The input's axes.
    voxel_size
        True spacing of the output (Z, Y, X), or None if the input's was not given.
    factor
        Output planes per measured plane.
    provenance
        What made it: version, model, mode, evaluations, seed, factor, normalisation.
    """

    volume: NDArray[Any]
    axes: str
    voxel_size: VoxelSize | None
    factor: int
    provenance: Mapping[str, Any]
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None

    def to_volume(self) -> Volume:
        """Return the same as a `Volume`, to be written with `isoslice.write_volume`."""
        spacing = {} if self.voxel_size is None else dict(zip("ZYX", self.voxel_size, strict=True))
        return Volume(
            self.volume,
            self.axes,
            spacing,
            self.unit,
            self.channel_names,
            self.provenance,
            source="isoslice",
        )


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
    """

    config: AnyConfig
    network: nn.Module
    info: Mapping[str, Any] = field(default_factory=dict)

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
            (folder / CONFIG).write_text(self.config.model_dump_json(indent=2) + "\n")
            (folder / RECORD).write_text(json.dumps(dict(self.info), indent=2) + "\n")
            (folder / CARD).write_text(model_card(self.config, self.info))
            save_file(weights, folder / WEIGHTS)

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
        try:
            # Before anything is built: settings may describe a network larger than the memory.
            wrong = first_difference(stored_shapes(folder / WEIGHTS), network_shapes(config))
            stored = {} if wrong else load_file(folder / WEIGHTS)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise ModelError(
                f"{folder / WEIGHTS}: got weights that cannot be read ({short(error)}), expected a "
                "whole safetensors file; restore the folder or train the model again"
            ) from error
        if wrong:
            raise ModelError(
                f"{folder}: got weights that do not fit {CONFIG} (first: {wrong}), expected both "
                "from one training; restore the folder or train the model again"
            )
        if not all_finite(stored):
            raise ModelError(
                f"{folder / WEIGHTS}: got weights that are not finite, expected numbers; restore "
                "the folder or train the model again"
            )
        network = build_network(config)
        network.load_state_dict(stored)
        network.eval().requires_grad_(False)
        return cls(config, network, info)

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
        device: str = "auto",
        progress: Progress | None = None,
    ) -> Prediction:
        """Restore an anisotropic stack to an isotropic volume.

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
        device
            ``auto``, ``cpu``, ``cuda`` or ``mps``.
        progress
            Receives notes and progress; silent by default.

        Returns
        -------
        The volume with its axes, new voxel size, factor and provenance.

        Raises
        ------
        DataError
            If the stack cannot be used: axes, channels, planes, values, spacing.
        SettingsError
            If an option is out of range.
        """
        progress = progress or Progress()
        mode, steps, detail = resolve_options(self.config, mode, steps, detail, seed, direction)
        volume = as_volume(stack, axes, voxel_size)
        if self.config.srh:
            volume = srh_channels(volume)
        check_stack(volume, self.config.network.channels)
        factor = choose_factor(volume, factor, progress)
        chosen = choose_device(device)
        progress.note(f"computing on {describe(chosen)}")

        data = volume.tczyx()
        grid = even_grid(volume.size("Z"), factor)
        if self.config.intensities is None:
            normalization = percentile_normalization(data.swapaxes(0, 1), volume.source)
        else:
            normalization = fixed_normalization(*self.config.intensities, volume.size("C"))
        network = self.network.to(chosen)
        output = np.empty((*data.shape[:2], grid.depth, *data.shape[3:]), data.dtype)
        for t, stack_t in enumerate(data):

            def report(fraction: float, t: int = t) -> None:
                progress.update("restoring", (t + fraction) / len(data))

            restored = restore_planes(
                network,
                self.config,
                normalization.apply(stack_t),
                grid,
                mode=mode,
                steps=steps,
                detail=detail,
                seed=seed,
                direction=direction,
                device=chosen,
                report=report,
            )
            if blur:
                restored = blurred(restored)
            output[t] = normalization.invert(restored, data.dtype)
            output[t][:, list(grid.known)] = stack_t  # measured planes, bit for bit
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
        )
        size = volume.voxel_size
        return Prediction(
            from_tczyx(output, volume.axes),
            volume.axes,
            None if size is None else output_voxel_size(size, factor),
            factor,
            made_by,
            volume.unit,
            volume.channel_names,
        )


def provenance(*, source: str, normalization: Normalization, **made: Any) -> dict[str, Any]:
    """Say how a volume was made.

    Parameters
    ----------
    source
        The stack; of its path the name alone is kept.
    normalization
        Of its intensities.
    made
        Model, recipe and every setting.
    """
    return {
        "isoslice": __version__,
        **made,
        "source": Path(source).name,
        "normalization": {"low": normalization.low, "high": normalization.high},
        "measured_planes": "every output plane i * factor is measured plane i, unchanged",
    }


def is_model_folder(path: str | Path) -> bool:
    """Tell whether `path` holds the files of a model."""
    return (Path(path) / CONFIG).is_file() and (Path(path) / WEIGHTS).is_file()


def _weights(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(network.state_dict().items())
