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

import numpy as np

from isoslice.data.volume import Volume
from isoslice.inference.memory import memory_needed
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.inference.recipes import recipe_of
from outofcore import high_water, peak

#: What is asked for.
OPTIONS = (
    PredictOptions(mode="mean"),
    PredictOptions(),
    PredictOptions(mode="mean", uncertainty=True),
    PredictOptions(uncertainty=True),
    PredictOptions(samples=3),
    PredictOptions(samples=3, keep_samples=True),
)
PLANES, FACTOR = 16, 4
COLUMNS = ("asked", "voxels", "GB expected", "GB taken")


def restore(model: Path, side: int, options: PredictOptions) -> tuple[int, float, float]:
    """Restore noise; return its voxels, and the GB that were expected and taken."""
    voxels = np.random.default_rng(0).integers(0, 255, (PLANES, side, side), np.uint8)
    stack = Volume(voxels, "ZYX", {"Z": float(FACTOR), "Y": 1.0, "X": 1.0})
    restorer = Model.load(model)
    peak()
    before = high_water(os.getpid())
    restored = restorer.predict(stack, device="cpu", **options.model_dump())
    taken = high_water(os.getpid()) - before
    recipe = recipe_of(restorer.config)
    depth = restored.volume.shape[0]
    needed = memory_needed(stack, depth, recipe.resolve(options), recipe)
    return restored.volume.size, needed / 1e9, taken


def told(options: PredictOptions) -> str:
    """Name what is asked for."""
    if options.samples:
        return f"{options.samples} samples" + (", kept" if options.keep_samples else "")
    return (options.mode or "sample") + (" and std" if options.uncertainty else "")


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
            for asked in OPTIONS:
                with get_context("spawn").Pool(1) as pool:
                    voxels, expected, taken = pool.apply(restore, (options.model, side, asked))
                row = (told(asked), str(voxels), f"{expected:.2f}", f"{taken:.2f}")
                table.writerow(row)
                file.flush()
                print(*row, flush=True)


if __name__ == "__main__":
    main()
