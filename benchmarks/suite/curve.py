"""How much training time buys: isoslice trained for several times, on one case."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from isoslice.evaluation.benchmark.cells import Cell, Column, Row, ScoreTable
from isoslice.evaluation.benchmark.tables import write_tables
from isoslice.evaluation.slicefid.features import Extractor
from isoslice.runtime.progress import Progress
from suite.bars import SCALE
from suite.methods import interpolation, own_volumes
from suite.pictures import curve_figure
from suite.run import open_bench
from suite.scoring import TRUTH, scored, scored_truth
from suite.settings import SuiteSettings


def run_curve(
    name: str,
    minutes: Sequence[float],
    data: Path,
    folder: Path,
    settings: SuiteSettings,
    extractor: Extractor,
    progress: Progress,
) -> ScoreTable:
    """Train, restore and score for each training time; write a table and a plot.

    A training of ten minutes is none of twenty cut short, for the learning rate follows the time.
    So each is a model of its own, but for the time that the suite trains for: that one is shared.
    """
    points: dict[float, dict[str, float]] = {}
    rows = []
    bench, scorer = open_bench(name, data, folder, settings, extractor, progress)
    floor = scored_truth(bench.case, scorer, SCALE)
    linear = scored(bench.case, scorer, bench.store, interpolation(bench, SCALE, "linear"))
    for time in sorted(minutes):
        suffix = "" if time == settings.minutes else f" {time:g} min"
        chosen = replace(bench, settings=replace(settings, minutes=time))
        found = [
            scored(bench.case, scorer, bench.store, volume)
            for volume in own_volumes(chosen, SCALE, suffix)
        ]
        mean, sample = found
        training = mean.restored.training if mean.restored else {}
        points[time] = {
            "psnr": mean.fidelity["psnr"],
            "psnr linear": linear.fidelity["psnr"],
            "slicefid": sample.realism["mean"]["fid"],
            "slicefid linear": linear.realism["mean"]["fid"],
            f"slicefid {TRUTH}": floor.realism["mean"]["fid"],
        }
        score = sample.realism["mean"]
        rows.append(
            Row(
                f"{time:g} minutes",
                (
                    Cell(float(training.get("steps", float("nan")))),
                    Cell(mean.fidelity["psnr"]),
                    Cell(sample.fidelity["psnr"]),
                    Cell(score["fid"], score["fid_low"], score["fid_high"]),
                    Cell(score["kid"], score["kid_low"], score["kid_high"]),
                ),
            )
        )
    last = points[max(points)]
    table = ScoreTable(
        f"curve_{name}",
        f"Training time: {name}, {SCALE}x",
        f"PSNR over missing planes of the whole volume (linear: {last['psnr linear']:.2f} dB), "
        f"SliceFID of the blocks (linear: {last['slicefid linear']:.1f}, the truth's own slices: "
        f"{last[f'slicefid {TRUTH}']:.1f}). Features: {extractor.name}.",
        (
            Column("steps", digits=0),
            Column("mean, PSNR (dB)", better="high"),
            Column("sample, PSNR (dB)", better="high"),
            Column("sample, SliceFID", better="low", digits=1),
            Column("sample, KID", better="low", digits=4),
        ),
        tuple(rows),
    )
    output = folder / "curve"
    output.mkdir(exist_ok=True)
    write_tables([table], output)
    title = f"isoslice trained for longer: {name}, {SCALE}x, {settings.threads} threads"
    curve_figure(points, output / f"curve_{name}.png", title)
    return table
