"""Options that several commands share, declared once."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import typer

from isoslice.cli.help import INPUT, LARGE, MACHINE, RESULT, SCORES, TRUST

if TYPE_CHECKING:
    from isoslice.io.options import ReadOptions


Axes = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="AXES",
        help="Axes of the input, such as ZYX or CZYX, if not in the file.",
        rich_help_panel=INPUT,
    ),
]
VoxelSizeText = Annotated[
    str | None,
    typer.Option(
        "--voxel-size",
        metavar="Z,Y,X",
        help="Voxel size, such as 4,0.83,0.83 or 2.8mm,0.7mm,0.7mm; overrides the file's. Without "
        "a unit: in the file's own, in micrometres where it has none.",
        rich_help_panel=INPUT,
    ),
]
Unit = Annotated[
    str | None,
    typer.Option(
        "--unit",
        metavar="UNIT",
        help="Unit of --voxel-size, such as um, nm or mm.",
        rich_help_panel=INPUT,
    ),
]
Series = Annotated[
    str | None,
    typer.Option(
        "--series",
        metavar="S",
        help="Which image of a file with several: a number from 0, or a name. [default: the first, "
        "of DICOM the largest; 'isoslice info' lists them]",
        rich_help_panel=INPUT,
    ),
]
Channel = Annotated[
    str | None,
    typer.Option(
        "--channel",
        metavar="C",
        help="Which channels: numbers from 0 or names, such as 0, DAPI or 0,2. [default: all]",
        rich_help_panel=INPUT,
    ),
]
Time = Annotated[
    str | None,
    typer.Option(
        "--time",
        metavar="T",
        help="Which time points: a number from 0, or a range A:B without B. [default: all]",
        rich_help_panel=INPUT,
    ),
]
Along = Annotated[
    Literal["Z", "Y", "X"] | None,
    typer.Option(
        "--along",
        case_sensitive=False,
        help="Axis that is coarse. [default: from the voxel size]",
        rich_help_panel=INPUT,
    ),
]
PositionsFile = Annotated[
    str | None,
    typer.Option(
        "--positions",
        metavar="FILE",
        help="Where planes are along Z, if not in the file: a text file, a number a line, in the "
        "unit of the voxel size. Or even: evenly spaced, whatever the file says.",
        rich_help_panel=INPUT,
    ),
]
Isotropic = Annotated[
    bool,
    typer.Option(
        "--isotropic",
        help="Restore exactly the spacing of XY, not an integer factor.",
        rich_help_panel=RESULT,
    ),
]
Spacing = Annotated[
    float | None,
    typer.Option(
        "--spacing",
        metavar="S",
        help="Restore this spacing along the coarse axis, in the unit of the voxel size.",
        rich_help_panel=RESULT,
    ),
]
Factor = Annotated[
    int | None,
    typer.Option(
        "--factor",
        metavar="K",
        help="Output planes per measured plane. [default: from the voxel size]",
        rich_help_panel=INPUT,
    ),
]
MissingPlanes = Annotated[
    str,
    typer.Option(
        "--missing",
        metavar="PLANES",
        help="Planes that are missing or damaged, counted from 0, such as 12,40-42, beside those "
        "that are found; none: all planes are sound.",
        rich_help_panel=INPUT,
    ),
]
Device = Annotated[
    Literal["auto", "cpu", "cuda", "mps"],
    typer.Option("--device", help="Where to compute.", rich_help_panel=MACHINE),
]
Devices = Annotated[
    int,
    typer.Option(
        "--devices",
        min=1,
        metavar="N",
        help="GPUs of each node to train on together.",
        rich_help_panel=MACHINE,
    ),
]
Nodes = Annotated[
    int,
    typer.Option(
        "--nodes",
        min=1,
        metavar="M",
        help="Nodes, where SLURM or torchrun starts the processes.",
        rich_help_panel=MACHINE,
    ),
]
Seed = Annotated[
    int,
    typer.Option(
        "--seed",
        min=0,
        metavar="N",
        help="Same seed, same result on the same machine.",
        rich_help_panel=RESULT,
    ),
]
Output = Annotated[
    Path,
    typer.Option("--output", "-o", metavar="PATH", help="Where to write.", rich_help_panel=RESULT),
]
Overwrite = Annotated[
    bool,
    typer.Option("--overwrite", help="Replace an existing output.", rich_help_panel=RESULT),
]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")]
FeaturesPath = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="PATH",
        help="Inception weights as TorchScript; loading runs the program in the file. "
        "[default: what is installed]",
        rich_help_panel=SCORES,
    ),
]
Light = Annotated[
    bool,
    typer.Option(
        "--light",
        help="Simple texture features: fast, no weights, but no FID.",
        rich_help_panel=SCORES,
    ),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory that a process may take, such as 4GB: 1GB or more. "
        "[default: half of what is free, shared among workers]",
        rich_help_panel=LARGE,
    ),
]
Slab = Annotated[
    int | None,
    typer.Option(
        "--slab",
        min=1,
        metavar="N",
        help="Slices that are worked on at once. [default: from --memory]",
        rich_help_panel=LARGE,
    ),
]
Workers = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        max=1024,
        metavar="N",
        help="Processes on this machine.",
        rich_help_panel=LARGE,
    ),
]
Scheduler = Annotated[
    str | None,
    typer.Option(
        "--scheduler",
        metavar="ADDRESS",
        help="Use the workers of a Dask scheduler.",
        rich_help_panel=LARGE,
    ),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="I/N",
        help="Be one of N runs that share the work, such as jobs of a batch system.",
        rich_help_panel=LARGE,
    ),
]
NoNames = Annotated[
    bool,
    typer.Option(
        "--no-names",
        help="Call the stack by a number in all that is written, which then names no file, folder "
        "or machine: some are called after a patient.",
        rich_help_panel=RESULT,
    ),
]
ReportPath = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Also write one HTML page that shows the result and how far to trust it.",
        rich_help_panel=TRUST,
    ),
]
ScoresFile = Annotated[
    str | None,
    typer.Option(
        "--json",
        metavar="FILE",
        help="Write scores as JSON; - prints only them.",
        rich_help_panel=RESULT,
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]


def part_of(text: str | None) -> tuple[int, int] | None:
    """Parse ``I/N``."""
    from isoslice.errors import SettingsError

    if text is None:
        return None
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise SettingsError(f"got part {text!r}, expected I/N with I from 1 to N, such as 3/16")
    return int(first), int(last)


@dataclass(frozen=True)
class Reading:
    """Options that say how an image is to be read."""

    axes: Axes = None
    voxel_size: VoxelSizeText = None
    unit: Unit = None
    series: Series = None
    channel: Channel = None
    time: Time = None

    def options(self) -> ReadOptions:
        """Parse them."""
        from isoslice.io.options import ReadOptions
        from isoslice.io.spacing import parse_spacing

        size, unit = parse_spacing(self.voxel_size, self.unit)
        return ReadOptions(
            axes=self.axes,
            voxel_size=size,
            unit=unit,
            series=self.series,
            channel=self.channel,
            time=self.time,
        )


@dataclass(frozen=True)
class StackReading(Reading):
    """Options that say how a stack is to be read, and where its planes are."""

    positions: PositionsFile = None

    def options(self) -> ReadOptions:
        """Parse them, and read the file of positions."""
        from isoslice.io.positions import read_positions

        places = read_positions(self.positions)
        return super().options().model_copy(update={"positions": places})


@dataclass(frozen=True)
class Selection:
    """Options that say which part of an image is to be read."""

    axes: Axes = None
    series: Series = None
    channel: Channel = None
    time: Time = None

    def options(self) -> ReadOptions:
        """Parse them."""
        return Reading(self.axes, None, None, self.series, self.channel, self.time).options()


def check_scores(json: str | None, report: Path | None, overwrite: bool) -> None:
    """Raise `OutputError` if what ``--json`` and ``--report`` name cannot be written."""
    from isoslice.io.atomic import check_output

    if json not in (None, "-"):
        check_output(Path(json), overwrite)
    if report is not None:
        from isoslice.evaluation.report import check_report_path

        check_report_path(report, overwrite)


def write_scores(json: str | None, scores: Any, overwrite: bool) -> bool:
    """Write scores as ``--json`` says; return whether they were printed, and nothing else is."""
    from isoslice.io.atomic import atomic_output
    from isoslice.runtime.text import as_json

    if json == "-":
        typer.echo(as_json(scores))
    elif json is not None:
        with atomic_output(Path(json), overwrite) as draft:
            draft.write_text(as_json(scores) + "\n", encoding="utf-8")
    return json == "-"


def with_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Show typer each field of a parameter that is a dataclass as an option of the command."""
    parameters: list[inspect.Parameter] = []
    groups: dict[str, type[Any]] = {}

    def add(name: str, default: Any, annotation: Any) -> None:
        kind = inspect.Parameter.KEYWORD_ONLY
        default = inspect.Parameter.empty if default is MISSING else default
        parameters.append(inspect.Parameter(name, kind, default=default, annotation=annotation))

    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        if is_dataclass(hints[name]):
            groups[name] = hints[name]
            annotations = get_type_hints(hints[name], include_extras=True)
            for field in fields(hints[name]):
                add(field.name, field.default, annotations[field.name])
        else:
            add(name, parameter.default, hints[name])

    def run(**values: Any) -> None:
        for name, group in groups.items():
            values[name] = group(**{field.name: values.pop(field.name) for field in fields(group)})
        command(**values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {one.name: one.annotation for one in parameters}
    return run
