"""What tests of bioimage.io packages share: a model to export, and packages changed or run."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isoslice.inference.model import Model
from isoslice.models.config import ModelConfig, NetworkSettings
from isoslice.models.exchange.export import export_bioimageio
from tiny_head import let_hear, network, random_head

WIDTHS = {"widths": (8, 12), "blocks_down": (1, 1), "blocks_up": (1, 0)}


def model(*, head: bool = False, channels: int = 1, measured: bool = False, **settings) -> Model:
    """An untrained model that changes what it interpolates; it knows of no noise."""
    shape = NetworkSettings(channels=channels, measured=measured, **WIDTHS)
    config = ModelConfig(network=shape, **{"sigma_data": 0.1, **settings})
    made = network(config)
    let_hear(made)
    info = {"sources": ["a.tif"], "planes": 3, "minutes": 1.5, "validation": {}}
    return Model(config, made, info, random_head(config).eval() if head else None)


def package(folder: Path, made: Model | None = None, **options: Any) -> Path:
    """Export a model to a package in a folder."""
    export_bioimageio(made or model(), folder / "m.zip", overwrite=True, **options)
    return folder / "m.zip"


def contents(path: Path) -> dict[str, bytes]:
    """All files of a package."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def described(path: Path) -> dict[str, Any]:
    """The description of a package."""
    return json.loads(contents(path)["bioimageio.yaml"])


def repacked(path: Path, change: Callable[[dict[str, bytes]], object]) -> Path:
    """Change the files of a package in place."""
    files = contents(path)
    change(files)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def run_program(path: Path, stack: np.ndarray) -> np.ndarray:
    """Run a package as bioimage.io's programs do, on (C, n, Y, X), with nothing from isoslice."""
    files, weights = contents(path), described(path)["weights"]["pytorch_state_dict"]
    architecture = weights["architecture"]
    source = files[architecture["source"]].decode()
    assert "isoslice." not in "".join(line for line in source.splitlines() if "import" in line)
    names: dict[str, Any] = {"__name__": "program"}
    exec(compile(source, "architecture.py", "exec"), names)
    made = names[architecture["callable"]](**architecture["kwargs"]).eval()
    stored = io.BytesIO(files[weights["source"]])
    made.load_state_dict(torch.load(stored, weights_only=True))
    with torch.no_grad():
        return made(torch.from_numpy(stack)[None])[0].numpy()
