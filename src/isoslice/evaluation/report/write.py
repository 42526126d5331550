"""Write a report as an HTML file, atomically."""

from __future__ import annotations

from pathlib import Path

from isoslice.errors import OutputError
from isoslice.evaluation.report.data import Report
from isoslice.evaluation.report.page import html
from isoslice.io.atomic import atomic_output, check_output
from isoslice.runtime.paths import at_home

SUFFIXES = (".html", ".htm")


def write_report(path: str | Path, report: Report, *, overwrite: bool = False) -> None:
    """Write a report as one HTML file that needs no network.

    Parameters
    ----------
    path
        File to write, ending in ``.html``.
    report
        Its content.
    overwrite
        Replace an existing file.

    Raises
    ------
    OutputError
        If the path does not end in ``.html``, cannot be written, or exists and `overwrite` is
        False; nothing is left behind then.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
    >>> stack = isoslice.Volume(planes, "ZYX", {"Z": 2.0, "Y": 1.0, "X": 1.0})
    >>> result = isoslice.Model.pretrained().predict(stack, mode="mean")
    >>> report = isoslice.prediction_report(stack, result)
    >>> with TemporaryDirectory() as folder:
    ...     isoslice.write_report(Path(folder, "report.html"), report)
    ...     Path(folder, "report.html").read_text(encoding="utf-8")[:15]
    '<!doctype html>'
    """
    check_report_path(path, overwrite)
    text = html(report)
    with atomic_output(at_home(Path(path)), overwrite=overwrite) as draft:
        draft.write_text(text, encoding="utf-8")


def check_report_path(path: str | Path, overwrite: bool = False) -> None:
    """Check, before hours of work, that a report can be written to `path`.

    Raises
    ------
    OutputError
        As `write_report`.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise OutputError(
            f"{path}: got a report that does not end in .html, expected one HTML file; rename it"
        )
    check_output(Path(path), overwrite)
