"""``isoslice evaluate``: restored volumes against the truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.options import Axes, Overwrite, ReportPath
from isoslice.cli.text import as_json

if TYPE_CHECKING:
    from isoslice.evaluation import Evaluation


def evaluate(
    truth: Annotated[str, typer.Argument(metavar="TRUTH", help="The true isotropic volume.")],
    outputs: Annotated[
        list[str], typer.Argument(metavar="OUT...", help="Restored volumes to compare with it.")
    ],
    axes: Axes = None,
    factor: Annotated[
        int | None,
        typer.Option(
            "--factor",
            metavar="K",
            help="Output planes per measured plane. [default: what the restored volume says]",
        ),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            "--data-range",
            metavar="R",
            help="Range for PSNR and SSIM. [default: 0.1th to 99.9th percentile of the truth]",
        ),
    ] = None,
    json: Annotated[
        str | None,
        typer.Option("--json", metavar="FILE", help="Write scores as JSON; - prints only them."),
    ] = None,
    report: ReportPath = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare restored volumes with the truth: L1, PSNR, SSIM."""
    from isoslice.evaluation import evaluate as compare
    from isoslice.io import read_volume
    from isoslice.io.atomic import atomic_output, check_output

    if json not in (None, "-"):
        check_output(Path(json), overwrite)
    if report is not None:
        from isoslice.report import check_report_path

        check_report_path(report, overwrite)
    true = read_volume(truth, axes=axes)
    found = [
        compare(true, read_volume(out, axes=axes), factor=factor, data_range=data_range)
        for out in outputs
    ]
    if report is not None:
        from isoslice.io.read import open_volume
        from isoslice.report import write_report
        from isoslice.report.of_evaluate import evaluation_report

        opened = [open_volume(out, axes=axes) for out in outputs]
        write_report(report, evaluation_report(true, opened, found), overwrite=overwrite)
    if json == "-":
        typer.echo(as_json([asdict(evaluation) for evaluation in found]))
        return
    _print_table(found)
    if json is not None:
        with atomic_output(Path(json), overwrite) as draft:
            draft.write_text(as_json([asdict(evaluation) for evaluation in found]) + "\n")


def _print_table(found: list[Evaluation]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from isoslice.evaluation import evaluation_rows

    console = Console(markup=False, highlight=False)
    table = Table("", box=box.SIMPLE_HEAD)
    for evaluation in found:
        table.add_column(Path(evaluation.restored).name, justify="right", overflow="fold")
    for row in evaluation_rows(found):
        table.add_row(*row)
    console.print(table)
    for evaluation in found:
        for note in evaluation.notes:
            console.print(f"{Path(evaluation.restored).name}: {note}", soft_wrap=True)
