"""Numbers in the documentation are those that were measured, as stored in docs/results."""

from __future__ import annotations

import csv
import re

import pytest

from doc_pages import DOCS, ROOT, text_of

BENCHMARKS = DOCS / "benchmarks" / "index.md"

#: Names of rows in the pages, and those in the suite's tables where they differ.
SUITE_NAMES = {"mean": "isoslice, mean", "sample": "isoslice, sample"} | {
    "distilled": "isoslice, distilled",
    "MSDSR": "msdsr (blocks)",
    "IsotropicCARE": "CARE",
    "ECLARE": "ECLARE (blocks)",
}

INTERPOLATIONS = ("nearest", "linear", "cubic", "lanczos")


def suite_cells(case: str = "fib25", factor: int = 4) -> dict[tuple[str, str, str], float]:
    """What the suite's last run on a case measured: (row, group, column) -> value."""
    with (DOCS / "results" / "suite" / f"{case}_{factor}x.csv").open() as file:
        return {
            (line["row"], line["group"], line["column"]): float(line["value"])
            for line in csv.DictReader(file)
            if line["value"]
        }


@pytest.mark.parametrize(("page", "least"), [(ROOT / "README.md", 5), (BENCHMARKS, 9)])
def test_numbers_of_methods_are_those_of_the_suites_last_run(page, least):
    cells, text = suite_cells(), text_of(page)
    table = text.partition("| SliceFID | voxels/s |\n")[2].partition("\n\n")[0]
    lines = [[part.strip() for part in line.split("|")[1:-1]] for line in table.splitlines()[1:]]
    assert len(lines) >= least
    for name, *shown in lines:
        plain = re.sub(r"\*|\(.*\)", "", name).strip()
        row = SUITE_NAMES.get(plain, plain)

        def cell(group: str, column: str, form: str, row: str = row) -> str:
            value = cells.get((row, group, column))
            return "" if value is None else format(value, form)

        speed = cells.get((row, "cost", "voxels/s"))
        network = speed if speed is not None and row not in INTERPOLATIONS else None
        expected = [
            cell("whole volume", "PSNR (dB)", ".2f"),
            " / ".join(cell("whole volume", f"gradient {axis}", ".2f") for axis in "ZYX"),
            cell("blocks", "SliceFID", ".0f"),
            "" if network is None else f"{float(f'{network:.3g}'):,.0f}",
        ]
        assert shown == [part.replace(" /  / ", "") for part in expected], name


def summary(case: str, factor: int) -> str:
    """A case as the page sums it up: what the mean and the sample gain on others."""
    cells = suite_cells(case, factor)

    def over(row: str) -> str:
        """PSNR of the mean less that of `row`, over the blocks where that is all it restored."""
        group = "blocks" if row.endswith("(blocks)") else "whole volume"
        if (row, group, "PSNR (dB)") not in cells:
            return "–"
        gain = cells["isoslice, mean", group, "PSNR (dB)"] - cells[row, group, "PSNR (dB)"]
        return f"{gain:+.2f}"

    def fid(row: str) -> str:
        value = cells.get((row, "blocks", "SliceFID"))
        return "–" if value is None else f"{value:.0f}"

    others = ("linear", "cubic", "CARE", "ECLARE (blocks)", "msdsr (blocks)")
    sample = "isoslice, sample"
    loss = cells[sample, "whole volume", "PSNR (dB)"] - cells["linear", "whole volume", "PSNR (dB)"]
    gradient = (cells[sample, "whole volume", f"gradient {axis}"] for axis in "ZYX")
    parts = [
        " / ".join(map(over, others)),
        f"{loss:+.2f}",
        " / ".join(f"{value:.2f}" for value in gradient),
        " / ".join(map(fid, ("truth", "linear", "msdsr (blocks)", sample))),
    ]
    return " | ".join(parts).replace("-", "−")


@pytest.mark.parametrize("factor", [2, 4, 8])
@pytest.mark.parametrize("case", ["fib25", "lucchi", "mouse_ct"])
def test_gains_are_those_of_the_suites_last_run(case, factor):
    line = f"| `{case}` {factor}x | {summary(case, factor)} |"
    assert line in text_of(BENCHMARKS)


def test_numbers_about_science_are_those_that_were_measured():
    with (DOCS / "results" / "segmentation.csv").open() as file:
        cells = {
            (f"`{line['case']}` {line['factor']}x", line["group"], line["row"], line["column"]): (
                float(line["value"])
            )
            for line in csv.DictReader(file)
            if line["value"]
        }
    page = text_of(DOCS / "explanation" / "science.md")
    table = page.partition("| linear | cubic |")[2].partition("\n\n")[0]
    lines = [
        [part.strip(" *") for part in line.split("|")[1:-1]] for line in table.splitlines()[2:]
    ]
    assert len(lines) > 8
    methods = ("nearest", "linear", "cubic", "isoslice, mean", "isoslice, sample")
    for name, *shown, matched in lines:
        where, _, what = name.rpartition(" ")
        dice = [cells[where, what, method, "Dice"] for method in methods]
        assert shown == [f"{value:.4f}" for value in dice], name
        counts = [cells[where, what, method, "matched"] for method in methods[1:]]
        total = cells[where, what, "truth", "objects"]
        expected = " / ".join(f"{count:.0f}" for count in counts)
        assert matched == f"{expected} of {total:.0f}", name


def recorded(name: str) -> list[dict[str, str]]:
    with (DOCS / "results" / name).open() as file:
        return list(csv.DictReader(file))


def test_scores_that_check_foretold_were_within_one_decibel_where_docs_say_so():
    rows = recorded("checks.csv")
    assert len(rows) >= 27
    off = {(row["case"], row["factor"], row["method"]): float(row["off"]) for row in rows}
    assert max(map(abs, off.values())) < 1
    page = text_of(DOCS / "explanation" / "trust.md")
    for case in ("fib25", "lucchi", "mouse_ct"):
        for factor in (2, 4, 8):
            shown = " | ".join(f"{off[case, str(factor), m]:+.2f}" for m in ("model", "linear"))
            assert f"| {shown.replace('-', '−')} |" in page, (case, factor)


def test_warnings_were_given_and_spared_where_docs_say_so():
    for row in recorded("familiarity.csv"):
        kinds = [row[name].split()[0].strip(",") for name in ("learned_from", "stack")]
        if not row["change"]:
            assert row["warns"] == ("no" if kinds[0] == kinds[1] else "yes"), row
    for row in recorded("directions.csv"):
        if not row["change"]:
            assert row["warns"] == "no", row


def test_volumes_in_memory_took_no_more_than_was_expected():
    rows = recorded("inmemory.csv")
    assert len(rows) >= 6
    for row in rows:
        assert float(row["GB taken"]) <= float(row["GB expected"]), row


def test_intervals_held_what_they_promise_where_docs_say_so():
    rows = [row for row in recorded("coverage.csv") if row["method"] == "predicted"]
    assert len(rows) == 9
    page = text_of(DOCS / "explanation" / "trust.md")
    for row in rows:
        covered = float(row["cover 90%, specimen"])
        assert 0.87 <= covered <= 0.93, row
        assert f"| `{row['case']}` {row['factor']}x | **{100 * covered:.1f}%**" in page
        assert row["deciles rise"] == "True"
