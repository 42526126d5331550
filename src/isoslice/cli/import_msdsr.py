"""``isoslice import-msdsr``: the authors' checkpoint in, a model folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoslice.cli.help import INPUT
from isoslice.cli.options import Output, Overwrite, Quiet


def import_msdsr(
    checkpoint: Annotated[
        Path, typer.Argument(metavar="CKPT", help="Checkpoint of the released MSDSR code.")
    ],
    output: Output,
    last: Annotated[
        bool,
        typer.Option(
            "--last", help="Take the last weights, not the averaged ones.", rich_help_panel=INPUT
        ),
    ] = False,
    srh: Annotated[
        bool | None,
        typer.Option(
            "--srh/--no-srh",
            help="Trained on SRH channels. [default: if it has three channels]",
            rich_help_panel=INPUT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Turn the MSDSR authors' checkpoint into a model. Nothing in it is executed."""
    from isoslice.io.atomic import check_output
    from isoslice.models.files.msdsr_checkpoint import import_msdsr as import_checkpoint

    check_output(output, overwrite)
    model = import_checkpoint(checkpoint, averaged=not last, srh=srh)
    model.save(output, overwrite=overwrite)
    if not quiet:
        size = model.info["parameters"] / 1e6
        typer.echo(
            f"model: {output} ({size:.2f} M parameters, width {model.config.network.width})"
            if model.config.recipe == "msdsr"
            else f"model: {output}"
        )
        typer.echo(f"next: isoslice predict STACK -m {output} -o OUT")
