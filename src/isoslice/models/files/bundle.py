"""A trained model in memory, and its folder: load and save."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import torch
from safetensors.torch import save_file
from torch import nn

from isoslice.errors import ModelError, SettingsError
from isoslice.io.atomic import atomic_output
from isoslice.models.config import AnyConfig
from isoslice.models.files.card import model_card
from isoslice.models.files.folder import (
    head_shapes,
    network_shapes,
    read_record,
    read_settings,
    read_trust,
    read_weights,
    short,
    with_weights,
)
from isoslice.models.networks.error_head import SpreadHead, build_head
from isoslice.models.networks.factory import build_network
from isoslice.models.pretrained import PRETRAINED, model_path
from isoslice.models.reliability.record import Trust
from isoslice.runtime.paths import at_home
from isoslice.runtime.text import as_typed

CONFIG, WEIGHTS, CARD, RECORD = "config.json", "weights.safetensors", "README.md", "training.json"
#: Only of models that can predict their errors; see `reliability`.
TRUST, SPREAD = "trust.json", "spread.safetensors"


@dataclass(frozen=True)
class ModelBundle:
    """A denoiser with all that is needed to use it; loads and saves itself, nothing else.

    Attributes
    ----------
    config
        Settings, saved as ``config.json``.
    network
        The denoiser, in evaluation mode.
    info
        Training record, saved as ``training.json``.
    head
        Predicts errors of the mean, saved as ``spread.safetensors``; None if the model has none.
    trust
        Calibration and texture of the training images, saved as ``trust.json``.
    """

    config: AnyConfig
    network: nn.Module
    info: Mapping[str, Any] = field(default_factory=dict)
    head: SpreadHead | None = None
    trust: Trust = field(default_factory=Trust)

    @property
    def fingerprint(self) -> str:
        """First 12 hex digits of the SHA-256 of the weights, which identify the model."""
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

        Examples
        --------
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import isoslice
        >>> with TemporaryDirectory() as folder:
        ...     isoslice.Model.pretrained().save(Path(folder, "mine"))
        ...     (Path(folder, "mine") / "config.json").exists()
        True
        """
        with atomic_output(at_home(Path(path)), overwrite=overwrite) as folder:
            folder.mkdir()
            (folder / CONFIG).write_text(
                self.config.model_dump_json(indent=2) + "\n", encoding="utf-8"
            )
            (folder / RECORD).write_text(
                json.dumps(dict(self.info), indent=2) + "\n", encoding="utf-8"
            )
            (folder / CARD).write_text(model_card(self.config, self.info), encoding="utf-8")
            save_file(stored(self.network), folder / WEIGHTS)
            (folder / TRUST).write_text(
                self.trust.model_dump_json(indent=1) + "\n", encoding="utf-8"
            )
            if self.head is not None:
                save_file(stored(self.head), folder / SPREAD)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model folder; nothing in it is ever executed.

        ``"pretrained"`` is the model that comes with isoslice; see `pretrained`.

        Raises
        ------
        ModelError
            If `path` is no model folder, or a damaged or malicious one.

        Examples
        --------
        >>> import isoslice
        >>> isoslice.Model.load("pretrained").config.recipe
        'isoslice'
        """
        folder = model_path(path)
        if not is_model_folder(folder):
            raise ModelError(
                f"{folder}: no isoslice model there, expected a folder with {CONFIG} and "
                f"{WEIGHTS}; make one with 'isoslice train IMAGES -o {as_typed(folder)}', or take "
                f"the one that comes with isoslice: {PRETRAINED}"
            )
        try:
            config = read_settings(folder / CONFIG)
            info = read_record(folder / RECORD)
        except (ValueError, OSError, SettingsError) as error:
            raise ModelError(
                f"{folder}: got settings that cannot be read ({short(error)}), expected those "
                "isoslice wrote; restore the folder or train the model again"
            ) from error
        # Compare shapes before building: settings may describe a network larger than the memory.
        weights = read_weights(folder / WEIGHTS, network_shapes(config))
        network = with_weights(build_network(config), weights)
        trust = read_trust(folder / TRUST) if (folder / TRUST).exists() else Trust()
        head = None
        if config.recipe == "isoslice" and (folder / SPREAD).exists():
            weights = read_weights(folder / SPREAD, head_shapes(config))
            head = with_weights(build_head(config), weights)
        return cls(config, network, info, head, trust)

    @classmethod
    def pretrained(cls) -> Self:
        """Return the model that comes with isoslice, which has seen many kinds of specimens.

        It restores stacks that it knows nothing of at once, each channel by itself; training goes
        on from it with `train.train`'s `start`.

        Examples
        --------
        >>> import isoslice
        >>> len(isoslice.Model.pretrained().fingerprint)
        12
        """
        return cls.load(PRETRAINED)


def is_model_folder(path: str | Path) -> bool:
    """Return whether `path` is a folder with a model's files."""
    folder = model_path(path)
    return (folder / CONFIG).is_file() and (folder / WEIGHTS).is_file()


def stored(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return weights as files have them: on the processor, contiguous."""
    return {name: t.detach().cpu().contiguous() for name, t in network.state_dict().items()}
