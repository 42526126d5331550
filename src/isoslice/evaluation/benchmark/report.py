"""Arrange the benchmark's scores in tables like the paper's four."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from isoslice.evaluation.benchmark.cells import Cell, Column, Row, ScoreTable
from isoslice.evaluation.benchmark.restored import BLURRED, TRUTH

#: Scores by factor, method and metric.
ScoresByFactor = Mapping[int, Mapping[str, Mapping[str, Any]]]
DIRECTIONS = ("XY", "XZ", "YZ")


def paired_table(scores: ScoresByFactor, extractor: str, count: int) -> ScoreTable:
    """Make table 1: hidden rows of 2D images restored."""
    metrics = (
        ("L1", "l1", "low", 4),
        ("PSNR (dB)", "psnr", "high", 2),
        ("SSIM", "ssim", "high", 3),
        (_distance(extractor)[0], "fid", "low", _distance(extractor)[1]),
    )
    columns = [
        Column(name, f"{factor}x", "low" if better == "low" else "high", digits)
        for factor in scores
        for name, _, better, digits in metrics
    ]
    methods = list(next(iter(scores.values())))
    rows = [
        Row(
            method,
            tuple(
                Cell(**scores[factor][method][key]) for factor in scores for _, key, _, _ in metrics
            ),
        )
        for method in methods
    ]
    return ScoreTable(
        "paired",
        "Paired 2D: rows hidden and restored",
        f"{count} crops of planes of the test volume, every k-th row known, scored between the "
        "first and last known row; intensities 0.1 to 99.9 percentile as 0 to 1, data range 1; "
        "PSNR of the mean squared error over all crops. "
        f"Features: {extractor}. 95% intervals by resampling images.",
        tuple(columns),
        tuple(rows),
    )


def volume_table(realism: ScoresByFactor, extractor: str, protocol: str) -> ScoreTable:
    """Make table 2: SliceFID by method and factor."""
    fid, digits = _distance(extractor)
    columns, cells = [], {method: list[Cell]() for method in next(iter(realism.values()))}
    for factor, methods in realism.items():
        group = f"{factor}x"
        columns += [Column(f"{fid} {axis}", group, "low", digits) for axis in DIRECTIONS]
        columns += [Column(f"Slice{fid}", group, "low", digits), Column("KID", group, "low", 4)]
        for method, score in methods.items():
            mean = score["mean"]
            cells[method] += [_interval(score["axes"][axis], "fid") for axis in DIRECTIONS]
            cells[method] += [_interval(mean, "fid"), _interval(mean, "kid")]
    counts = next(iter(next(iter(realism.values())).values()))
    images = ", ".join(f"{counts['axes'][axis]['images']} {axis}" for axis in DIRECTIONS)
    left_out = (
        "Measured planes are left out of XY."
        if protocol == "default"
        else "Every slice is equalised by itself, which hides errors of intensity."
    )
    return ScoreTable(
        "slicefid" if protocol == "default" else f"slicefid_{protocol}",
        f"3D: SliceFID by scale, protocol {protocol}",
        f"Slices ({images} images at the first scale) against {counts['real_images']} real 2D "
        f"images; Slice{fid} and KID are means of the three directions; the truth's own slices "
        f"are the floor. {left_out} Features: {extractor}. 95% intervals by resampling slices.",
        tuple(columns),
        tuple(Row(m, tuple(c), ranked=m != TRUTH) for m, c in cells.items()),
    )


def fidelity_table(fidelity: ScoresByFactor) -> ScoreTable:
    """Make the table of distances from the truth."""
    metrics = (
        ("L1", "l1", "low", 4),
        ("PSNR (dB)", "psnr", "high", 2),
        ("SSIM", "ssim", "high", 3),
        ("gradient Z", "gradient_z", "", 2),
    )
    columns: list[Column] = []
    cells = {method: list[Cell]() for method in next(iter(fidelity.values()))}
    for factor, methods in fidelity.items():
        for name, key, better, digits in metrics:
            kind: Literal["low", "high", ""] = better  # type: ignore[assignment]
            columns.append(Column(name, f"{factor}x", kind, digits))
            for method, score in methods.items():
                cells[method].append(Cell(**score[key]))
    return ScoreTable(
        "fidelity",
        "3D: distance from the truth by scale",
        "L1 and PSNR over planes that were not measured, in units of the truth's range (99.9th "
        "less 0.1th percentile), PSNR of the mean squared error; 95% intervals by resampling "
        "planes; SSIM over the slices of all "
        "directions; roughness along Z relative to the truth's (1 is best).",
        tuple(columns),
        tuple(Row(method, tuple(values)) for method, values in cells.items()),
    )


def direction_table(realism: ScoresByFactor, models: Sequence[str], extractor: str) -> ScoreTable:
    """Make table 3: XZ slices alone, YZ slices alone, their average."""
    fid, digits = _distance(extractor)
    columns = [
        Column(name, f"{factor}x", "low", digits)
        for factor in realism
        for name in (*(f"{fid} {axis}" for axis in DIRECTIONS), f"Slice{fid}")
    ]
    rows = []
    for model in models:
        for method in (f"{model}, XZ only", f"{model}, YZ only", model):
            cells: list[Cell] = []
            for scores in realism.values():
                score = scores[method]
                cells += [_interval(score["axes"][axis], "fid") for axis in DIRECTIONS]
                cells.append(_interval(score["mean"], "fid"))
            name = f"{model}, average" if method == model else method
            rows.append(Row(name, tuple(cells)))
    return ScoreTable(
        "directions",
        "Ablation: inference direction",
        f"Slices restored along one direction, or both and averaged. Features: {extractor}.",
        tuple(columns),
        tuple(rows),
    )


def blur_table(realism: ScoresByFactor, models: Sequence[str], extractor: str) -> ScoreTable:
    """Make table 4: with and without the Gaussian of 3 x 3 x 3 voxels, sigma 0.5."""
    columns = [
        Column(name, f"{factor}x", "low", _distance(extractor)[1])
        for factor in realism
        for name in ("as it is", "blurred")
    ]
    methods = ["linear"]
    for model in models:
        methods += [f"{model}, XZ only", f"{model}, YZ only", model]
    rows = [
        Row(
            f"{method}, average" if method in models else method,
            tuple(
                _interval(scores[method + suffix]["mean"], "fid")
                for scores in realism.values()
                for suffix in ("", BLURRED)
            ),
        )
        for method in methods
    ]
    return ScoreTable(
        "blur",
        "Ablation: Gaussian blur",
        "SliceFID without and with a blur of 3 x 3 x 3 voxels, sigma 0.5; measured planes are put "
        f"back. Features: {extractor}.",
        tuple(columns),
        tuple(rows),
    )


def cost_table(costs: Mapping[str, Mapping[str, float]]) -> ScoreTable:
    """Make the table of the models' costs by model and quantity: size, training, prediction."""
    quantities = list(next(iter(costs.values())))
    return ScoreTable(
        "cost",
        "Cost of the models",
        "Times of this run on this machine, which may have been busy with other work.",
        tuple(Column(name, digits=1) for name in quantities),
        tuple(Row(name, tuple(Cell(c[q]) for q in quantities)) for name, c in costs.items()),
    )


def _distance(extractor: str) -> tuple[str, int]:
    """Return name and digits of the distance: only Inception's features make it an FID."""
    return ("FID", 1) if extractor.startswith("inception") else ("FD", 4)


def _interval(score: Mapping[str, Any], key: str) -> Cell:
    return Cell(score[key], score[f"{key}_low"], score[f"{key}_high"])
