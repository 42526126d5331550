"""The typer application and its commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from isoslice import __version__
from isoslice.cli.benchmark import benchmark
from isoslice.cli.check import check
from isoslice.cli.distill import distill
from isoslice.cli.env import env
from isoslice.cli.evaluate import evaluate
from isoslice.cli.export import export
from isoslice.cli.help import GroupedCommand
from isoslice.cli.import_model import import_model
from isoslice.cli.import_msdsr import import_msdsr
from isoslice.cli.info import info
from isoslice.cli.interrupts import Interrupted
from isoslice.cli.predict import predict
from isoslice.cli.slicefid import slicefid
from isoslice.cli.train import train


class Commands(TyperGroup):
    """A group of commands that turns an interruption into `Interrupted`.

    typer would turn it into a silent exit, or print "Aborted!", depending on its version.
    """

    def invoke(self, ctx: Any) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted("nothing was written") from None
        except EOFError as error:  # which typer would take for an interruption, too
            raise RuntimeError(f"EOFError: {error}") from error


# Plain help can be searched, and needs no rich, whose import would double the time it takes.
app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Isotropic volumes from anisotropic z-stacks, learned from 2D images alone.",
)
#: Commands, each with an example that its help shows, and that names it.
COMMANDS: tuple[tuple[Callable[..., None], str], ...] = (
    (train, "isoslice train IMAGES/ -o MODEL --minutes 20"),
    (predict, "isoslice predict STACK.tif -o RESTORED.ome.zarr"),
    (check, "isoslice check STACK.tif --report CHECK.html"),
    (distill, "isoslice distill MODEL IMAGES/ -o FAST --minutes 10"),
    (evaluate, "isoslice evaluate TRUTH.tif RESTORED.ome.zarr"),
    (slicefid, "isoslice slicefid RESTORED.ome.zarr --real IMAGES/"),
    (benchmark, "isoslice benchmark CONFIG.toml -o RESULTS --quick"),
    (info, "isoslice info STACK.tif"),
    (env, "isoslice env"),
    (export, "isoslice export MODEL -o MODEL.zip --license CC-BY-4.0"),
    (import_model, "isoslice import MODEL.zip -o MODEL"),
    (import_msdsr, "isoslice import-msdsr CHECKPOINT.ckpt -o MODEL"),
)
for command, example in COMMANDS:
    app.command(example.split()[1], cls=GroupedCommand, epilog=example)(command)


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
