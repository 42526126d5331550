"""Options of ``train`` and ``distill``, their working folder and their final output."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from isoslice.cli.help import MACHINE
from isoslice.cli.interrupts import Interrupted
from isoslice.cli.options import Device, Devices, Nodes, Output, Overwrite, Quiet, Seed
from isoslice.errors import OutputError, SettingsError
from isoslice.runtime.budget import DEFAULT_MINUTES
from isoslice.runtime.text import as_typed

if TYPE_CHECKING:
    from isoslice.inference.model import Model
    from isoslice.runtime.progress import Progress

Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="M",
        help=f"Time to train, all of it. [default: {DEFAULT_MINUTES:g}]",
        rich_help_panel=MACHINE,
    ),
]
Steps = Annotated[
    int | None,
    typer.Option(
        "--steps",
        metavar="N",
        help="Steps to train, instead of minutes.",
        rich_help_panel=MACHINE,
    ),
]
Resume = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Continue an interrupted training of this output.",
        rich_help_panel=MACHINE,
    ),
]


@dataclass(frozen=True)
class TrainingOptions:
    """Options of every command that trains."""

    output: Output
    minutes: Minutes = None
    steps: Steps = None
    seed: Seed = 0
    device: Device = "auto"
    devices: Devices = 1
    nodes: Nodes = 1
    resume: Resume = False
    overwrite: Overwrite = False
    quiet: Quiet = False

    def prepare(self) -> tuple[Path, bool]:
        """Prepare the working folder; return it, and whether this is the first process."""
        from isoslice.runtime.device import choose_device
        from isoslice.training.distributed.topology import find_topology

        place = find_topology(self.devices, self.nodes, choose_device(self.device))
        first = place is None or place.first
        return prepare_workdir(self.output, self.resume, self.overwrite, first), first

    def run(self, learn: Callable[..., Model], workdir: Path, first: bool) -> None:
        """Call `learn` with these options, save the model and print where it is."""
        with kept_when_interrupted(workdir, self.quiet, first) as progress:
            model = learn(
                minutes=self.minutes,
                steps=self.steps,
                seed=self.seed,
                device=self.device,
                devices=self.devices,
                nodes=self.nodes,
                workdir=workdir,
                resume=self.resume,
                progress=progress,
            )
            if first:
                model.save(self.output, overwrite=self.overwrite)
        if first and not self.quiet:
            for line in closing_lines(self.output, model.info):
                typer.echo(line)


@contextmanager
def kept_when_interrupted(workdir: Path, quiet: bool, first: bool) -> Iterator[Progress]:
    """Show progress of a training; if interrupted, say what is kept in `workdir`.

    `workdir` is removed once the model is written, or if it is empty. Only the first of several
    processes does this.
    """
    from isoslice.runtime.progress import terminal_progress

    progress = terminal_progress(quiet or not first)
    try:
        yield progress
    except KeyboardInterrupt:
        raise Interrupted(_what_is_kept(workdir)) from None
    finally:
        progress.close()
        if first:
            _remove_if_empty(workdir)
    if first:
        shutil.rmtree(workdir, ignore_errors=True)


def prepare_workdir(output: Path, resume: bool, overwrite: bool, first: bool) -> Path:
    """Return the folder for an unfinished training, beside the output.

    Only the first of several processes prepares it: others may find it in use already.
    """
    workdir = output.with_name(output.name + ".training")
    if not first:
        return workdir
    _remove_if_empty(workdir)
    if resume and not workdir.exists():
        raise SettingsError(
            f"got --resume, but there is no unfinished training at {workdir}; leave out --resume "
            "to start one"
        )
    if workdir.exists() and not resume:
        if not overwrite:
            raise OutputError(
                f"{workdir} holds an unfinished training; continue it with --resume, or start "
                "afresh with --overwrite"
            )
        shutil.rmtree(workdir)
    return workdir


def closing_lines(output: Path, info: Mapping[str, Any]) -> list[str]:
    """Return lines with the model's path, its validation, and what to run next."""
    lines = [f"model: {output}"]
    for factor, score in (info.get("validation") or {}).items():
        lines.append(
            f"hidden rows, {factor}x: {score['psnr']:.2f} dB, linear interpolation "
            f"{score['linear_psnr']:.2f} dB"
        )
    return [*lines, f"next: isoslice predict STACK -m {as_typed(output)} -o OUT"]


def _what_is_kept(workdir: Path) -> str:
    """Say what is kept of an interrupted training."""
    if workdir.is_dir() and any(workdir.iterdir()):
        return f"training is kept in {workdir}; run the same again with --resume"
    return "before the first checkpoint; nothing was written"


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder if it is empty."""
    with suppress(OSError):
        folder.rmdir()
