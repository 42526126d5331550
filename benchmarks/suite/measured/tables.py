"""Tables of what was measured: one for each way of measuring planes, and the bars."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from isoslice.evaluation.benchmark.cells import MISSING, Cell, Column, ScoreTable
from isoslice.evaluation.benchmark.cells import Row as TableRow
from suite.measured.bars import Bar
from suite.measured.rows import ADAPTED, OWN, SAMPLE, TODAY, TOLD, Case, Row, Rows
from suite.measured.volumes import PAIR, VOLUMES

#: Said of what learns.
LEARNED = (
    "isoslice and CARE learned from the training planes, which are sharp along both axes and "
    "without noise that was added; ECLARE from the very stack that it restored, as it is made to."
)
#: Numbers that there is a table of, beside PSNR: name, digits, and what they are.
OTHERS = {
    "coverage": (3, "Share of the truth within 90% intervals"),
    "chi_squared": (2, "Chi squared, mean over planes"),
    "seconds": (1, "Seconds"),
}


#: Order of rows.
PARTS = ("points", "blurred", "uneven", "cost", "pair")
METHODS = (
    "linear",
    "cubic",
    "CARE",
    "ECLARE",
    *(method + mode for method in (TODAY, TOLD, OWN, ADAPTED) for mode in ("", SAMPLE)),
)


def in_order(rows: Rows) -> Rows:
    """Sort rows by volume, part and case, method, and what it was told."""
    volumes = (*VOLUMES, PAIR)

    def place(row: Row) -> tuple[object, ...]:
        case = row.case
        of_case = PARTS.index(case.part), case.factor, case.planes, case.seen_through, case.noise
        return volumes.index(row.volume), *of_case, METHODS.index(row.method), row.told

    return {row.key: row for row in sorted(rows.values(), key=place)}


def bars_lines(bars: Sequence[Bar]) -> list[tuple[str, ...]]:
    """Return the bars in words: heading first, then what each came to."""
    lines: list[tuple[str, ...]] = [
        ("bar", "value", "target", "result", "least", "most", "volumes")
    ]
    for bar in bars:
        ends = (min(bar.found.values()), max(bar.found.values())) if bar.found else (None, None)
        least, most = map(_number, ends)
        volumes = f"{len(bar.found)} of {len(bar.expected)}"
        lines.append((bar.name, _number(bar.value), bar.target, bar.result, least, most, volumes))
    return lines


def bars_text(bars: Sequence[Bar]) -> str:
    """Align the bars for a terminal."""
    lines = bars_lines(bars)
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    padded = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in lines]
    return "\n".join([*padded, "", bars_caption(bars)])


def bars_markdown(bars: Sequence[Bar]) -> str:
    """Return the bars as a Markdown section."""
    heading, *lines = bars_lines(bars)
    table = [heading, ("---", "---:", "---", "---", "---:", "---:", "---"), *lines]
    rows = "\n".join(f"| {' | '.join(line)} |" for line in table)
    return f"## Bars of the measurement model\n\n{rows}\n\n{bars_caption(bars)}\n"


def bars_caption(bars: Sequence[Bar]) -> str:
    """Count what was met, and say what values are."""
    met, missed = (sum(bar.result == kind for bar in bars) for kind in ("met", "missed"))
    return (
        f"{met} met, {missed} missed, {len(bars) - met - missed} not measured. A value is the mean "
        "over all volumes that it is asked of, where nothing else is said, and is there if all of "
        "them are; least and most are of those that are there."
    )


def _number(value: float | None) -> str:
    return MISSING if value is None else f"{value:z.3f}"


def case_tables(rows: Rows, caption: str) -> list[ScoreTable]:
    """Make a table of PSNR for each case, and one for each of the other numbers."""
    cases = list(dict.fromkeys(row.case for row in rows.values()))
    tables = []
    for case in cases:
        here = [row for row in rows.values() if row.case == case]
        if any(row.psnr is not None for row in here):
            title = f"{case.part}: planes {case.name}, PSNR (dB)"
            tables.append(
                _table(_key(case), title, caption, here, lambda row: row.psnr, _method, 2)
            )
    for name, (digits, title) in OTHERS.items():
        known = [row for row in rows.values() if getattr(row, name) is not None]

        def number(row: Row, name: str = name) -> float | None:
            value = getattr(row, name)
            return None if value is None else float(value)

        if known:
            tables.append(_table(name, title, "", known, number, _case_and_method, digits))
    return tables


def _method(row: Row) -> str:
    return f"{row.method}, told {row.told}"


def _case_and_method(row: Row) -> str:
    return f"{row.case.part}, {row.case.name}: {_method(row)}"


def _key(case: Case) -> str:
    return re.sub(r"[^A-Za-z0-9.]+", "_", f"{case.part} {case.name}")


def _table(
    key: str,
    title: str,
    caption: str,
    rows: Sequence[Row],
    number: Callable[[Row], float | None],
    name: Callable[[Row], str],
    digits: int,
) -> ScoreTable:
    """Make a table with a column for each volume, and their mean where all are there."""
    there = {row.volume for row in rows}
    volumes = [volume for volume in (*VOLUMES, PAIR) if volume in there]
    whole = set(volumes) == set(VOLUMES)
    known = {(name(row), row.volume): number(row) for row in rows}
    columns = [Column(volume, digits=digits) for volume in volumes]
    made = []
    for method in dict.fromkeys(name(row) for row in rows):
        values = [known.get((method, volume)) for volume in volumes]
        cells = [Cell(value) for value in values]
        if whole:
            complete = [value for value in values if value is not None]
            mean = sum(complete) / len(complete) if len(complete) == len(volumes) else None
            cells.append(Cell(mean))
        made.append(TableRow(method, tuple(cells)))
    if whole:
        columns.append(Column("mean", digits=digits))
    elif volumes != [PAIR]:
        absent = ", ".join(volume for volume in VOLUMES if volume not in there)
        caption = f"{caption} No means: there is nothing of {absent}."
    return ScoreTable(key, title, caption.strip(), tuple(columns), tuple(made))
