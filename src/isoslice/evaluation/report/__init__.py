"""Reports: one HTML file each, which shows volumes, tables and how far to trust them."""

from __future__ import annotations

from isoslice.evaluation.report.data import Advice, Made, Picture, Plot, Report, Scene, Shown, Table
from isoslice.evaluation.report.write import check_report_path, write_report

__all__ = [
    "Advice",
    "Made",
    "Picture",
    "Plot",
    "Report",
    "Scene",
    "Shown",
    "Table",
    "check_report_path",
    "write_report",
]
