"""``isoslice slicefid``: how much slices along all three axes look like real 2D images."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from isoslice.cli.help import INPUT, SCORES
from isoslice.cli.options import (
    Device,
    FeaturesPath,
    Light,
    Overwrite,
    Quiet,
    ScoresFile,
    Seed,
    Selection,
    check_scores,
    with_option_groups,
    write_scores,
)
from isoslice.errors import SettingsError

if TYPE_CHECKING:
    from isoslice.evaluation.slicefid.score import SliceFid

Volumes = Annotated[
    list[str],
    typer.Argument(metavar="VOLUME...", help="Isotropic volumes to score, truths among them."),
]
Real = Annotated[
    list[str],
    typer.Option(
        "--real",
        metavar="IMAGES",
        help="Real 2D images or stacks: a file, folder or pattern; may be repeated.",
        rich_help_panel=INPUT,
    ),
]
RealAxes = Annotated[
    str | None,
    typer.Option(
        "--real-axes",
        metavar="AXES",
        help="Axes of the real images, likewise.",
        rich_help_panel=INPUT,
    ),
]
RealChannel = Annotated[
    str | None,
    typer.Option(
        "--real-channel",
        metavar="C",
        help="Which channels of the real images, likewise. [default: all]",
        rich_help_panel=INPUT,
    ),
]
Protocol = Annotated[
    Literal["default", "msdsr"],
    typer.Option(
        "--protocol",
        help="default: equal square tiles, one intensity mapping. msdsr: blocks of 48, each "
        "slice equalised, as that paper's code.",
        rich_help_panel=SCORES,
    ),
]
RecordedFactor = Annotated[
    int | None,
    typer.Option(
        "--factor",
        metavar="K",
        help="Output planes per measured plane, which are not scored. [default: what the "
        "volume says]",
        rich_help_panel=INPUT,
    ),
]
Stride = Annotated[
    int,
    typer.Option(
        "--stride",
        min=1,
        metavar="N",
        help="Every Nth slice: a quick look.",
        rich_help_panel=SCORES,
    ),
]
Tile = Annotated[
    int | None,
    typer.Option(
        "--tile",
        metavar="N",
        help="Side of tiles. [default: about 48, what fits]",
        rich_help_panel=SCORES,
    ),
]


@with_option_groups
def slicefid(
    volumes: Volumes,
    real: Real,
    selection: Selection,
    real_axes: RealAxes = None,
    real_channel: RealChannel = None,
    protocol: Protocol = "default",
    features: FeaturesPath = None,
    light: Light = False,
    factor: RecordedFactor = None,
    stride: Stride = 1,
    tile: Tile = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: ScoresFile = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Score slices of volumes against real 2D images: FID, KID."""
    if light and features is not None:
        raise SettingsError("got both --light and --features, expected one; leave out --features")
    if tile is not None and protocol == "msdsr":
        raise SettingsError(
            "got --tile with --protocol msdsr, whose images have a side of 40; leave out --tile"
        )
    from isoslice.evaluation.slicefid.features import inception, texture
    from isoslice.evaluation.slicefid.score import ScoreOptions
    from isoslice.evaluation.slicefid.volumes import score_volumes
    from isoslice.io import read_images
    from isoslice.io.reading import in_memory, open_with
    from isoslice.runtime.progress import terminal_progress

    check_scores(json, None, overwrite)
    extractor = texture() if light else inception(features, device)
    images = read_images(real, axes=real_axes, channel=real_channel)
    options = selection.options()
    progress = terminal_progress(quiet)
    try:
        results = score_volumes(
            [in_memory(open_with(Path(volume), options)) for volume in volumes],
            images,
            extractor,
            ScoreOptions(protocol, stride, tile, seed=seed),
            factor=factor,
            progress=progress,
        )
    finally:
        progress.close()
    if not write_scores(json, [asdict(result) for result in results], overwrite):
        _print_table(results)


def _print_table(results: list[SliceFid]) -> None:
    from isoslice.evaluation.slicefid.score import slicefid_rows

    names = [Path(result.volume).name for result in results]
    rows = [("", *names), *slicefid_rows(results)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        typer.echo("  ".join([row[0].ljust(widths[0]), *cells]).rstrip())
    first = results[0]
    sides = sorted({f"{height} x {width}" for height, width in first.tile.values()})
    typer.echo(
        f"{first.extractor} features, {first.protocol} protocol, images of {', '.join(sides)}"
    )
    if first.extractor == "texture":
        typer.echo("texture features: a quick look, not comparable with any FID")
    for name, result in zip(names, results, strict=True):
        for note in result.notes:
            typer.echo(f"{name}: {note}")
