"""A table of scores as plain data, and what its output formats share."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Literal

from isoslice.errors import DataError

#: Shown where a value is missing.
MISSING = "–"


@dataclass(frozen=True)
class Cell:
    """One score.

    Attributes
    ----------
    value
        None where there is none (yet); NaN counts as none.
    low, high
        Ends of its interval; both or neither.
    """

    value: float | None
    low: float | None = None
    high: float | None = None

    @property
    def known(self) -> float | None:
        """The value as a plain float; None where there is none."""
        return None if self.value is None or math.isnan(self.value) else float(self.value)

    @property
    def interval(self) -> tuple[float, float] | None:
        """Ends of the interval; None where there is none."""
        if self.known is None or self.low is None or self.high is None:
            return None
        if math.isnan(self.low) or math.isnan(self.high):
            return None
        return float(self.low), float(self.high)


@dataclass(frozen=True)
class Column:
    """Heading and format of one column.

    Attributes
    ----------
    name
        Name of the score, such as ``FID``.
    group
        Heading shared with its neighbours, such as ``4x``.
    better
        Whether low or high values are better; empty where neither is.
    digits
        Decimals shown.
    """

    name: str
    group: str = ""
    better: Literal["low", "high", ""] = ""
    digits: int = 2

    @property
    def label(self) -> str:
        """Group and name, such as ``4x FID``."""
        return f"{self.group} {self.name}".strip()


@dataclass(frozen=True)
class Row:
    """Scores of one method; `ranked` is False for one out of competition, such as the truth."""

    name: str
    cells: tuple[Cell, ...]
    ranked: bool = True


@dataclass(frozen=True)
class ScoreTable:
    """A table of scores, one row for each method.

    Attributes
    ----------
    key
        Name of its files, without suffix.
    title, caption
        Heading, and notes for the reader.
    columns, rows
        Every row has one cell for each column.

    Raises
    ------
    DataError
        If the key is no file name, a row has too many or too few cells, a name occurs twice, or
        an interval lacks an end or has them in the wrong order.
    """

    key: str
    title: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[Row, ...]

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", self.key) or self.key == "tables":
            raise DataError(
                f"got the table key {self.key!r}, expected letters, digits, '_', '-' and '.', and "
                "not 'tables'; it names the files, so choose another"
            )
        check_unique(f"table {self.key}, columns", [column.label for column in self.columns])
        check_unique(f"table {self.key}, rows", [row.name for row in self.rows])
        for row in self.rows:
            if len(row.cells) != len(self.columns):
                raise DataError(
                    f"table {self.key}, row {row.name}: got {len(row.cells)} cells, expected "
                    f"{len(self.columns)}; give one for each column, Cell(None) where unknown"
                )
            for column, cell in zip(self.columns, row.cells, strict=True):
                _check_interval(f"table {self.key}, row {row.name}, {column.label}", cell)


def check_unique(what: str, names: Sequence[str]) -> None:
    """Raise `DataError` if a name occurs more than once."""
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"{what}: got {', '.join(twice)} more than once, expected different names; rename one"
        )


def best_cells(table: ScoreTable) -> set[tuple[int, int]]:
    """Find (row, column) of the best value of each column, among the ranked rows.

    Values that are equal with the digits shown are all best. A column with a single ranked value
    has no best.
    """
    best = set()
    for c, column in enumerate(table.columns):
        known = {r: row.cells[c].known for r, row in enumerate(table.rows) if row.ranked}
        ranked = {r: round(v, column.digits) for r, v in known.items() if v is not None}
        if column.better and len(ranked) > 1:
            target = (min if column.better == "low" else max)(ranked.values())
            best |= {(r, c) for r, value in ranked.items() if value == target}
    return best


def column_groups(table: ScoreTable) -> list[tuple[str, list[int]]]:
    """Return each run of neighbouring columns of one group: the group, and their numbers."""
    numbered = groupby(enumerate(table.columns), key=lambda pair: pair[1].group)
    return [(group, [index for index, _ in pairs]) for group, pairs in numbered]


def shown_number(value: float, digits: int) -> str:
    """Return `value` with `digits` decimals, and without the sign of a zero."""
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:z.{digits}f}"


def shown_cell(cell: Cell, digits: int) -> tuple[str, str]:
    """Return value and interval as shown; the interval is empty where there is none."""
    if cell.known is None:
        return MISSING, ""
    ends = [shown_number(end, digits) for end in cell.interval or ()]
    return shown_number(cell.known, digits), f"[{', '.join(ends)}]" if ends else ""


def _check_interval(where: str, cell: Cell) -> None:
    low, high = cell.low, cell.high
    if (low is None) != (high is None):
        raise DataError(
            f"{where}: got the interval {low} to {high}, expected both ends or neither; give both"
        )
    if low is not None and high is not None and low > high:
        raise DataError(
            f"{where}: got the interval {low} to {high}, expected the lower end first; swap them"
        )
