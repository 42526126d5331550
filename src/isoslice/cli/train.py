"""``isoslice train``: images in, a model folder out."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from isoslice.cli.help import INPUT, MODEL, PAPER
from isoslice.cli.options import MissingPlanes, Reading, with_option_groups
from isoslice.cli.training_options import TrainingOptions
from isoslice.models.choices import Preset

Images = Annotated[
    list[str],
    typer.Argument(metavar="IMAGES...", help="2D images or stacks: files, folders, patterns."),
]
Start = Annotated[
    Path | None,
    typer.Option(
        "--from",
        metavar="MODEL",
        help="Continue from this model on these images, or from pretrained, which comes along.",
        rich_help_panel=MODEL,
    ),
]
PresetName = Annotated[
    Preset | None,
    typer.Option(
        "--preset",
        help="isoslice's own recipe, the MSDSR paper's, or its baseline. [default: isoslice]",
        rich_help_panel=PAPER,
    ),
]
Width = Annotated[
    int | None,
    typer.Option(
        "--width",
        metavar="N",
        help="Width of the network of msdsr and end-to-end. [default: 224, as published]",
        rich_help_panel=PAPER,
    ),
]
Srh = Annotated[
    bool,
    typer.Option(
        "--srh",
        help="Two-channel SRH images: derive the third channel.",
        rich_help_panel=INPUT,
    ),
]


StackProfile = Annotated[
    str | None,
    typer.Option(
        "--slice-profile",
        metavar="PROFILE",
        help="What planes of the stacks see along Z, as predict takes it (auto: found from them). "
        "The model stores it, and undoes it in stacks with planes as far apart.",
        rich_help_panel=INPUT,
    ),
]
RestoredSpacing = Annotated[
    float | None,
    typer.Option(
        "--spacing",
        metavar="S",
        help="Spacing of the planes that will be restored, if it is not that of pixels, in the "
        "unit of the voxel size: the model learns from rows as far apart.",
        rich_help_panel=INPUT,
    ),
]


@with_option_groups
def train(
    images: Images,
    training: TrainingOptions,
    reading: Reading,
    start: Start = None,
    preset: PresetName = None,
    width: Width = None,
    srh: Srh = False,
    missing: MissingPlanes = "auto",
    slice_profile: StackProfile = None,
    spacing: RestoredSpacing = None,
) -> None:
    """Train a model on 2D images; no isotropic volume is needed."""
    from isoslice.inference.model import Model
    from isoslice.io import read_images
    from isoslice.io.atomic import check_output
    from isoslice.models.presets import preset_config
    from isoslice.training.finetune import check_start
    from isoslice.training.train import train as train_model

    options = reading.options().model_dump(exclude={"positions"})
    check_output(training.output, training.overwrite)
    begun = None if start is None else Model.load(start)
    if begun is None:
        preset_config(preset or "isoslice", width)
    else:
        check_start(begun, preset, width, None, srh)
        srh = begun.config.srh
    workdir, first = training.prepare()
    if srh:
        from isoslice.io.srh import read_srh_images

        volumes = read_srh_images(images, **options)
    else:
        volumes = read_images(images, **options)
    learn = partial(
        train_model,
        volumes,
        preset=preset,
        width=width,
        start=begun,
        srh=srh,
        missing=missing,
        slice_profile=slice_profile,
        spacing=spacing,
    )
    training.run(learn, workdir, first)
