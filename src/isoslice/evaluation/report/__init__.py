"""Reports: one HTML file each, with volumes, tables and advice on how far to trust them."""

from __future__ import annotations

from isoslice.evaluation.report.data import (
    Advice,
    Derived,
    Layer,
    Picture,
    Report,
    Scene,
    Table,
)
from isoslice.evaluation.report.svg import Plot
from isoslice.evaluation.report.write import check_report_path, write_report

__all__ = [
    "Advice",
    "Derived",
    "Layer",
    "Picture",
    "Plot",
    "Report",
    "Scene",
    "Table",
    "check_report_path",
    "write_report",
]
