"""Do intervals hold what they promise, in 3D? Volumes of three kinds whose truth is known.

    python benchmarks/interval_coverage.py --data FOLDER --models FOLDER -o coverage.csv
        [--samples 8]

FOLDER of the models holds one for each case (``fib25``, ``lucchi``, ``mouse_ct``), trained by
``isoslice train`` on the case's training volumes alone (benchmarks/suite/cases.py); with
``--train 10`` those that are missing are trained for ten minutes each. The test volumes are
thinned, restored, and compared with the truth on the planes that were left out.

A specimen may lie in a background that is one and the same number; where both planes around a voxel
hold that, any interval is right. Such voxels are counted by themselves (``background``), and
``cover 90%, specimen`` leaves them out. Rows of the table:

- ``predicted``: the head's prediction, ``uncertainty=True``;
- ``N samples``: with samples, as ``samples=N`` puts them together with the prediction;
- ``N samples alone``: their own standard deviation around the mean, as a whole brought to the level
  of the predicted one;
- ``constant``: the same standard deviation everywhere, for what local prediction adds;
- ``oracle``: the errors of the voxels around (a Gaussian of two voxels, the voxel itself left
  out), which nobody knows: how far the size of single errors can be told at all.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.stats import spearmanr

from isoslice.data.grid import even_grid
from isoslice.data.normalization import percentile_normalization
from isoslice.inference.model import Model
from isoslice.models.files.bundle import is_model_folder
from isoslice.models.reliability.calibration import COVERAGE_LEVELS
from isoslice.training.train import train
from suite.cases import CASES, CaseData, load_case

#: Sides of the blocks whose errors are compared with what was predicted for them.
BLOCKS = (4, 8, 16)
COLUMNS = [
    "case", "factor", "method", *(f"cover {level:.0%}" for level in COVERAGE_LEVELS),
    "cover 90%, specimen", "background", "rmse",
    "predicted rms", "rank, voxels", *(f"rank, {n}^3" for n in BLOCKS), "deciles rise",
    "largest fall", "seconds",
]  # fmt: skip


def in_blocks(values: NDArray[Any], hidden: NDArray[np.bool_], side: int) -> NDArray[Any]:
    """Root mean square over the hidden voxels of cubes."""
    z, y, x = (n // side * side for n in values.shape)
    weight = np.broadcast_to(hidden[:z, None, None], (z, y, x)).astype(np.float32)
    squares = values[:z, :y, :x].astype(np.float32) ** 2 * weight

    def sums(array: NDArray[Any]) -> NDArray[Any]:
        cubes = array.reshape(z // side, side, y // side, side, x // side, side)
        return cubes.sum(axis=(1, 3, 5), dtype=np.float64).ravel()

    count = sums(weight)
    return np.sqrt(sums(squares)[count > 0] / count[count > 0])


def background(coarse: NDArray[Any], factor: int) -> NDArray[np.bool_]:
    """Mark voxels of the volume whose planes around hold the one value that a fifth of all has."""
    values, counts = np.unique(coarse, return_counts=True)
    grid = even_grid(len(coarse), factor)
    if counts.max() < 0.2 * coarse.size:
        return np.zeros((grid.depth, *coarse.shape[1:]), bool)
    empty = coarse == values[counts.argmax()]
    below = np.arange(grid.depth) // factor
    above = np.minimum(below + 1, len(coarse) - 1)
    return empty[below] & empty[above]


def deciles(error: NDArray[Any], std: NDArray[Any]) -> NDArray[Any]:
    """Root mean square error of tenths of the voxels, by rising standard deviation."""
    order = np.argsort(std, kind="stable")
    return np.array([np.sqrt(np.mean(error[part] ** 2)) for part in np.array_split(order, 10)])


def scores(
    error: NDArray[Any],
    std: NDArray[Any],
    hidden: NDArray[np.bool_],
    empty: NDArray[np.bool_],
    multiples: tuple[float, ...],
) -> dict[str, Any]:
    """Compare errors with predicted standard deviations, volumes (Z, Y, X)."""
    e, s = np.abs(error[hidden]).ravel(), std[hidden].ravel()
    specimen = ~empty[hidden].ravel()
    covered = (e <= multiples[COVERAGE_LEVELS.index(0.9)] * s)[specimen]
    found: dict[str, Any] = {
        f"cover {level:.0%}": np.mean(e <= times * s)
        for level, times in zip(COVERAGE_LEVELS, multiples, strict=True)
    }
    some = np.random.default_rng(0).choice(len(e), min(len(e), 500_000), replace=False)
    curve = deciles(e, s)
    falls = 1 - curve[1:] / np.maximum.accumulate(curve)[:-1]
    found |= {
        "cover 90%, specimen": covered.mean(),
        "background": 1 - specimen.mean(),
        "rmse": np.sqrt(np.mean(e**2)),
        "predicted rms": np.sqrt(np.mean(s**2)),
        "rank, voxels": spearmanr(e[some], s[some]).statistic,
        "deciles rise": bool((np.diff(curve) >= 0).all()),
        "largest fall": max(0.0, float(falls.max())),
    }
    for side in BLOCKS:
        found[f"rank, {side}^3"] = spearmanr(
            in_blocks(error, hidden, side), in_blocks(std, hidden, side)
        ).statistic
    return found


def oracle(error: NDArray[Any], hidden: NDArray[np.bool_]) -> NDArray[Any]:
    """Root mean square error around each voxel, itself left out."""
    weight = np.broadcast_to(hidden[:, None, None], error.shape).astype(np.float32)
    alone = np.zeros((17, 17, 17), np.float32)
    alone[8, 8, 8] = 1
    own = gaussian_filter(alone, 2.0)[8, 8, 8]
    squares = error.astype(np.float32) ** 2 * weight
    around = gaussian_filter(squares, 2.0) - own * squares
    count = gaussian_filter(weight, 2.0) - own * weight
    return np.sqrt(np.maximum(around, 0) / np.maximum(count, 1e-6))


def rows(case: CaseData, model: Model, factor: int, samples: list[int]) -> list[dict[str, Any]]:
    coarse, truth = case.coarse(factor), case.truth.data.astype(np.float32)
    size = case.truth.voxel_size
    assert size is not None
    asked = {"mode": "mean", "uncertainty": True}
    hidden = ~even_grid(len(coarse), factor).mask
    unit = percentile_normalization(coarse[None])
    width = unit.high[0] - unit.low[0]
    empty, found = background(coarse, factor), []

    def add(method: str, std: NDArray[Any], **more: Any) -> None:
        found.append({"method": method, **more, **scores(error, std, hidden, empty, multiples)})

    for count in (0, *samples):
        started = time.perf_counter()
        made = model.predict(
            coarse,
            axes="ZYX",
            voxel_size=(size.z * factor, size.y, size.x),
            factor=factor,
            **({"samples": count, "keep_samples": True} if count else asked),
        )
        seconds = time.perf_counter() - started
        assert made.std is not None
        assert made.calibration is not None
        error = (made.volume.astype(np.float32) - truth) / width
        std, multiples = made.std / width, made.calibration.multiples
        name = f"{count} samples" if count else "predicted"
        add(name, std, seconds=seconds)
        print(case.name, factor, name, made.provenance["uncertainty"], flush=True)
        level = np.sqrt(np.mean(std[hidden] ** 2))
        if not count:
            add("constant", np.full_like(std, level))
            add("oracle", oracle(error, hidden))
        else:
            middle = made.volume.astype(np.float32)
            squares = sum((sample.astype(np.float32) - middle) ** 2 for sample in made.samples)
            alone = np.sqrt(squares)
            add(f"{name} alone", alone * level / np.sqrt(np.mean(alone[hidden] ** 2)))
    return [{"case": case.name, "factor": factor, **row} for row in found]


def get_model(case: CaseData, folder: Path, minutes: float | None) -> Model:
    path = folder / case.name
    if not is_model_folder(path):
        if minutes is None:
            sys.exit(f"no model at {path}; train it there, or give --train MINUTES")
        train(list(case.train), minutes=minutes).save(path)
    return Model.load(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--models", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--case", action="append", choices=list(CASES))
    parser.add_argument("--factor", type=int, action="append")
    parser.add_argument("--samples", type=int, action="append", default=[])
    parser.add_argument("--train", type=float)
    options = parser.parse_args()
    with options.output.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS)
        writer.writeheader()
        for name in options.case or list(CASES):
            case = load_case(name, options.data, (41, 48, 48), 1, 0)
            model = get_model(case, options.models, options.train)
            for factor in options.factor or (2, 4, 8):
                for row in rows(case, model, factor, options.samples):
                    plain = {
                        key: f"{value:.4f}" if isinstance(value, float) else value
                        for key, value in row.items()
                    }
                    writer.writerow(plain)
                    stream.flush()
                    print(plain, flush=True)


if __name__ == "__main__":
    main()
