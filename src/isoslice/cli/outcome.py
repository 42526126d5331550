"""What is told once a volume is restored: its agreement with the planes, and a report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from isoslice.data.volume import Volume
    from isoslice.inference.prediction import Prediction


def tell_agreement(provenance: Mapping[str, Any]) -> None:
    """Say how far the result agrees with planes that are no points."""
    from isoslice.data.recorded import agreement_messages
    from isoslice.errors import DoubtWarning, warn

    told, warning = agreement_messages(provenance)
    if told is not None:
        typer.echo(f"agreement: {told}, which is below 1 if all is as it was told")
    if warning is not None:
        warn(warning, DoubtWarning)


def write_prediction_report(
    report: Path, stack: Volume, prediction: Prediction, *, overwrite: bool
) -> None:
    """Write the page of a restored volume."""
    from isoslice.evaluation.report import write_report
    from isoslice.evaluation.report.of_predict import prediction_report

    write_report(report, prediction_report(stack, prediction), overwrite=overwrite)
