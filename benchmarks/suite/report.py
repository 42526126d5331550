"""Scores as tables: one for each case and scale."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from isoslice.evaluation.benchmark.cells import Cell, Column, Row, ScoreTable
from isoslice.evaluation.evaluate import SLICES
from suite.scoring import AXES, TRUTH, Scored

WHOLE, BLOCKS, COST = "whole volume", "blocks", "cost"


def is_msdsr(method: str) -> bool:
    """Tell whether a row is MSDSR's."""
    return method.startswith("msdsr")


def distance(row: Scored, floor: Scored, other: Scored | None) -> float | None:
    """SliceFID less the truth's, relative to that of another method."""
    if other is None:
        return None
    ground = floor.realism["mean"]["fid"]
    whole = other.realism["mean"]["fid"] - ground
    return float((row.realism["mean"]["fid"] - ground) / whole) if whole > 0 else None


def case_table(
    case: str, factor: int, rows: Sequence[Scored], notes: Sequence[str], extractor: str
) -> ScoreTable:
    """Make the table of one case and scale.

    Parameters
    ----------
    case, factor
        Its name.
    rows
        In the order shown; the truth among them.
    notes
        Sentences for the caption: what was trained on what, which rows are left out and why.
    extractor
        Name of the features.
    """
    fid, digits = ("FID", 1) if extractor.startswith("inception") else ("FD", 4)
    columns = [
        Column("PSNR (dB)", WHOLE, "high"),
        Column("SSIM", WHOLE, "high", 3),
        *(Column(f"gradient {axis}", WHOLE) for axis in AXES),
        *(Column(f"power {axis}", WHOLE) for axis in AXES),
        Column("FSC", WHOLE, "high", 3),
        Column("FSC Z", WHOLE, "high", 3),
        Column("PSNR (dB)", BLOCKS, "high"),
        *(Column(f"{fid} {name}", BLOCKS, "low", digits) for name in SLICES),
        Column(f"Slice{fid}", BLOCKS, "low", digits),
        Column("KID", BLOCKS, "low", 4),
        Column("distance / linear's", BLOCKS, "low"),
        Column("distance / msdsr's", BLOCKS, "low"),
        Column("voxels/s", COST, "high", 0),
        Column("memory (MB)", COST, "low", 0),
        Column("training (min)", COST, "", 1),
    ]
    floor = next(row for row in rows if row.method == TRUTH)
    linear = next((row for row in rows if row.method == "linear"), None)
    msdsr = next((row for row in rows if is_msdsr(row.method)), None)
    return ScoreTable(
        f"{case}_{factor}x",
        f"{case}, {factor}x",
        " ".join(notes),
        tuple(columns),
        tuple(
            Row(
                row.method,
                (*_fidelity(row), *_realism(row, floor, linear, msdsr), *_cost(row)),
                ranked=row.restored is not None and not row.restored.blocks_only,
            )
            for row in rows
        ),
    )


def caption(factor: int, blocks: int, size: Sequence[int], counts: dict[str, Any]) -> str:
    """Say what the columns are."""
    images = ", ".join(f"{counts['axes'][name]['images']} {name}" for name in SLICES)
    shape = " x ".join(map(str, size))
    return (
        f"One plane of {factor} kept, as point samples; measured plane i is output plane "
        f"{factor} i for all methods. PSNR over the planes that were not measured, range: the "
        "truth's 0.1 to 99.9 percentile; SSIM over slices of all directions; gradient and power "
        "(fine detail, 1/4 to 1/2 cycle a voxel) relative to the truth's, 1 is best; FSC: "
        "frequency (cycles a voxel) at which the Fourier shell correlation with the truth falls "
        f"below 1/2, over all directions and within 30 degrees of Z. Blocks: {blocks} of {shape} "
        f"voxels, the same for all methods; {images} images against {counts['real_images']} "
        "tiles of training planes, measured planes left out of XY, means of the three directions "
        "with 95% intervals by resampling slices; distance: SliceFID less that of the truth's "
        "own slices. Voxels/s and peak of memory: of a process that does nothing else, without "
        "its start; memory includes all that is loaded."
    )


def _fidelity(row: Scored) -> list[Cell]:
    if not row.fidelity:
        return [Cell(None)] * (4 + 2 * len(AXES))
    found = row.fidelity
    return [
        Cell(found["psnr"]),
        Cell(found["ssim"]),
        *(Cell(found["gradient"][axis]) for axis in AXES),
        *(Cell(found["power"][axis]) for axis in AXES),
        Cell(found["fsc"]["cutoff"]),
        Cell(found["fsc_z"]["cutoff"]),
    ]


def _realism(row: Scored, floor: Scored, linear: Scored | None, msdsr: Scored | None) -> list[Cell]:
    axes, mean = row.realism["axes"], row.realism["mean"]
    return [
        Cell(row.blocks.get("psnr")),
        *(_interval(axes[name], "fid") for name in SLICES),
        _interval(mean, "fid"),
        _interval(mean, "kid"),
        Cell(distance(row, floor, linear)),
        Cell(distance(row, floor, msdsr)),
    ]


def _cost(row: Scored) -> list[Cell]:
    if row.restored is None:
        return [Cell(None)] * 3
    minutes = row.restored.training.get("minutes", math.nan)
    return [
        Cell(row.restored.voxels_per_second),
        Cell(row.restored.record["peak_mb"]),
        Cell(float(minutes)),
    ]


def _interval(score: dict[str, Any], key: str) -> Cell:
    return Cell(score[key], score[f"{key}_low"], score[f"{key}_high"])
