"""Tables of scores: what they show, what they refuse, and that no digit is lost."""

import csv as csv_files
import json
import math

import numpy as np
import pytest

from isoslice.errors import DataError, OutputError
from isoslice.evaluation.benchmark import tables as module
from isoslice.evaluation.benchmark.tables import (
    Cell,
    Column,
    Row,
    ScoreTable,
    csv,
    latex,
    markdown,
    text,
    to_json,
    write_tables,
)

COLUMNS = (Column("FID", "4x", "low", 1), Column("PSNR", "4x", "high"), Column("FID", "8x", "low"))


def table(**changes):
    made = {
        "key": "main",
        "title": "Volumes",
        "caption": "FID in\n50% intervals.",
        "columns": COLUMNS,
        "rows": (
            Row("truth", (Cell(0.0), Cell(math.inf), Cell(0.0)), ranked=False),
            Row("linear", (Cell(12.34, 11.74, 12.94), Cell(30.0), Cell(None))),
            Row("ours_2", (Cell(np.float64(9.5), 9.0, 10.0), Cell(29.123), Cell(8.0))),
        ),
    }
    return ScoreTable(**{**made, **changes})


def single(*values, column=COLUMNS[0]):
    rows = tuple(Row(str(i), (Cell(value),)) for i, value in enumerate(values))
    return table(columns=(column,), rows=rows)


def test_markdown():
    assert markdown(table()) == (
        "## Volumes\n"
        "\n"
        "|  | 4x FID ↓ | 4x PSNR ↑ | 8x FID ↓ |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| truth | 0.0 | ∞ | 0.00 |\n"
        "| linear | 12.3 [11.7, 12.9] | **30.00** | – |\n"
        "| ours_2 | **9.5** [9.0, 10.0] | 29.12 | 8.00 |\n"
        "\n"
        "FID in 50% intervals.\n"
    )


def test_markdown_shows_names_as_they_are():
    shown = markdown(table(columns=(Column("a|b"),), rows=(Row("*x*", (Cell(1.0),)),), caption=""))
    assert "| a\\|b |" in shown
    assert shown.endswith("| \\*x\\* | 1.00 |\n")


def test_latex():
    lines = latex(table()).splitlines()
    assert lines == [
        r"\begin{table}",
        r"\centering\small",
        r"\caption{\textbf{Volumes.} FID in 50\% intervals.}",
        r"\label{tab:main}",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r" & \multicolumn{2}{c}{4x} & \multicolumn{1}{c}{8x} \\",
        r"\cmidrule(lr){2-3}\cmidrule(lr){4-4}",
        r" & \multicolumn{1}{c}{FID $\downarrow$} & \multicolumn{1}{c}{PSNR $\uparrow$}"
        r" & \multicolumn{1}{c}{FID $\downarrow$} \\",
        r"\midrule",
        r"truth & 0.0 & $\infty$ & 0.00 \\",
        r"\addlinespace",
        r"linear & 12.3 {\scriptsize $\pm$ 0.6} & \textbf{30.00} & -- \\",
        r"ours\_2 & \textbf{9.5} {\scriptsize $\pm$ 0.5} & 29.12 & 8.00 \\",
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]


def test_latex_gives_both_ends_of_lopsided_intervals():
    rows = (Row("a", (Cell(-1.0, -1.5, -0.9),)), Row("b", (Cell(2.0, 1.0, 3.0),)))
    shown = latex(table(columns=COLUMNS[:1], rows=rows))
    assert r"a & \textbf{$-$1.0} {\scriptsize [$-$1.5, $-$0.9]} \\" in shown
    assert r"b & 2.0 {\scriptsize [1.0, 3.0]} \\" in shown


def test_latex_without_groups_has_one_line_of_heads():
    assert r"\cmidrule" not in latex(single(1.0, column=Column("FID")))


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        ("a_b & 5% #1 $", r"a\_b \& 5\% \#1 \$"),
        ("{x}^2~\\y", r"\{x\}\textasciicircum{}2\textasciitilde{}\textbackslash{}y"),
        ("[1] 4× < 8×", r"{[}1{]} 4$\times$ $<$ 8$\times$"),
    ],
)
def test_latex_escapes(name, escaped):
    shown = latex(table(columns=COLUMNS[:1], rows=(Row(name, (Cell(1.0),)),)))
    assert f"\n{escaped} & 1.0 \\\\\n" in shown


def test_csv_keeps_every_digit():
    rows = list(csv_files.DictReader(csv(table()).splitlines()))
    assert len(rows) == 9
    assert rows[0] == {
        "row": "truth",
        "ranked": "no",
        "group": "4x",
        "column": "FID",
        "value": "0.0",
        "low": "",
        "high": "",
    }
    assert rows[1]["value"] == "inf"
    assert [rows[3][name] for name in ("value", "low", "high")] == ["12.34", "11.74", "12.94"]
    assert [rows[5][name] for name in ("row", "group", "value")] == ["linear", "8x", ""]
    assert rows[6]["value"] == "9.5"  # not np.float64(9.5)


