"""Tables of scores written as Markdown, CSV, JSON, LaTeX and for the terminal."""

from __future__ import annotations

import csv as csv_files
import io
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from isoslice.evaluation.benchmark.cells import (
    Cell,
    Column,
    Row,
    ScoreTable,
    best_cells,
    check_unique,
    column_groups,
    shown_cell,
)
from isoslice.evaluation.benchmark.latex import latex
from isoslice.io.atomic import atomic_output
from isoslice.runtime.text import as_json

__all__ = [
    "Cell",
    "Column",
    "Row",
    "ScoreTable",
    "csv",
    "latex",
    "markdown",
    "text",
    "to_json",
    "write_tables",
]

_ARROWS = {"low": " ↓", "high": " ↑", "": ""}
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\|*`<"})


def markdown(table: ScoreTable) -> str:
    """Return a Markdown section: title, table with the best ranked values bold, caption."""
    best = best_cells(table)
    lines = [
        _line(["", *(_marked(column.label) + _ARROWS[column.better] for column in table.columns)]),
        _line(["---", *("---:" for _ in table.columns)]),
    ]
    for r, row in enumerate(table.rows):
        shown = [_marked(row.name)]
        for c, cell in enumerate(row.cells):
            value, interval = shown_cell(cell, table.columns[c].digits)
            shown.append(f"{f'**{value}**' if (r, c) in best else value} {interval}".rstrip())
        lines.append(_line(shown))
    sections = [f"## {_one_line(table.title)}", "\n".join(lines), _one_line(table.caption)]
    return "\n\n".join(section for section in sections if section) + "\n"


def csv(table: ScoreTable) -> str:
    """Return CSV, one line per cell, in full precision; empty where there is no value."""
    stream = io.StringIO()
    writer = csv_files.writer(stream, lineterminator="\n")
    writer.writerow(("row", "ranked", "group", "column", "value", "low", "high"))
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            numbers = ["" if number is None else repr(number) for number in _numbers(cell)]
            ranked = "yes" if row.ranked else "no"
            writer.writerow((row.name, ranked, column.group, column.name, *numbers))
    return stream.getvalue()


def to_json(table: ScoreTable) -> dict[str, Any]:
    """Return plain data in full precision: None where there is no value, infinity as ``"inf"``."""

    def plain(number: float | None) -> float | str | None:
        return str(number) if number is not None and math.isinf(number) else number

    return {
        "key": table.key,
        "title": table.title,
        "caption": table.caption,
        "columns": [
            {"name": c.name, "group": c.group, "better": c.better, "digits": c.digits}
            for c in table.columns
        ],
        "rows": [
            {
                "name": row.name,
                "ranked": row.ranked,
                "cells": [
                    dict(zip(("value", "low", "high"), map(plain, _numbers(cell)), strict=True))
                    for cell in row.cells
                ],
            }
            for row in table.rows
        ],
    }


def text(table: ScoreTable, width: int = 110) -> str:
    """Return the table for a terminal, with a star after the best ranked values.

    A table wider than `width` characters is split between groups of columns, and within a group
    only if that alone is too wide; every part repeats the row names.
    """
    best = best_cells(table)
    columns = [_text_column(table, c, best) for c in range(len(table.columns))]
    names = ["", "", *(row.name for row in table.rows)]
    first = max(map(len, names))
    parts = []
    for block in _blocks(table, [2 + len(column[0]) for column in columns], width - first):
        lines = [
            "  ".join([name.ljust(first), *(columns[c][line] for c in block)]).rstrip()
            for line, name in enumerate(names)
        ]
        # The line of groups is left out where there are none.
        parts.append("\n".join(lines if lines[0] else lines[1:]))
    sections = [_one_line(table.title), *parts, _one_line(table.caption)]
    return "\n\n".join(section for section in sections if section) + "\n"


def write_tables(tables: Sequence[ScoreTable], folder: str | Path) -> list[Path]:
    """Write every table as ``key.md``, ``.csv``, ``.json`` and ``.tex``, and all as ``tables.md``.

    Existing files are replaced, each one whole or not at all.

    Parameters
    ----------
    tables
        Each with a key of its own.
    folder
        An existing folder.

    Returns
    -------
    list of Path
        The files written, ``tables.md`` last.

    Raises
    ------
    DataError
        If two tables have the same key.
    OutputError
        If a file cannot be written.
    """
    # Not every file system tells upper from lower case.
    check_unique("tables", [table.key.lower() for table in tables])
    writers: dict[str, Callable[[ScoreTable], str]] = {
        "md": markdown,
        "csv": csv,
        "json": lambda table: as_json(to_json(table)) + "\n",
        "tex": latex,
    }
    contents = {
        f"{table.key}.{suffix}": write(table)
        for table in tables
        for suffix, write in writers.items()
    }
    contents["tables.md"] = "\n".join(map(markdown, tables))
    paths = []
    for name, content in contents.items():
        path = Path(folder) / name
        with atomic_output(path, overwrite=True) as draft:
            draft.write_text(content, encoding="utf-8", newline="\n")
        paths.append(path)
    return paths


def _numbers(cell: Cell) -> tuple[float | None, float | None, float | None]:
    return (cell.known, *(cell.interval or (None, None)))


def _one_line(words: str) -> str:
    return " ".join(words.split())


def _marked(name: str) -> str:
    """Escape a name for Markdown."""
    return _one_line(name).translate(_MARKS)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _text_column(table: ScoreTable, index: int, best: set[tuple[int, int]]) -> list[str]:
    """Return the lines of one column, equally wide: group (if first of it), name, values."""
    column = table.columns[index]
    shown = [shown_cell(row.cells[index], column.digits) for row in table.rows]
    values = [f"{v}{'*' if (r, index) in best else ' '}" for r, (v, _) in enumerate(shown)]
    wide = [max(map(len, part), default=0) for part in (values, [i for _, i in shown])]
    cells = [
        f"{value.rjust(wide[0])} {interval.rjust(wide[1])}" if wide[1] else value
        for value, (_, interval) in zip(values, shown, strict=True)
    ]
    # Every number is followed by room for a star, and so is the name.
    name = f"{column.name}{_ARROWS[column.better]}" + ("" if wide[1] else " ")
    lines = [column.group + ("" if wide[1] else " ") if column.group else "", name, *cells]
    width = max(map(len, lines))
    return [line.rjust(width) for line in lines]


def _blocks(table: ScoreTable, widths: Sequence[int], room: int) -> list[list[int]]:
    """Divide the columns, by number, into blocks no wider than `room` where possible."""
    blocks: list[list[int]] = [[]]
    for _, run in column_groups(table):
        fits = sum(widths[c] for c in run) <= room
        for piece in [run] if fits else [[c] for c in run]:
            if blocks[-1] and sum(widths[c] for c in blocks[-1] + piece) > room:
                blocks.append([])
            blocks[-1] += piece
    return blocks
