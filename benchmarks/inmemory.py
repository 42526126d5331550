"""How much memory restoring in memory takes, against what isoslice expects (fits.py).

    python benchmarks/inmemory.py MODEL -o inmemory.csv

Each volume is restored in a process of its own, by the CPU; what counts is how far the resident
memory rises above where it was before. Linux alone.
"""

from __future__ import annotations

import argparse
import csv
import os
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.volume import Volume
from isoslice.inference.memory import Wanted, memory_needed
from isoslice.inference.model import Model
from outofcore import high_water, peak

#: What is asked for.
WANTED = (
    Wanted(mean=True),
    Wanted(),
    Wanted(mean=True, uncertainty=True),
    Wanted(uncertainty=True),
    Wanted(samples=3),
    Wanted(samples=3, keep=True),
)
PLANES, FACTOR = 16, 4
COLUMNS = ("asked", "voxels", "GB expected", "GB taken")


def restore(model: Path, side: int, wanted: Wanted) -> tuple[int, float, float]:
    """Restore noise; return its voxels, and the GB that were expected and taken."""
    voxels = np.random.default_rng(0).integers(0, 255, (PLANES, side, side), np.uint8)
    stack = Volume(voxels, "ZYX", {"Z": float(FACTOR), "Y": 1.0, "X": 1.0})
    restorer = Model.load(model)
    options: dict[str, Any] = (
        {} if wanted.samples else {"mode": "mean" if wanted.mean else "sample"}
    )
    peak()
    before = high_water(os.getpid())
    found = restorer.predict(
        stack,
        uncertainty=wanted.uncertainty,
        samples=wanted.samples,
        keep_samples=wanted.keep,
        device="cpu",
        **options,
    )
    taken = high_water(os.getpid()) - before
    return found.volume.size, memory_needed(stack, FACTOR, wanted) / 1e9, taken


def told(wanted: Wanted) -> str:
    """Name what is asked for."""
    if wanted.samples:
        return f"{wanted.samples} samples" + (", kept" if wanted.keep else "")
    return ("mean" if wanted.mean else "sample") + (" and std" if wanted.uncertainty else "")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--sides", type=int, nargs="+", default=[256, 512], help="pixels, of XY")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.csv")
    options = parser.parse_args()
    with options.output.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(COLUMNS)
        for side in options.sides:
            for wanted in WANTED:
                with get_context("spawn").Pool(1) as pool:
                    voxels, expected, taken = pool.apply(restore, (options.model, side, wanted))
                row = (told(wanted), str(voxels), f"{expected:.2f}", f"{taken:.2f}")
                table.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()
