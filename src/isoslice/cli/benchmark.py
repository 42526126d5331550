"""``isoslice benchmark``: the paper's evaluation on your own data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from isoslice.cli.help import MACHINE, RESULT
from isoslice.cli.interrupts import Interrupted
from isoslice.cli.options import Device, FeaturesPath, Light, Output, Quiet, ReportPath
from isoslice.errors import SettingsError


def benchmark(
    config: Annotated[
        Path, typer.Argument(metavar="CONFIG", help="TOML file: what to train on and to test.")
    ],
    output: Output,
    quick: Annotated[
        bool,
        typer.Option(
            "--quick",
            help="Less of everything: under an hour on two cores.",
            rich_help_panel=MACHINE,
        ),
    ] = False,
    features: FeaturesPath = None,
    light: Light = False,
    device: Device = "auto",
    report: ReportPath = None,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Replace an existing report.", rich_help_panel=RESULT),
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Run the MSDSR paper's evaluation: tables and figures. Run again, it goes on where it was."""
    if light and features is not None:
        raise SettingsError("got both --light and --features, expected one; leave out --features")
    from isoslice.evaluation.benchmark.run import run_benchmark
    from isoslice.evaluation.benchmark.settings import read_settings
    from isoslice.evaluation.benchmark.tables import text
    from isoslice.evaluation.slicefid.features import inception, texture
    from isoslice.runtime.progress import terminal_progress

    if report is not None:
        from isoslice.evaluation.report import check_report_path

        check_report_path(report, overwrite)
    settings = read_settings(config, quick=quick)
    extractor = texture() if light else inception(features, device)
    progress = terminal_progress(quiet)
    try:
        tables = run_benchmark(settings, output, extractor, device=device, progress=progress)
        if report is not None:
            from isoslice.evaluation.report import write_report
            from isoslice.evaluation.report.of_benchmark import benchmark_report

            made_by = {**settings.model_dump(mode="json"), "features": extractor.name}
            page = benchmark_report(tables, output, made_by)
            write_report(report, page, overwrite=overwrite)
            progress.note(f"report: {report}")
    except KeyboardInterrupt:
        raise Interrupted(f"what is done is kept in {output}; run the same again") from None
    finally:
        progress.close()
    typer.echo("\n\n".join(text(table) for table in tables))
