"""Does `isoslice check` foretell the true score? Isotropic volumes, thinned, with the truth known.

    python benchmarks/checks.py --data FOLDER --models MODELS -o checks.csv

FOLDER holds the suite's volumes (benchmarks/README.md), MODELS one model of each case, trained on
what the suite trains on: fib25, lucchi, mouse_ct. For each case and factor the volume is thinned,
checked (measured planes hidden, scores foretold), restored, and compared with the truth over the
planes that were not measured. Lines are added to the table as they come; those there are kept.
"""

from __future__ import annotations

import argparse
import csv
from pathlib import Path

import numpy as np

from isoslice.data.grid import crop_to_grid, even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.psnr import psnr
from isoslice.evaluation.holdout.result import METHODS
from isoslice.evaluation.holdout.run import check
from isoslice.evaluation.metrics import data_range_of
from isoslice.inference.model import Model
from suite.cases import CASES, load_case

COLUMNS = ("case", "factor", "mode", "method", "hidden", "expected", "true", "off")


def measure(truth: np.ndarray, model: Model, factor: int, mode: str) -> list[tuple[str, ...]]:
    """Check a thinned volume (Z, Y, X), and restore it: rows of the table."""
    truth = crop_to_grid(truth, factor)
    stack = thin(truth, factor)
    size = (float(factor), 1.0, 1.0)
    found = check(stack, model, "ZYX", size, factor, mode=mode)
    grid = even_grid(len(stack), factor)
    made = {way: interpolate(stack, grid, way) for way in METHODS[1:]}
    made["model"] = model.predict(stack, "ZYX", size, factor, mode=mode).volume
    peak, hidden, rows = data_range_of(truth), ~grid.mask, []
    for way in METHODS:
        true = psnr(made[way][hidden], truth[hidden], peak)
        expected = found.predicted[way]
        assert expected is not None
        numbers = (found.psnr[way], expected, true, expected - true)
        rows.append((mode, way, *(f"{number:.2f}" for number in numbers)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("--models", type=Path, required=True, metavar="MODELS")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.csv")
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--factor", action="append", type=int, help="default: 2, 4 and 8")
    parser.add_argument("--side", type=int, metavar="N", help="the middle N x N pixels alone")
    parser.add_argument("--mode", choices=("mean", "sample"), default="mean")
    options = parser.parse_args()
    done = set()
    if options.output.exists():
        with options.output.open() as file:
            done = {(row["case"], row["factor"], row["mode"]) for row in csv.DictReader(file)}
    else:
        options.output.write_text(",".join(COLUMNS) + "\n", encoding="utf-8")
    for case in options.case or CASES:
        truth = np.asarray(load_case(case, options.data, (17, 48, 48), 1, 0).truth.data)
        if options.side:
            starts = [max(0, (side - options.side) // 2) for side in truth.shape[1:]]
            y, x = (slice(start, start + options.side) for start in starts)
            truth = truth[:, y, x]
        model = Model.load(options.models / case)
        for factor in options.factor or (2, 4, 8):
            if (case, str(factor), options.mode) in done:
                continue
            with options.output.open("a", newline="") as file:
                for row in measure(truth, model, factor, options.mode):
                    csv.writer(file, lineterminator="\n").writerow((case, factor, *row))
                    print(case, factor, *row, flush=True)


if __name__ == "__main__":
    main()
