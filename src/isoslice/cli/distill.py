"""``isoslice distill``: a trained model in, one that predicts several times faster out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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


def distill(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="Model folder that train wrote.")],
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGES...", help="2D images or stacks, best those it learned from."
        ),
    ],
    output: Output,
    axes: Axes = None,
    series: Series = None,
    channel: Channel = None,
    time: Time = None,
    minutes: Minutes = None,
    steps: Steps = None,
    seed: Seed = 0,
    device: Device = "auto",
    devices: Devices = 1,
    nodes: Nodes = 1,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Make a fast model of a trained one. It takes two evaluations a voxel instead of five."""
    from isoslice.inference.model import Model
    from isoslice.io import read_images
    from isoslice.io.atomic import check_output
    from isoslice.io.srh import read_srh_images
    from isoslice.runtime.device import choose_device
    from isoslice.training.distillation import distill as distill_model
    from isoslice.training.distributed.topology import find_place

    check_output(output, overwrite)
    teacher = Model.load(model)
    place = find_place(devices, nodes, choose_device(device))
    first = place is None or place.first
    workdir = prepare_workdir(output, resume=resume, overwrite=overwrite, first=first)
    read = read_srh_images if teacher.config.srh else read_images
    volumes = read(images, **dict(reading_of(axes, series=series, channel=channel, time=time)))
    with kept_when_interrupted(workdir, quiet, first) as progress:
        student = distill_model(
            teacher,
            volumes,
            minutes=minutes,
            steps=steps,
            seed=seed,
            device=device,
            devices=devices,
            nodes=nodes,
            workdir=workdir,
            resume=resume,
            progress=progress,
        )
        if first:
            student.save(output, overwrite=overwrite)
    if first and not quiet:
        for line in closing_lines(output, student.info):
            typer.echo(line)
