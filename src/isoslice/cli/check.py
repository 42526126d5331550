"""``isoslice check``: hide measured planes, restore them and compare them with the measurement."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.help import MODEL, RESULT, SCORES
from isoslice.cli.options import (
    Along,
    Device,
    Factor,
    MissingPlanes,
    NoNames,
    Overwrite,
    Quiet,
    ReportPath,
    ScoresFile,
    Seed,
    StackReading,
    check_scores,
    with_option_groups,
    write_scores,
)
from isoslice.models.choices import Mode

if TYPE_CHECKING:
    from isoslice.evaluation.holdout.result import Fidelity, PlaneScore

#: Most planes that are listed one by one; of more, quartiles and so many of the worst.
MAX_LISTED, WORST_LISTED = 12, 5

ModelPath = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model folder that train wrote. [default: pretrained, which comes with isoslice]",
        rich_help_panel=MODEL,
    ),
]
ScoredMode = Annotated[
    Mode | None,
    typer.Option("--mode", help="What to score. [default: the mean]", rich_help_panel=SCORES),
]
SliceProfile = Annotated[
    str | None,
    typer.Option(
        "--slice-profile",
        metavar="PROFILE",
        help="What a plane sees along Z, as predict takes it. Hidden planes are compared with what "
        "they would see of the restored volume, and it with what planes show.",
        rich_help_panel=SCORES,
    ),
]
ErrorsPath = Annotated[
    Path | None,
    typer.Option(
        "--output",
        "-o",
        metavar="PATH",
        help="Write the map of errors, as an image volume.",
        rich_help_panel=RESULT,
    ),
]


@with_option_groups
def check(
    stack: Annotated[str, typer.Argument(metavar="STACK", help="The stack to be restored.")],
    reading: StackReading,
    model: ModelPath = None,
    along: Along = None,
    factor: Factor = None,
    missing: MissingPlanes = "auto",
    mode: ScoredMode = None,
    slice_profile: SliceProfile = None,
    seed: Seed = 0,
    device: Device = "auto",
    json: ScoresFile = None,
    output: ErrorsPath = None,
    report: ReportPath = None,
    no_names: NoNames = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Tell how far to trust a model on a stack. Measured planes are hidden and restored."""
    from isoslice.data.optics import stated_message
    from isoslice.data.profile import parse_profile
    from isoslice.evaluation.holdout.run import check as leave_out
    from isoslice.inference.engine.job_plan import unnamed
    from isoslice.inference.model import Model
    from isoslice.io import check_suffix, write_volume
    from isoslice.io.atomic import check_apart, check_output
    from isoslice.io.reading import open_with
    from isoslice.models.pretrained import PRETRAINED
    from isoslice.runtime.progress import terminal_progress, told_if_slow

    options = reading.options()
    check_scores(json, report, overwrite)
    if slice_profile is not None:
        parse_profile(slice_profile)
    if output is not None:
        check_suffix(output)
        check_apart(output, stack)
        check_output(output, overwrite)
    progress = terminal_progress(quiet)
    with told_if_slow(progress, f"opening {stack}"):
        volume = open_with(Path(stack), options)
        if no_names:
            volume = unnamed(volume, Path(stack))
    if model is None:
        progress.note("no model given: the one that comes with isoslice is checked")
    try:
        result = leave_out(
            volume,
            Model.load(PRETRAINED if model is None else model),
            factor=factor,
            mode=mode,
            seed=seed,
            device=device,
            progress=progress,
            along=along,
            missing=missing,
            slice_profile=slice_profile,
        )
    finally:
        progress.close()
    if output is not None:
        write_volume(output, result.errors_volume(), overwrite=overwrite)
    if report is not None:
        from isoslice.evaluation.report import write_report
        from isoslice.evaluation.report.of_check import check_report

        write_report(report, check_report(result), overwrite=overwrite)
    if not write_scores(json, result.to_json(), overwrite):
        _print(result, output, stated_message(volume))


def _print(result: Fidelity, output: Path | None, stated: str | None) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from isoslice.evaluation.holdout.result import METHODS

    console = Console(markup=False, highlight=False)
    table = Table("", box=box.SIMPLE_HEAD)
    for name in ("model", "linear", "cubic", "gain (dB)"):
        table.add_column(name, justify="right")
    at = f"{2 * result.factor}x"
    table.add_row(f"PSNR, hidden planes, {at} (dB)", *_cells(result.psnr, 2), f"{result.gain:+.2f}")
    table.add_row(f"SSIM, hidden planes, {at}", *_cells(result.ssim, 3), "")
    expected = result.predicted_gain
    table.add_row(
        f"PSNR to expect at {result.factor}x (dB)",
        *_cells(result.predicted, 2),
        "-" if expected is None else f"{expected:+.2f}",
    )
    console.print(table)
    for channel in result.channels:
        if len(result.channels) > 1:
            name = channel.name or f"channel {channel.channel}"
            console.print(
                f"{name}, time {channel.time}: PSNR "
                + ", ".join(f"{method} {channel.psnr[method]:.2f}" for method in METHODS),
                soft_wrap=True,
            )
        for line in _plane_lines(channel.planes):
            console.print(line, soft_wrap=True)
    for note in (*result.notes, *([stated] if stated else [])):
        console.print(f"note: {note}", soft_wrap=True)
    for message in result.doubts.messages:
        console.print(f"warning: {message}", soft_wrap=True)
    if output is not None:
        console.print(f"errors: {output}", soft_wrap=True)
    console.print(f"verdict: {result.verdict}", soft_wrap=True)


def _cells(values: Mapping[str, float | None], digits: int) -> list[str]:
    from isoslice.evaluation.holdout.result import METHODS

    known = [values[method] for method in METHODS]
    return ["-" if value is None else f"{value:.{digits}f}" for value in known]


def _plane_lines(planes: tuple[PlaneScore, ...]) -> list[str]:
    """List the scores of planes one by one, or their quartiles and the worst."""
    import numpy as np

    def line(plane: PlaneScore) -> str:
        ours, theirs = plane.psnr["model"], plane.psnr["linear"]
        return (
            f"  plane {plane.plane:>4}: model {ours:6.2f}  linear {theirs:6.2f}  "
            f"gain {plane.gain:+.2f} dB"
        )

    if len(planes) <= MAX_LISTED:
        return [line(plane) for plane in planes]
    ours = np.quantile([plane.psnr["model"] for plane in planes], (0, 0.25, 0.5, 0.75, 1))
    gains = np.quantile([plane.gain for plane in planes], (0, 0.25, 0.5, 0.75, 1))
    worst = sorted(planes, key=lambda plane: plane.psnr["model"])[:WORST_LISTED]
    return [
        f"  {len(planes)} planes, least / quartiles / most",
        "  model PSNR (dB)  " + " / ".join(f"{value:.2f}" for value in ours),
        "  gain (dB)        " + " / ".join(f"{value:+.2f}" for value in gains),
        "  worst planes",
        *(line(plane) for plane in worst),
    ]
