"""A table of scores as LaTeX."""

from __future__ import annotations

import math

from isoslice.evaluation.benchmark.cells import (
    Cell,
    ScoreTable,
    best_cells,
    column_groups,
    shown_number,
)

_ARROWS = {"low": r" $\downarrow$", "high": r" $\uparrow$", "": ""}
#: Characters with a meaning in LaTeX, and those that its usual fonts lack.
_ESCAPES = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "[": "{[}",  # after a line's end a bracket would begin an option
        "]": "{]}",
        "<": "$<$",
        ">": "$>$",
        "|": "$|$",
        "×": r"$\times$",
        "±": r"$\pm$",
        "µ": r"$\mu$",
        "μ": r"$\mu$",
        "σ": r"$\sigma$",
        "≤": r"$\le$",
        "≥": r"$\ge$",
        "→": r"$\rightarrow$",
        "↓": r"$\downarrow$",
        "↑": r"$\uparrow$",
        "∞": r"$\infty$",
        "–": "--",
        "—": "---",
        "…": r"\ldots{}",
    }
)


def latex(table: ScoreTable) -> str:
    r"""Return a LaTeX table float that needs the package booktabs.

    The best ranked values are bold. An interval is a half width after ``\pm`` where all intervals
    of the table are symmetric, within the digits shown; else both ends in brackets.
    """
    best, symmetric = best_cells(table), _all_symmetric(table)
    about = " ".join(
        part for part in (rf"\textbf{{{escape(table.title)}.}}", escape(table.caption)) if part
    )
    lines = [
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{about}}}",
        rf"\label{{tab:{table.key}}}",
        rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}",
        r"\toprule",
        *_heads(table),
        r"\midrule",
    ]
    for r, row in enumerate(table.rows):
        if r and row.ranked != table.rows[r - 1].ranked:
            lines.append(r"\addlinespace")
        cells = [
            _cell(cell, table.columns[c].digits, (r, c) in best, symmetric)
            for c, cell in enumerate(row.cells)
        ]
        lines.append(" & ".join([escape(row.name), *cells]) + r" \\")
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def escape(text: str) -> str:
    """Escape `text` for LaTeX, on one line."""
    return " ".join(text.split()).translate(_ESCAPES)


def _heads(table: ScoreTable) -> list[str]:
    """Header lines: the groups, where there are any, over the names."""
    lines = []
    if any(column.group for column in table.columns):
        heads, rules = [""], []
        for group, numbers in column_groups(table):
            heads.append(rf"\multicolumn{{{len(numbers)}}}{{c}}{{{escape(group)}}}")
            if group:
                # The row names are column 1.
                rules.append(rf"\cmidrule(lr){{{numbers[0] + 2}-{numbers[-1] + 2}}}")
        lines += [" & ".join(heads) + r" \\", "".join(rules)]
    names = [rf"{escape(column.name)}{_ARROWS[column.better]}" for column in table.columns]
    # LaTeX right-aligns the numbers; their names look better centred.
    names = [rf"\multicolumn{{1}}{{c}}{{{name}}}" for name in names]
    return [*lines, " & ".join(["", *names]) + r" \\"]


def _cell(cell: Cell, digits: int, bold: bool, symmetric: bool) -> str:
    if cell.known is None:
        return "--"
    value = _number(cell.known, digits)
    if bold:
        value = rf"\textbf{{{value}}}"
    if cell.interval is None:
        return value
    low, high = cell.interval
    if symmetric:
        return rf"{value} {{\scriptsize $\pm$ {_number((high - low) / 2, digits)}}}"
    return rf"{value} {{\scriptsize [{_number(low, digits)}, {_number(high, digits)}]}}"


def _number(value: float, digits: int) -> str:
    return shown_number(value, digits).replace("-", "$-$").replace("∞", r"$\infty$")


def _all_symmetric(table: ScoreTable) -> bool:
    """Tell whether all intervals are symmetric, within half a unit of the last digit shown."""
    for row in table.rows:
        for column, cell in zip(table.columns, row.cells, strict=True):
            if cell.known is None or cell.interval is None:
                continue
            low, high = cell.interval
            asymmetry = abs((low + high) / 2 - cell.known)
            if not (math.isfinite(asymmetry) and asymmetry <= 0.5 * 10.0**-column.digits):
                return False
    return True
