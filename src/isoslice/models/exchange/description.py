"""Describe a package in the format of bioimage.io, 0.5: tensors, weights, and what people read.

Axes have no unit: what counts is that planes lie `factor` pixels apart, whatever a pixel is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import torch

from isoslice import __version__
from isoslice.models.config import ModelConfig
from isoslice.models.exchange.about import About
from isoslice.models.exchange.documentation import LIMITATIONS, RISKS
from isoslice.models.exchange.layout import (
    COVER,
    INPUT,
    OUTPUT,
    PROGRAM,
    README,
    SAMPLE_INPUT,
    SAMPLE_OUTPUT,
    STACK,
    VOLUME,
    WEIGHTS,
)
from isoslice.models.files.bundle import ModelBundle

#: Of bioimage.io's specification of models: what programs of 2025 read as well as today's.
FORMAT = "0.5.4"
#: Smallest side of a plane that is promised to work.
MIN_SIDE = 16

CITATION = {
    "text": "Jiang, Gedeon et al. 2024, Super-resolution of biomedical volumes with 2D "
    "supervision (the method that isoslice builds on)",
    "doi": "10.48550/arXiv.2404.09425",
}
TAGS = (
    "isoslice",
    "3d",
    "pytorch",
    "unet",
    "image-restoration",
    "isotropic-resolution",
    "z-stack",
)

Files = Mapping[str, bytes]


def describe(
    model: ModelBundle, config: ModelConfig, factor: int, about: About, files: Files
) -> dict[str, Any]:
    """Describe a package as plain values.

    Parameters
    ----------
    model, config
        The model, and its settings.
    factor
        Output planes for each of the stack.
    about
        What people are told.
    files
        All others of the package, by name; those that have no place in the description are
        listed as attachments.
    """
    weights = {
        **_file(files, WEIGHTS),
        "architecture": {
            **_file(files, PROGRAM),
            "callable": "ExpectedVolume",
            "kwargs": architecture_settings(config, factor),
        },
        "pytorch_version": torch.__version__.partition("+")[0],
    }
    described = {
        "format_version": FORMAT,
        "type": "model",
        "name": about.name,
        "description": f"Restores the {factor - 1} planes between each two of a coarse z-stack, as "
        "they are expected; learned from 2D images alone by isoslice. Detail between measured "
        "planes is invented.",
        "authors": [{"name": author} for author in about.authors],
        "license": about.license,
        "cite": [CITATION],
        "tags": [*TAGS, *(tag for tag in about.tags if tag not in TAGS)],
        "documentation": README,
        "covers": [COVER],
        "inputs": [_tensor(config, factor, files, output=False)],
        "outputs": [_tensor(config, factor, files, output=True)],
        "weights": {"pytorch_state_dict": weights},
        "config": {
            "bioimageio": _for_readers(model, config),
            "isoslice": {
                "version": __version__,
                "fingerprint": model.fingerprint,
                "factor": factor,
                "pixel_size": config.pixel_size,
                "unit": config.unit,
            },
        },
    }
    return _with_attachments({name: v for name, v in described.items() if v}, files)


def architecture_settings(config: ModelConfig, factor: int) -> dict[str, Any]:
    """Return the arguments of `ExpectedVolume`."""
    network = config.network.model_dump(mode="json")
    training = config.training
    masks = {"factors": list(training.factors), "even_share": training.even_share}
    return {
        **network,
        "sigma_data": config.sigma_data,
        "factor": factor,
        "softening": config.softening,
        "per_stack": masks if config.per_stack else None,
        "intensities": None if config.intensities is None else list(config.intensities),
    }


def _file(files: Files, name: str) -> dict[str, Any]:
    return {"source": name, "sha256": sha256(files[name]).hexdigest()}


def _tensor(config: ModelConfig, factor: int, files: Files, *, output: bool) -> dict[str, Any]:
    count = config.network.channels
    names = config.channel_names or tuple(f"channel{number}" for number in range(count))
    test, sample = (OUTPUT, SAMPLE_OUTPUT) if output else (INPUT, SAMPLE_INPUT)
    lateral = [_lateral_axis(axis, output) for axis in "yx"]
    z: dict[str, Any] = {"type": "space", "id": "z", "scale": float(factor)}
    if output:
        # (n - 1) k + 1 planes; scales are whole numbers, so that no rounding takes one.
        size = {"tensor_id": STACK, "axis_id": "z", "offset": 1 - factor}
        z |= {"size": size, "scale": 1.0, "description": f"plane {factor} i is the stack's plane i"}
    else:
        z |= {"size": {"min": 2, "step": 1}, "description": "planes, evenly spaced"}
    return {
        "id": VOLUME if output else STACK,
        "description": "the stack with the planes between, intensities as in the stack"
        if output
        else f"planes {factor} pixels apart, intensities as measured, all of them finite",
        "axes": [
            {"type": "batch"},
            {"type": "channel", "channel_names": list(names)},
            z,
            *lateral,
        ],
        "data": {"type": "float32"},
        "test_tensor": _file(files, test),
        "sample_tensor": _file(files, sample),
    }


def _lateral_axis(axis: str, output: bool) -> dict[str, Any]:
    size = {"tensor_id": STACK, "axis_id": axis} if output else {"min": MIN_SIDE, "step": 1}
    return {"type": "space", "id": axis, "size": size}


def _for_readers(model: ModelBundle, config: ModelConfig) -> dict[str, Any]:
    """Return what the format has places for, though programs do not need it."""
    training, info = config.training, model.info
    minutes = info.get("minutes")
    hours = None
    if isinstance(minutes, int | float) and math.isfinite(minutes):
        hours = minutes / 60
    details = {
        "training_preprocessing": "rows of 2D images are hidden, and filled in linearly",
        "training_batch_size": float(training.batch),
        "initial_learning_rate": training.learning_rate,
        "loss_function": "root of the mean squared error of the residual, over hidden rows",
        "optimizer": "Muon",
        "training_duration": hours,
    }
    return {
        "architecture_type": "2D U-Net",
        "architecture_description": "magnitude-preserving U-Net over XZ and YZ slices, without "
        "attention or statistics over the image",
        "task": "image-restoration",
        "model_parameter_count": sum(p.numel() for p in model.network.parameters()),
        "training": {name: value for name, value in details.items() if value is not None},
        "bias_risks_limitations": {"risks": RISKS, "limitations": LIMITATIONS},
    }


def _with_attachments(described: dict[str, Any], files: Files) -> dict[str, Any]:
    named = str(described)
    rest = [name for name in files if repr(name) not in named]
    return {**described, "attachments": [_file(files, name) for name in rest]}
