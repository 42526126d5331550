"""``isoslice export``: a model in, a package of bioimage.io out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoslice.cli.help import INPUT, RESULT
from isoslice.cli.options import Output, Overwrite, Quiet, Selection, with_option_groups
from isoslice.runtime.text import as_typed


@with_option_groups
def export(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Model folder, or pretrained.")],
    output: Output,
    sample: Annotated[
        Path | None,
        typer.Option(
            "--sample",
            metavar="STACK",
            help="Stack of which a small part is stored, to show and to test. [default: random "
            "texture]",
            rich_help_panel=INPUT,
        ),
    ] = None,
    *,
    selection: Selection,
    factor: Annotated[
        int | None,
        typer.Option(
            "--factor",
            metavar="K",
            help="Output planes per measured plane. [default: what the model learned for, or 4]",
            rich_help_panel=RESULT,
        ),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option("--name", metavar="NAME", help="Of the package.", rich_help_panel=RESULT),
    ] = None,
    author: Annotated[
        list[str] | None,
        typer.Option(
            "--author",
            metavar="NAME",
            help="Who made the model; once for each.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    license_: Annotated[
        str | None,
        typer.Option(
            "--license",
            metavar="SPDX",
            help="Licence of the weights, such as CC-BY-4.0.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    tag: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            help="By which others find it, such as electron-microscopy; once for each.",
            rich_help_panel=RESULT,
        ),
    ] = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Package a model for other programs (bioimage.io). It restores the mean, without isoslice."""
    from isoslice.inference.model import Model
    from isoslice.io.atomic import check_output
    from isoslice.io.reading import open_with
    from isoslice.models.exchange.export import export_bioimageio

    check_output(output, overwrite)
    export_bioimageio(
        Model.load(model),
        output,
        factor,
        name=name,
        authors=author or (),
        license=license_,
        tags=tag or (),
        sample=None if sample is None else open_with(sample, selection.options()),
        overwrite=overwrite,
    )
    if quiet:
        return
    typer.echo(f"package: {output} ({output.stat().st_size / 1e6:.1f} MB)")
    left = [option for option, told in (("--author", author), ("--license", license_)) if not told]
    if left:
        typer.echo(f"before you publish it, give {' and '.join(left)}: some programs insist")
    typer.echo(f"next: bioimageio test {as_typed(output)}")
