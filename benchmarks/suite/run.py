"""One run: cases, scales, methods, scores, tables; continued where the last one ended."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from isoslice import __version__
from isoslice.evaluation.benchmark.cells import ScoreTable
from isoslice.evaluation.benchmark.realism import Scorer, make_scorer
from isoslice.evaluation.benchmark.store import open_store
from isoslice.evaluation.benchmark.tables import to_json, write_tables
from isoslice.evaluation.slicefid.features import Extractor
from isoslice.io.atomic import atomic_output
from isoslice.runtime.progress import Progress
from suite.bars import Bar, Results, bars, bars_table, peak_share, speed_notes
from suite.cases import CaseData, load_case, share_of_blocks
from suite.children import ChildError
from suite.methods import Bench, restored
from suite.report import caption, case_table
from suite.science import science, science_table
from suite.scoring import Scored, scored, scored_truth
from suite.settings import SuiteSettings


@dataclass(frozen=True)
class Outcome:
    """What a run found."""

    results: dict[str, dict[int, list[Scored]]]
    tables: list[ScoreTable]
    bars: list[Bar]
    failures: list[str]


def open_bench(
    name: str,
    data: Path,
    folder: Path,
    settings: SuiteSettings,
    extractor: Extractor,
    progress: Progress,
) -> tuple[Bench, Scorer]:
    """Read a case and open its folder; results of other settings or data are refused there."""
    case = load_case(name, data, settings.block, settings.blocks, settings.seed)
    resolved = {
        **settings.resolved(),
        "case": name,
        "extractor": extractor.name,
        "data": case.benchmark().fingerprint(),
    }
    store = open_store(folder / name, resolved)
    scorer = make_scorer(case.benchmark(), settings.benchmark(), store, extractor, progress)
    return Bench(case, settings, store, progress), scorer


def run_suite(
    cases: Sequence[str],
    factors: Sequence[int],
    data: Path,
    folder: Path,
    settings: SuiteSettings,
    extractor: Extractor,
    progress: Progress,
    *,
    pictures: bool = True,
) -> Outcome:
    """Run what is left of the suite and write its tables after every scale.

    Parameters
    ----------
    cases, factors
        What to run.
    data
        Folder with the volumes.
    folder
        Of the results, a folder in it for each case.
    settings, extractor, progress
        How.
    pictures
        Whether to draw as well.
    """
    outcome = Outcome({}, [], [], [])
    folder.mkdir(parents=True, exist_ok=True)
    for name in cases:
        bench, scorer = open_bench(name, data, folder, settings, extractor, progress)
        for factor in factors:
            rows, errors = _rows(bench, scorer, factor)
            outcome.results.setdefault(name, {})[factor] = rows
            outcome.failures.extend(f"{name} {factor}x: {error}" for error in errors)
            notes = [caption(factor, settings.blocks, bench.case.block, rows[0].realism)]
            notes += _notes(bench.case, settings, factor, errors) + speed_notes(rows)
            outcome.tables.append(case_table(name, factor, rows, notes, extractor.name))
            segmented = science_table(name, factor, [(row.method, row.science) for row in rows])
            outcome.tables.extend([segmented] if segmented else [])
            if pictures:
                from suite.pictures import draw

                draw(bench.case, factor, rows, folder / "pictures", progress)
            _write(folder, outcome, settings, extractor)
    return outcome


def _rows(bench: Bench, scorer: Scorer, factor: int) -> tuple[list[Scored], list[str]]:
    truth = scored_truth(bench.case, scorer, factor)
    rows = [replace(truth, science=science(bench.case, bench.store, None))]
    errors = []
    for found in restored(bench, factor):
        if isinstance(found, ChildError):
            errors.append(str(found))
            continue
        bench.progress.note(f"{bench.case.name}: scoring {factor}x {found.method}")
        row = scored(bench.case, scorer, bench.store, found)
        rows.append(replace(row, science=science(bench.case, bench.store, found)))
    return rows, errors


def _notes(
    case: CaseData, settings: SuiteSettings, factor: int, errors: Sequence[str]
) -> list[str]:
    """Sentences about what was trained on what, and about rows that are not there."""
    shape = " x ".join(map(str, case.truth.data.shape))
    notes = [
        f"The volume has {shape} voxels; the blocks are {100 * share_of_blocks(case):.1f}% of it.",
        f"Everything that learns was given {settings.minutes:g} minutes on {settings.threads} "
        "threads; the last column says what it took.",
    ]
    if settings.distill:
        notes.append(
            f"isoslice, distilled: a network taught by isoslice's for {settings.minutes:g} "
            "minutes more."
        )
    if settings.msdsr and factor in settings.msdsr_factors:
        notes.append(
            f"msdsr: the paper's recipe in this package, not its released weights: width "
            f"{settings.msdsr_width} instead of 224, {settings.msdsr_steps} DDIM steps instead of "
            "200; being slow it restored the blocks alone, and all its numbers are of these."
        )
    else:
        notes.append("msdsr was not asked for at this scale.")
    for peer in settings.peers:
        if peer.python is None:
            notes.append(f"{peer.name} is left out: no interpreter that has it was named.")
        elif peer.own_stack:
            notes.append(
                f"{peer.name} learned from the coarse test stack itself, as it is made to, not "
                "from the training planes."
            )
    return notes + [f"Left out because it failed: {error}." for error in errors]


def _write(folder: Path, outcome: Outcome, settings: SuiteSettings, extractor: Extractor) -> None:
    """Write all tables so far, the bars, and everything as JSON."""
    names = [peer.row for peer in settings.peers]
    found = {case: bars(case, factors, names) for case, factors in outcome.results.items()}
    outcome.bars[:] = [bar for case in found.values() for bar in case]
    tables = [*outcome.tables, *(bars_table(case, held) for case, held in found.items())]
    (folder / "tables").mkdir(exist_ok=True)
    write_tables(tables, folder / "tables")
    record = {
        "isoslice": __version__,
        "extractor": extractor.name,
        "settings": {**settings.resolved(), "threads": settings.threads},
        "results": _plain(outcome.results),
        "tables": [to_json(table) for table in tables],
        "bars": [
            {
                "name": bar.name,
                "value": bar.value,
                "target": bar.target,
                "sense": bar.sense,
                "result": bar.result,
            }
            for bar in outcome.bars
        ],
        "failures": outcome.failures,
    }
    with atomic_output(folder / "suite.json", overwrite=True) as draft:
        draft.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


def _plain(results: Mapping[str, Results]) -> dict[str, Any]:
    """Return everything that was measured as plain data."""
    return {
        case: {
            f"{factor}x": {row.method: _measured(row) for row in rows}
            for factor, rows in factors.items()
        }
        for case, factors in results.items()
    }


def _measured(row: Scored) -> dict[str, Any]:
    found: dict[str, Any] = {
        "blocks_only": row.restored is not None and row.restored.blocks_only,
        "fidelity": row.fidelity,
        "fidelity_blocks": row.blocks,
        "slicefid": row.realism,
        "segmentation": row.science,
    }
    if row.restored is not None:
        found |= {
            "process": row.restored.record,
            "voxels_per_second": row.restored.voxels_per_second,
            "peak_share": peak_share(row.restored.record),
            "training": {k: v for k, v in row.restored.training.items() if k != "history"},
        }
    return found