def test_csv_quotes_names():
    rows = (Row('a, "b"\nc', (Cell(1 / 3),)),)
    content = csv(table(columns=COLUMNS[:1], rows=rows))
    parsed = list(csv_files.reader(content.splitlines(keepends=True)))
    assert parsed[1][0] == 'a, "b"\nc'
    assert float(parsed[1][4]) == 1 / 3


def test_json_holds_the_whole_table():
    data = json.loads(json.dumps(to_json(table()), allow_nan=False))
    rebuilt = ScoreTable(
        **{name: data[name] for name in ("key", "title", "caption")},
        columns=tuple(Column(**column) for column in data["columns"]),
        rows=tuple(
            Row(
                row["name"],
                tuple(
                    Cell(**{k: None if v is None else float(v) for k, v in cell.items()})
                    for cell in row["cells"]
                ),
                row["ranked"],
            )
            for row in data["rows"]
        ),
    )
    assert rebuilt == table()


def test_text():
    assert text(table()) == (
        "Volumes\n"
        "\n"
        "                        4x      4x      8x\n"
        "                     FID ↓  PSNR ↑   FID ↓\n"
        "truth    0.0                     ∞    0.00\n"
        "linear  12.3  [11.7, 12.9]   30.00*      –\n"
        "ours_2   9.5*  [9.0, 10.0]   29.12    8.00\n"
        "\n"
        "FID in 50% intervals.\n"
    )


def test_text_too_wide_is_split_between_groups():
    wide = table(
        columns=tuple(Column(n, g) for g in ("4x", "8x") for n in ("FID", "PSNR", "SSIM")),
        rows=(Row("a", (Cell(1.0),) * 6), Row("b", (Cell(2.0),) * 6)),
    )
    whole, split, narrow = text(wide, 110), text(wide, 40), text(wide, 12)
    assert whole.count("\na") == 1
    assert split.count("\na") == 2
    assert all(len(line) <= 40 for line in split.splitlines())
    assert "8x" not in split[: split.index("\nb")]
    assert narrow.count("\na") == 6


def test_the_best_is_the_best_ranked_value_as_shown():
    best = module.best_cells(single(1.04, 1.0, 2.0))
    assert best == {(0, 0), (1, 0)}
    assert module.best_cells(single(1.0, 2.0, column=Column("PSNR", better="high"))) == {(1, 0)}
    assert not module.best_cells(single(1.0, 2.0, column=Column("seconds")))
    assert not module.best_cells(single(1.0, None))


def test_no_negative_zero():
    assert "| -0.0 |" not in markdown(single(-0.01))


def test_nan_counts_as_missing():
    odd = single(math.nan, 1.0)
    assert odd.rows[0].cells[0].known is None
    assert "| 0 | – |" in markdown(odd)
    assert to_json(odd)["rows"][0]["cells"][0]["value"] is None


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": (Row("a", (Cell(1.0),)),)}, "row a: got 1 cells, expected 3"),
        ({"rows": (Row("a", (Cell(1.0),) * 3),) * 2}, "rows: got a more than once"),
        ({"columns": COLUMNS[:1] * 3}, "columns: got 4x FID more than once"),
        ({"rows": (Row("a", (Cell(1.0, 0.5), Cell(1.0), Cell(1.0))),)}, "both ends or neither"),
        ({"rows": (Row("a", (Cell(1.0, 2, 1), Cell(1.0), Cell(1.0))),)}, "lower end first"),
        ({"key": "../main"}, "table key"),
        ({"key": "tables"}, "table key"),
    ],
)
def test_tables_that_are_wrong_are_refused(changes, message):
    with pytest.raises(DataError, match=message):
        table(**changes)


def test_write_tables(tmp_path):
    (tmp_path / "main.md").write_text("old", encoding="utf-8")
    paths = write_tables([table(), table(key="other", title="Others")], tmp_path)
    names = [
        f"{key}.{suffix}" for key in ("main", "other") for suffix in ("md", "csv", "json", "tex")
    ]
    assert [path.name for path in paths] == [*names, "tables.md"]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([*names, "tables.md"])
    assert (tmp_path / "main.md").read_text("utf-8") == markdown(table())
    assert json.loads((tmp_path / "main.json").read_text("utf-8")) == to_json(table())
    both = (tmp_path / "tables.md").read_text("utf-8")
    assert both.startswith(markdown(table()))
    assert "\n\n## Others\n" in both


def test_write_tables_refuses_equal_keys_and_missing_folders(tmp_path):
    with pytest.raises(DataError, match="main"):
        write_tables([table(), table(key="Main")], tmp_path)
    assert not list(tmp_path.iterdir())
    with pytest.raises(OutputError, match="does not exist"):
        write_tables([table()], tmp_path / "none")
