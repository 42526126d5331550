"""``isoslice import``: a package of bioimage.io or an MSDSR checkpoint in, a model folder out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoslice.cli.import_msdsr import imported
from isoslice.cli.options import Output, Overwrite, Quiet


def import_model(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", help="Package that export wrote, or a checkpoint of MSDSR's code."
        ),
    ],
    output: Output,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Turn a package or checkpoint into a model. Nothing in it is executed."""
    from isoslice.io.atomic import check_output
    from isoslice.models.exchange.package import is_package, read_package
    from isoslice.models.files.msdsr_checkpoint import import_msdsr

    check_output(output, overwrite)
    package = file.suffix == ".zip" or is_package(file)
    model = read_package(file) if package else import_msdsr(file)
    model.save(output, overwrite=overwrite)
    if not quiet:
        typer.echo(imported(model, output))
