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

from isoslice.errors import ModelError
from isoslice.io.atomic import atomic_output
from isoslice.models.config import AnyConfig, ModelConfig
from isoslice.models.files.card import model_card
from isoslice.models.files.folder import (
    head_shapes,
    network_shapes,
    read_record,
    read_settings,
    read_trust,
    read_weights,
    short,
)
from isoslice.models.networks.error_head import SpreadHead, build_head
from isoslice.models.networks.factory import build_network
from isoslice.models.reliability.record import Trust

CONFIG, WEIGHTS, CARD, RECORD = "config.json", "weights.safetensors", "README.md", "training.json"
#: Of models that can tell where to doubt; see `reliability`.
TRUST, SPREAD = "trust.json", "spread.safetensors"


@dataclass(frozen=True)
class ModelBundle:
    """A denoiser with everything needed to use it, and no behaviour beyond its files.

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
    def load(cls, path: str | Path) -> Self:
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


def is_model_folder(path: str | Path) -> bool:
    """Tell whether `path` holds the files of a model."""
    return (Path(path) / CONFIG).is_file() and (Path(path) / WEIGHTS).is_file()


def _weights(network: nn.Module) -> list[tuple[str, torch.Tensor]]:
    return list(network.state_dict().items())
