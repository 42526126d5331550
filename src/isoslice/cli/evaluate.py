"""``isoslice evaluate``: restored volumes against the truth."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.help import INPUT, SCORES
from isoslice.cli.options import (
    Overwrite,
    ReportPath,
    ScoresFile,
    Selection,
    check_scores,
    with_option_groups,
    write_scores,
)

if TYPE_CHECKING:
    from isoslice.data.volume import Volume
    from isoslice.evaluation.evaluate import Evaluation


@with_option_groups
def evaluate(
    truth: Annotated[str, typer.Argument(metavar="TRUTH", help="The true isotropic volume.")],
    outputs: Annotated[
        list[str], typer.Argument(metavar="OUT...", help="Restored volumes to compare with it.")
    ],
    selection: Selection,
    factor: Annotated[
        int | None,
        typer.Option(
            "--factor",
            metavar="K",
            help="Output planes per measured plane. [default: what the restored volume says]",
            rich_help_panel=INPUT,
        ),
    ] = None,
    data_range: Annotated[
        float | None,
        typer.Option(
            "--data-range",
            metavar="R",
            help="Range for PSNR and SSIM. [default: 0.1th to 99.9th percentile of the truth]",
            rich_help_panel=SCORES,
        ),
    ] = None,
    json: ScoresFile = None,
    report: ReportPath = None,
    overwrite: Overwrite = False,
) -> None:
    """Compare restored volumes with the truth: L1, PSNR, SSIM."""
    from isoslice.evaluation.evaluate import evaluate as compare
    from isoslice.io.reading import in_memory, open_with

    check_scores(json, report, overwrite)
    true = in_memory(open_with(Path(truth), selection.options()))
    opened = [_opened(out, selection) for out in outputs]
    evaluations = [
        compare(true, in_memory(out), factor=factor, data_range=data_range) for out in opened
    ]
    if report is not None:
        from isoslice.evaluation.report import write_report
        from isoslice.evaluation.report.of_evaluate import evaluation_report

        write_report(report, evaluation_report(true, opened, evaluations), overwrite=overwrite)
    if not write_scores(json, [asdict(evaluation) for evaluation in evaluations], overwrite):
        _print_table(evaluations)


def _opened(path: str, selection: Selection) -> Volume:
    """Open a restored volume; select channels or time points only where it has several."""
    from isoslice.io.reading import open_volume
    from isoslice.io.selection import select

    volume = open_volume(path, selection.axes)
    return select(
        volume,
        selection.channel if volume.size("C") > 1 else None,
        selection.time if volume.size("T") > 1 else None,
    )


def _print_table(evaluations: list[Evaluation]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from isoslice.evaluation.evaluate import evaluation_rows

    console = Console(markup=False, highlight=False)
    table = Table("", box=box.SIMPLE_HEAD)
    for evaluation in evaluations:
        table.add_column(Path(evaluation.restored).name, justify="right", overflow="fold")
    for row in evaluation_rows(evaluations):
        table.add_row(*row)
    console.print(table)
    for evaluation in evaluations:
        for note in evaluation.notes:
            console.print(f"{Path(evaluation.restored).name}: {note}", soft_wrap=True)
