"""The report of a benchmark: its tables and figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from isoslice.evaluation.benchmark.cells import ScoreTable, shown_cell
from isoslice.evaluation.report.data import Advice, Picture, Report, Table

_ARROWS = {"low": " ↓", "high": " ↑", "": ""}
#: Most bytes of all embedded pictures, as base64.
MAX_PICTURE_BYTES = 14_000_000


def benchmark_report(
    tables: Sequence[ScoreTable], folder: str | Path, settings: Mapping[str, Any]
) -> Report:
    """Compose the report of `isoslice benchmark`.

    Parameters
    ----------
    tables
        Result of `run_benchmark`.
    folder
        Its folder, whose figures are shown.
    settings
        Its settings.
    """
    pictures, left_out = _pictures(Path(folder) / "figures")
    missing = (
        f" Too big for one page, and to be found in the folder's figures: {', '.join(left_out)}."
        if left_out
        else ""
    )
    return Report(
        title="Benchmark",
        kind="benchmark",
        summary=f"{len(tables)} tables and {len(pictures)} figures.{missing}",
        advice=(
            Advice(
                "What this is",
                "Methods compared on volumes whose truth is known: planes were hidden, restored by "
                "each method, and compared.",
            ),
            Advice(
                "How to read the tables",
                "An arrow says whether low or high values are better. Numbers in brackets are 95% "
                "intervals: where two overlap, the order may be chance.",
            ),
            Advice(
                "Where to doubt it",
                "SliceFID and KID say whether slices look real, not whether they are right; L1, "
                "PSNR and SSIM favour smooth volumes. A method that wins one may lose the other.",
            ),
        ),
        tables=tuple(_table(table) for table in tables),
        pictures=pictures,
        provenance=settings,
    )


def _table(table: ScoreTable) -> Table:
    columns = tuple(column.label + _ARROWS[column.better] for column in table.columns)
    rows = tuple(
        (
            row.name,
            *(
                " ".join(shown_cell(cell, column.digits)).strip()
                for cell, column in zip(row.cells, table.columns, strict=True)
            ),
        )
        for row in table.rows
    )
    return Table(table.title, ("", *columns), rows, table.caption)


def _pictures(folder: Path) -> tuple[tuple[Picture, ...], list[str]]:
    shown, left_out, size = [], [], 0
    for path in sorted(folder.glob("*.png")) if folder.is_dir() else []:
        size += path.stat().st_size * 4 // 3
        if size > MAX_PICTURE_BYTES:
            left_out.append(path.name)
        else:
            alt = f"Figure {path.stem}: slices by every method, side by side"
            shown.append(Picture(f"Figure: {path.stem}", path.read_bytes(), alt))
    return tuple(shown), left_out
