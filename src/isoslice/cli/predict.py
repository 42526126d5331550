"""``isoslice predict``: an anisotropic stack in, an isotropic one out."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.interrupts import Interrupted
from isoslice.cli.options import (
    DEFAULT_MINUTES,
    Axes,
    Device,
    DeviceOption,
    Direction,
    Mode,
    Output,
    Overwrite,
    Quiet,
    Seed,
    VoxelSizeText,
    voxel_size_of,
)

if TYPE_CHECKING:
    from isoslice.model import Model
    from isoslice.progress import Progress
    from isoslice.volume import Volume


def predict(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="The stack to restore.")],
    output: Output,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", metavar="MODEL", help="Model folder that train wrote."),
    ] = None,
    axes: Axes = None,
    voxel_size: VoxelSizeText = None,
    factor: Annotated[
        int | None,
        typer.Option(
            "--factor",
            metavar="K",
            help="Output planes per measured plane. [default: from the voxel size]",
        ),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            max=1000,
            metavar="N",
            help="Network evaluations per voxel in mode sample: more is sharper and slower. "
            "[default: 5; 200 for msdsr]",
        ),
    ] = None,
    seed: Seed = 0,
    mode: Annotated[
        Mode | None,
        typer.Option("--mode", help="A plausible sample, or a smoother mean. [default: sample]"),
    ] = None,
    detail: Annotated[
        float | None,
        typer.Option(
            "--detail",
            metavar="D",
            help="From 0, the mean and most faithful, to 1, all detail, fine detail first: most "
            "realistic. [default: 1]",
        ),
    ] = None,
    direction: Annotated[
        Direction,
        typer.Option("--direction", help="Slices that msdsr and end-to-end models restore."),
    ] = Direction.both,
    blur: Annotated[
        bool, typer.Option("--blur", help="Blur the result a little, as the MSDSR paper may.")
    ] = False,
    device: DeviceOption = Device.auto,
    minutes: Annotated[
        float, typer.Option("--minutes", metavar="M", help="Time to train if no model is given.")
    ] = DEFAULT_MINUTES,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Restore a stack; train on its own planes if there is no model."""
    from isoslice.device import choose_device
    from isoslice.io import check_suffix, read_volume, require_voxel_size, write_volume
    from isoslice.io.atomic import check_output
    from isoslice.model import Model
    from isoslice.presets import preset_config
    from isoslice.progress import terminal_progress
    from isoslice.recipes import resolve_options

    check_suffix(output)
    check_output(output, overwrite)
    own_model = model_beside(output)
    if model is None:
        check_output(own_model, overwrite)
    volume = read_volume(stack, axes=axes, voxel_size=voxel_size_of(voxel_size))
    # The output must carry a true voxel size, so this holds even where --factor is given.
    require_voxel_size(volume)
    check_stack(volume, factor)
    choose_device(device.value)
    restorer = None if model is None else Model.load(model)
    # What predict would refuse, before minutes of training.
    config = preset_config("isoslice") if restorer is None else restorer.config
    resolve_options(
        config, None if mode is None else mode.value, steps, detail, seed, direction.value
    )
    progress = terminal_progress(quiet)
    trained = False
    try:
        if restorer is None:
            restorer = _train_on(volume, minutes, seed, device, progress)
            restorer.save(own_model, overwrite=overwrite)
            trained = True
            progress.note(f"model saved: {own_model}; reuse it with -m {own_model}")
        started = time.perf_counter()
        prediction = restorer.predict(
            volume,
            factor=factor,
            steps=steps,
            seed=seed,
            mode=None if mode is None else mode.value,
            detail=detail,
            direction=direction.value,
            blur=blur,
            device=device.value,
            progress=progress,
        )
        seconds = time.perf_counter() - started
        write_volume(output, prediction.to_volume(), overwrite=overwrite)
    except KeyboardInterrupt:
        raise Interrupted(_what_is_left(own_model if trained else None)) from None
    finally:
        progress.close()
    if not quiet:
        speed = prediction.volume.size / max(seconds, 1e-9)
        typer.echo(f"restored: {output} ({seconds:.1f} s, {speed:,.0f} voxels/s)")


def model_beside(output: Path) -> Path:
    """Return where a model trained on the fly goes: ``cells.model`` for ``cells.ome.tif``."""
    name = output.name
    return output.with_name((name[: name.index(".", 1)] if "." in name[1:] else name) + ".model")


def check_stack(volume: Volume, factor: int | None) -> None:
    """Raise at once what Model.predict would raise after minutes of training."""
    from isoslice.errors import DataError
    from isoslice.geometry import check_factor, even_grid, factor_from_voxel_size
    from isoslice.io import require_voxel_size

    if "Z" not in volume.axes:
        raise DataError(
            f"{volume.source}: got a 2D image (axes {volume.axes}), expected a stack with a Z "
            "axis; if one axis is Z, name the axes with --axes, for example --axes ZYX"
        )
    if factor is None:
        factor = factor_from_voxel_size(require_voxel_size(volume))
    even_grid(volume.size("Z"), check_factor(factor))


def _what_is_left(own_model: Path | None) -> str:
    if own_model is not None:
        return f"the model is kept; run again with -m {own_model}"
    return "nothing was written"


def _train_on(
    volume: Volume, minutes: float, seed: int, device: Device, progress: Progress
) -> Model:
    from isoslice.training import train

    progress.note(
        f"no model given: training one for {minutes:g} minutes on the stack's own "
        f"{volume.size('Z')} planes"
    )
    return train(volume, minutes=minutes, seed=seed, device=device.value, progress=progress)
