"""``isoslice train``: images in, a model folder out."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from isoslice.cli.interrupts import Interrupted
from isoslice.cli.options import (
    Axes,
    Device,
    DeviceOption,
    Output,
    Overwrite,
    Preset,
    Quiet,
    Seed,
    VoxelSizeText,
    voxel_size_of,
)
from isoslice.errors import OutputError, SettingsError


def train(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES...", help="2D images or stacks: files, folders, patterns."),
    ],
    output: Output,
    axes: Axes = None,
    voxel_size: VoxelSizeText = None,
    minutes: Annotated[
        float | None,
        typer.Option("--minutes", metavar="M", help="Time to train. [default: 10]"),
    ] = None,
    steps: Annotated[
        int | None, typer.Option("--steps", metavar="N", help="Steps to train, instead of minutes.")
    ] = None,
    preset: Annotated[
        Preset,
        typer.Option("--preset", help="isoslice's own recipe, the MSDSR paper's, or its baseline."),
    ] = Preset.isoslice,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            metavar="N",
            help="Width of the network of msdsr and end-to-end. [default: 224, as published]",
        ),
    ] = None,
    srh: Annotated[
        bool, typer.Option("--srh", help="Two-channel SRH images: derive the third channel.")
    ] = False,
    seed: Seed = 0,
    device: DeviceOption = Device.auto,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted training of this output.")
    ] = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on 2D images; no isotropic volume is needed."""
    from isoslice.device import choose_device
    from isoslice.io import read_images
    from isoslice.io.atomic import check_output
    from isoslice.presets import preset_config
    from isoslice.progress import terminal_progress
    from isoslice.training import train as train_model

    check_output(output, overwrite)
    preset_config(preset.value, width)
    workdir = prepare_workdir(output, resume=resume, overwrite=overwrite)
    size = voxel_size_of(voxel_size)
    choose_device(device.value)
    if srh:
        from isoslice.srh import read_srh_images

        volumes = read_srh_images(images, axes=axes, voxel_size=size)
    else:
        volumes = read_images(images, axes=axes, voxel_size=size)
    progress = terminal_progress(quiet)
    try:
        model = train_model(
            volumes,
            minutes=minutes,
            steps=steps,
            preset=preset.value,
            width=width,
            srh=srh,
            seed=seed,
            device=device.value,
            workdir=workdir,
            resume=resume,
            progress=progress,
        )
        model.save(output, overwrite=overwrite)
    except KeyboardInterrupt:
        raise Interrupted(what_is_left(workdir)) from None
    finally:
        progress.close()
        remove_if_empty(workdir)
    shutil.rmtree(workdir, ignore_errors=True)
    if not quiet:
        for line in closing_lines(output, model.info):
            typer.echo(line)


def prepare_workdir(output: Path, *, resume: bool, overwrite: bool) -> Path:
    """Return the folder for what an interrupted training leaves, beside the output."""
    workdir = output.with_name(output.name + ".training")
    remove_if_empty(workdir)
    if resume and not workdir.exists():
        raise SettingsError(
            f"got --resume, but there is no unfinished training at {workdir}; leave out --resume "
            "to start one"
        )
    if workdir.exists() and not resume:
        if not overwrite:
            raise OutputError(
                f"{workdir} holds an unfinished training; continue it with --resume, or start "
                "afresh with --overwrite"
            )
        shutil.rmtree(workdir)
    return workdir


def closing_lines(output: Path, info: Mapping[str, Any]) -> list[str]:
    """Return where the model lies, how good it is, and what to run next."""
    lines = [f"model: {output}"]
    for factor, score in (info.get("validation") or {}).items():
        lines.append(
            f"validation at {factor}x: {score['psnr']:.2f} dB, linear interpolation "
            f"{score['linear_psnr']:.2f} dB"
        )
    return [*lines, f"next: isoslice predict STACK -m {output} -o OUT"]


def what_is_left(workdir: Path) -> str:
    """Say what an interrupted training leaves."""
    if workdir.is_dir() and any(workdir.iterdir()):
        return f"training is kept in {workdir}; run the same again with --resume"
    return "before the first checkpoint; nothing was written"


def remove_if_empty(folder: Path) -> None:
    """Remove a folder that holds nothing."""
    with suppress(OSError):
        folder.rmdir()
