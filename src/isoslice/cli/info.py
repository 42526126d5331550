"""``isoslice info``: what isoslice sees in a volume or a model folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoslice.cli.options import Axes, JsonFlag
from isoslice.cli.text import as_json, as_lines

if TYPE_CHECKING:
    from isoslice.volume import Volume


def info(
    path: Annotated[str, typer.Argument(metavar="PATH", help="A volume or a model folder.")],
    axes: Axes = None,
    json: JsonFlag = False,
) -> None:
    """Describe a volume or a model."""
    from isoslice.io import read_volume

    # Only a folder can be a model; a file needs no torch.
    if Path(path).is_dir() and _is_model(path):
        found = describe_model(path)
        if not json:
            # Long lists are for programs.
            found = {n: v for n, v in found.items() if n not in ("history", "intensities")}
    else:
        found = describe_volume(read_volume(path, axes=axes))
    typer.echo(as_json(found) if json else as_lines(found))


def describe_volume(volume: Volume) -> dict[str, Any]:
    """Return what `info` shows of a volume."""
    from isoslice.geometry import factor_from_voxel_size

    size = volume.voxel_size
    found: dict[str, Any] = {
        "path": volume.source,
        "shape": list(volume.data.shape),
        "axes": volume.axes,
        "dtype": volume.data.dtype.name,
        "voxel_size": {axis: volume.spacing.get(axis) for axis in "ZYX" if axis in volume.axes},
        "unit": volume.unit,
        "channels": list(volume.channel_names) if volume.channel_names else volume.size("C"),
        "anisotropy": None,
        "factor": None,
        "intensity": {"min": float(volume.data.min()), "max": float(volume.data.max())},
        "provenance": dict(volume.provenance) if volume.provenance else None,
    }
    if size is not None:
        found["anisotropy"] = size.z / (size.y * size.x) ** 0.5
        if found["anisotropy"] >= 1.5:
            found["factor"] = factor_from_voxel_size(size)
    return found


def describe_model(path: str) -> dict[str, Any]:
    """Return what `info` shows of a model folder."""
    from isoslice.model import Model

    model = Model.load(Path(path))
    config = model.config
    return {
        "model": path,
        "fingerprint": model.fingerprint,
        "recipe": config.recipe,
        **({"distilled": True} if getattr(config, "distilled", None) else {}),
        "channels": list(config.channel_names or ()) or config.network.channels,
        "pixel_size": config.pixel_size,
        "unit": config.unit,
        "seed": config.training.seed,
        **model.info,
    }


def _is_model(path: str) -> bool:
    from isoslice.model import is_model_folder

    return is_model_folder(Path(path))
