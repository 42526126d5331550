"""``isoslice import-msdsr``: the authors' checkpoint in, a model folder out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.help import INPUT
from isoslice.cli.options import Output, Overwrite, Quiet
from isoslice.runtime.text import as_typed

if TYPE_CHECKING:
    from isoslice.models.files.bundle import ModelBundle


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
        typer.echo(imported(model, output))


def imported(model: ModelBundle, output: Path) -> str:
    """Say what was imported, and what to do with it."""
    size = sum(p.numel() for p in model.network.parameters()) / 1e6
    width = getattr(model.config.network, "width", None)
    return (
        f"model: {output} ({size:.2f} M parameters{f', width {width}' if width else ''})\n"
        f"next: isoslice predict STACK -m {as_typed(output)} -o OUT"
    )
