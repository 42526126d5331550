"""One run: volumes, parts, rows, tables and bars; continued where the last one ended."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from isoslice.errors import DataError
from isoslice.evaluation.benchmark.cells import ScoreTable
from isoslice.evaluation.benchmark.tables import write_tables
from isoslice.io.atomic import atomic_output
from isoslice.runtime.progress import Progress
from suite.children import ChildError
from suite.measured.bars import Bar, bars
from suite.measured.bench import Bench, Settings, open_bench
from suite.measured.pair import pair
from suite.measured.parts import adapted, blurred, cost, own, points, uneven
from suite.measured.peers import peers
from suite.measured.rows import Rows, as_csv, collected
from suite.measured.tables import LEARNED, bars_markdown, case_tables, in_order
from suite.measured.volumes import CROP, PAIR, load, load_pair


@dataclass
class Outcome:
    """What a run found so far."""

    rows: Rows = field(default_factory=dict)
    tables: list[ScoreTable] = field(default_factory=list)
    bars: list[Bar] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


def run_measured(
    volumes: Sequence[str],
    chosen: Sequence[str],
    cases: tuple[str, ...],
    data: Sequence[Path],
    folder: Path,
    settings: Settings,
    progress: Progress,
) -> Outcome:
    """Measure what is left, and write all that the folder holds after every part.

    Parameters
    ----------
    volumes, chosen
        Names of volumes, and of parts; of the part ``pair`` no volume is asked.
    cases
        What other programs restore; see `peers.CASES`.
    data
        Folders with the volumes.
    folder
        Of the results, a folder in it for each volume.
    settings, progress
        How.
    """
    outcome = Outcome()
    folder.mkdir(parents=True, exist_ok=True)
    alone = [part for part in chosen if part != "pair"]
    todo = [(name, part) for name in volumes for part in alone]
    todo += [(PAIR, "pair")] if "pair" in chosen else []
    bench: Bench | None = None
    for name, part in todo:
        try:
            if bench is None or bench.specimen.name != name:
                specimen = load_pair(data) if name == PAIR else load(name, data)
                bench = open_bench(specimen, folder, settings, progress)
        except DataError as error:
            outcome.failures.append(f"{name}, {part}: {error}")
            continue
        outcome.failures += [f"{name}, {part}: {error}" for error in _measure(bench, part, cases)]
        write(folder, outcome, settings)
    return outcome


def _measure(bench: Bench, part: str, cases: tuple[str, ...]) -> Sequence[ChildError]:
    """Measure a part; return what failed."""
    if part == "peers":
        return list(peers(bench, cases))
    if part == "pair":
        return list(pair(bench))
    measure = {
        "points": points,
        "blurred": blurred,
        "own": own,
        "adapted": adapted,
        "uneven": uneven,
        "cost": cost,
    }
    measure[part](bench)
    return []


def write(folder: Path, outcome: Outcome, settings: Settings) -> None:
    """Write ``measured.csv``, and tables and bars as Markdown, CSV, JSON and LaTeX."""
    caption = (
        f"Whole volumes of at most {' x '.join(map(str, CROP))} voxels; range: the truth's 0.1 to "
        f"99.9 percentile. {settings.budget} of training each, on {settings.threads} "
        f"threads; other programs {settings.minutes:g} minutes. {LEARNED}"
    )
    outcome.rows = in_order(collected(folder))
    outcome.bars[:] = bars(outcome.rows)
    outcome.tables[:] = case_tables(outcome.rows, caption)
    tables = folder / "tables"
    tables.mkdir(exist_ok=True)
    write_tables(outcome.tables, tables)
    texts = {
        "measured.csv": as_csv(outcome.rows.values()),
        "bars.md": bars_markdown(outcome.bars),
    }
    for name, content in texts.items():
        with atomic_output(folder / name, overwrite=True) as draft:
            draft.write_text(content, encoding="utf-8")
