"""The typer application: which commands there are."""

from __future__ import annotations

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from isoslice import __version__
from isoslice.cli.benchmark import benchmark
from isoslice.cli.check import check
from isoslice.cli.distill import distill
from isoslice.cli.env import env
from isoslice.cli.evaluate import evaluate
from isoslice.cli.import_msdsr import import_msdsr
from isoslice.cli.info import info
from isoslice.cli.interrupts import Interrupted
from isoslice.cli.predict import predict
from isoslice.cli.slicefid import slicefid
from isoslice.cli.train import train


class Commands(TyperGroup):
    """A group that lets an interruption through as an exception of ours.

    typer would turn it into a silent exit, or print "Aborted!", depending on its version.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("nothing was written") from None


# Plain help loads no rich (half of the time that help takes) and can be searched.
app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Isotropic volumes from anisotropic z-stacks, learned from 2D images alone.",
)
for command in (
    train,
    predict,
    check,
    distill,
    evaluate,
    slicefid,
    benchmark,
    info,
    env,
    import_msdsr,
):
    app.command()(command)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"isoslice {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Print the version."),
    ] = False,
) -> None:
    """Isotropic volumes from anisotropic z-stacks, learned from 2D images alone."""
