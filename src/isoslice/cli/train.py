"""``isoslice train``: images in, a model folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoslice.cli.help import INPUT, MODEL, PAPER
from isoslice.cli.options import (
    Axes,
    Channel,
    Device,
    Devices,
    Nodes,
    Output,
    Overwrite,
    Quiet,
    Seed,
    Series,
    Time,
    Unit,
    VoxelSizeText,
    reading_of,
)
from isoslice.cli.training_options import (
    Minutes,
    Resume,
    Steps,
    closing_lines,
    kept_when_interrupted,
    prepare_workdir,
)
from isoslice.models.choices import Preset


def train(
    images: Annotated[
        list[str],
        typer.Argument(metavar="IMAGES...", help="2D images or stacks: files, folders, patterns."),
    ],
    output: Output,
    axes: Axes = None,
    voxel_size: VoxelSizeText = None,
    unit: Unit = None,
    series: Series = None,
    channel: Channel = None,
    time: Time = None,
    minutes: Minutes = None,
    steps: Steps = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            metavar="MODEL",
            help="Continue from this model on these images.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    preset: Annotated[
        Preset | None,
        typer.Option(
            "--preset",
            help="isoslice's own recipe, the MSDSR paper's, or its baseline. [default: isoslice]",
            rich_help_panel=PAPER,
        ),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            "--width",
            metavar="N",
            help="Width of the network of msdsr and end-to-end. [default: 224, as published]",
            rich_help_panel=PAPER,
        ),
    ] = None,
    srh: Annotated[
        bool,
        typer.Option(
            "--srh",
            help="Two-channel SRH images: derive the third channel.",
            rich_help_panel=INPUT,
        ),
    ] = False,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on 2D images; no isotropic volume is needed."""
    from isoslice.inference.model import Model
    from isoslice.io import read_images
    from isoslice.io.atomic import check_output
    from isoslice.models.presets import preset_config
    from isoslice.runtime.device import choose_device
    from isoslice.training.distributed.topology import find_place
    from isoslice.training.finetune import check_start
    from isoslice.training.train import train as train_model

    reading = reading_of(axes, voxel_size, unit, series, channel, time)
    check_output(output, overwrite)
    begun = None if start is None else Model.load(start)
    if begun is None:
        preset_config(preset or "isoslice", width)
    else:
        check_start(begun, preset, width, None, srh)
        srh = begun.config.srh
    place = find_place(devices, nodes, choose_device(device))
    first = place is None or place.first
    workdir = prepare_workdir(output, resume=resume, overwrite=overwrite, first=first)
    if srh:
        from isoslice.io.srh import read_srh_images

        volumes = read_srh_images(images, **dict(reading))
    else:
        volumes = read_images(images, **dict(reading))
    with kept_when_interrupted(workdir, quiet, first) as progress:
        model = train_model(
            volumes,
            minutes=minutes,
            steps=steps,
            preset=preset,
            width=width,
            start=begun,
            srh=srh,
            seed=seed,
            device=device,
            devices=devices,
            nodes=nodes,
            workdir=workdir,
            resume=resume,
            progress=progress,
        )
        if first:
            model.save(output, overwrite=overwrite)
    if first and not quiet:
        for line in closing_lines(output, model.info):
            typer.echo(line)
