"""A trained model: load, save, predict."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from isoslice import __version__
from isoslice.config import ModelConfig
from isoslice.device import choose_device, describe
from isoslice.errors import DataError, ModelError, SettingsError
from isoslice.geometry import (
    check_factor,
    even_grid,
    factor_from_voxel_size,
    output_voxel_size,
)
from isoslice.io.atomic import atomic_output
from isoslice.modelcard import model_card
from isoslice.network import Denoiser, channels_last
from isoslice.normalize import percentile_normalization
from isoslice.progress import Progress
from isoslice.sampler import restore
from isoslice.volume import Volume, VoxelSize, from_tczyx, parse_voxel_size

if TYPE_CHECKING:
    from collections.abc import Sequence

Mode = Literal["sample", "mean"]

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

    config: ModelConfig
    network: Denoiser
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
            config = ModelConfig.model_validate_json((folder / CONFIG).read_bytes())
            info = json.loads((folder / RECORD).read_text()) if (folder / RECORD).exists() else {}
        except (ValidationError, ValueError, OSError) as error:
            problem = str(error).splitlines()
            raise ModelError(
                f"{folder}: got settings that cannot be read ({' '.join(problem[:3])}), expected "
                "those isoslice wrote; restore the folder or train the model again"
            ) from error
        network = build_network(config)
        expected = dict(_weights(network))
        try:
            stored = load_file(folder / WEIGHTS)
        except (SafetensorError, OSError, ValueError) as error:
            raise ModelError(
                f"{folder / WEIGHTS}: got weights that cannot be read ({error}), expected a whole "
                "safetensors file; restore the folder or train the model again"
            ) from error
        wrong = [
            name
            for name in sorted(expected.keys() | stored.keys())
            if name not in stored
            or name not in expected
            or stored[name].shape != expected[name].shape
            or stored[name].dtype != expected[name].dtype
        ]
        if wrong:
            raise ModelError(
                f"{folder}: got weights that do not fit {CONFIG} (first: {wrong[0]}), expected "
                "both from one training; restore the folder or train the model again"
            )
        if not all(bool(torch.isfinite(tensor).all()) for tensor in stored.values()):
            raise ModelError(
                f"{folder / WEIGHTS}: got weights that are not finite, expected numbers; restore "
                "the folder or train the model again"
            )
        network.load_state_dict(stored)
        network.eval().requires_grad_(False)
        return cls(config, network, info if isinstance(info, dict) else {})

    def predict(
        self,
        stack: NDArray[Any] | Volume,
        axes: str | None = None,
        voxel_size: Sequence[float] | None = None,
        factor: int | None = None,
        *,
        steps: int = 8,
        seed: int = 0,
        mode: Mode = "sample",
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
            Network evaluations per voxel, at least 3 in mode ``sample`` (``mean`` takes 2).
        seed
            Of the sampling noise: same seed, same result.
        mode
            ``sample``: one volume as sharp as the training images, its detail invented.
            ``mean``: the expected volume, smoother, with the highest PSNR.
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
        _check_options(mode, steps, seed)
        volume = _as_volume(stack, axes, voxel_size)
        _check_stack(volume, self.config.network.channels)
        factor = _choose_factor(volume, factor, progress)
        chosen = choose_device(device)
        progress.note(f"computing on {describe(chosen)}")

        data = volume.tczyx()
        grid = even_grid(volume.size("Z"), factor)
        normalization = percentile_normalization(data.swapaxes(0, 1), volume.source)
        network = self.network.to(chosen)
        output = np.empty((*data.shape[:2], grid.depth, *data.shape[3:]), data.dtype)
        for t, stack_t in enumerate(data):

            def report(fraction: float, t: int = t) -> None:
                progress.update("restoring", (t + fraction) / len(data))

            restored = restore(
                network,
                normalization.apply(stack_t),
                grid,
                self.config.sigma_data,
                self.config.sampler,
                evaluations=steps,
                mode=mode,
                seed=seed,
                device=chosen,
                report=report,
            )
            output[t] = normalization.invert(restored, data.dtype)
            output[t][:, list(grid.known)] = stack_t  # measured planes, bit for bit
        provenance = {
            "isoslice": __version__,
            "model": self.fingerprint,
            "factor": factor,
            "mode": mode,
            "steps": 2 if mode == "mean" else steps,
            "seed": seed,
            "source": Path(volume.source).name,
            "normalization": {"low": normalization.low, "high": normalization.high},
            "measured_planes": "every output plane i * factor is measured plane i, unchanged",
        }
        size = volume.voxel_size
        return Prediction(
            from_tczyx(output, volume.axes),
            volume.axes,
            None if size is None else output_voxel_size(size, factor),
            factor,
            provenance,
            volume.unit,
            volume.channel_names,
        )


def build_network(config: ModelConfig) -> Denoiser:
    """Make the untrained denoiser that `config` describes."""
    shape = config.network
    network = Denoiser(shape.channels, shape.widths, shape.blocks_down, shape.blocks_up)
    return channels_last(network)


def is_model_folder(path: str | Path) -> bool:
    """Tell whether `path` holds the files of a model."""
    return (Path(path) / CONFIG).is_file() and (Path(path) / WEIGHTS).is_file()


def _weights(network: Denoiser) -> list[tuple[str, torch.Tensor]]:
    return list(network.state_dict().items())


def _as_volume(
    stack: NDArray[Any] | Volume, axes: str | None, voxel_size: Sequence[float] | None
) -> Volume:
    size = None if voxel_size is None else parse_voxel_size(voxel_size)
    spacing = {} if size is None else dict(zip("ZYX", size, strict=True))
    if isinstance(stack, Volume):
        return Volume(
            stack.data,
            axes or stack.axes,
            spacing or stack.spacing,
            stack.unit,
            stack.channel_names,
            stack.provenance,
            stack.source,
        )
    if axes is None:
        raise DataError(
            f"got an array of shape {stack.shape} without axes, expected them named; "
            'for example axes="ZYX"'
        )
    return Volume(np.asarray(stack), axes, spacing)


def _check_options(mode: str, steps: int, seed: int) -> None:
    if mode not in get_args(Mode):
        raise SettingsError(f"got mode {mode!r}, expected 'sample' or 'mean'")
    if mode == "sample" and not 3 <= steps <= 1000:
        raise SettingsError(f"got steps {steps}, expected 3 to 1000; the default is 8")
    if not 0 <= seed < 2**62:
        raise SettingsError(f"got seed {seed}, expected 0 or more")


def _check_stack(volume: Volume, channels: int) -> None:
    if volume.size("Z") < 2:
        raise DataError(
            f"{volume.source}: got {volume.size('Z')} plane(s) (axes {volume.axes}, shape "
            f"{volume.data.shape}), expected a z-stack of at least two; if the axes are named "
            "wrongly, give them with --axes"
        )
    if volume.size("C") != channels:
        raise DataError(
            f"{volume.source}: got {volume.size('C')} channel(s), expected {channels} as the "
            "model was trained on; use a model for these channels, or train one on this stack"
        )


def _choose_factor(volume: Volume, factor: int | None, progress: Progress) -> int:
    size = volume.voxel_size
    if factor is not None:
        factor, reason = check_factor(factor), "as asked"
    elif size is None:
        raise DataError(
            f"{volume.source}: got no voxel size (known: {dict(volume.spacing) or 'nothing'}), "
            "expected the spacing along Z, Y and X; give it with --voxel-size Z,Y,X"
        )
    else:
        factor = factor_from_voxel_size(size)
        reason = (
            f"the nearest integer to Z over XY spacing, {size.z / np.sqrt(size.y * size.x):.2f}"
        )
    planes = volume.size("Z")
    note = f"factor {factor} ({reason}): {planes} planes become {(planes - 1) * factor + 1}"
    if size is not None:
        new = output_voxel_size(size, factor)
        unit = f" {volume.unit}" if volume.unit else ""
        note += f", voxel size (Z, Y, X) {new.z:.4g}, {new.y:.4g}, {new.x:.4g}{unit}"
    progress.note(note)
    return factor
