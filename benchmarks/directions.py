"""When does isoslice warn that a stack is not alike along Z and along Y and X: a table.

    python benchmarks/directions.py --data FOLDER -o directions.csv

FOLDER holds the suite's volumes, all of isotropic voxels. Each is thinned as it is, which must not
warn, and changed on purpose before, more and more: blurred along Z, averaged over slabs, stretched
or squeezed along Z (as a wrong voxel size does), with planes that flicker, or that are shifted.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d, zoom

from isoslice.data.normalization import percentile_normalization
from isoslice.inference.detail.patches import reader
from isoslice.inference.diagnostics import places
from isoslice.models.reliability.isotropy import compare_directions
from suite.cases import CASES, load_case, read

COLUMNS = ("volume", "factor", "change", "ratio", "flicker", "warns")
Change = Callable[[np.ndarray], np.ndarray]


def changes(factor: int) -> Iterator[tuple[str, Change]]:
    """List what is done to a volume (Z, Y, X) in [0, 1]: small to large."""
    rng = np.random.default_rng(0)

    def shifted(volume: np.ndarray, deviation: float) -> np.ndarray:
        shifts = np.rint(deviation * rng.standard_normal((len(volume), 2))).astype(int)
        planes = zip(volume, shifts, strict=True)
        return np.stack([np.roll(plane, shift, (0, 1)) for plane, shift in planes])

    for sigma in (0.5, 1, 1.5, 2, 3):
        yield f"blur {sigma}", lambda v, s=sigma: gaussian_filter1d(v, s, axis=0)
    yield "slabs", lambda v: uniform_filter1d(v, factor, axis=0)
    for by in (1.5, 2, 3):
        yield f"stretched {by}x", lambda v, b=by: zoom(v[: int(len(v) / b)], (b, 1, 1), order=1)
    for by in (1.5, 2):
        yield (
            f"squeezed {by}x",
            lambda v, b=by: zoom(gaussian_filter1d(v, b / 3, axis=0), (1 / b, 1, 1), order=1),
        )
    for jump in (0.01, 0.02, 0.05, 0.1):
        yield (
            f"flicker {jump}",
            lambda v, j=jump: v + (j * rng.standard_normal((len(v), 1, 1))).astype(v.dtype),
        )
    for shift in (1, 2, 4, 8):
        yield f"shifted {shift}", lambda v, s=shift: shifted(v, s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.csv")
    options = parser.parse_args()
    volumes = {}
    for name in CASES:
        case = load_case(name, options.data, (17, 48, 48), 1, 0)
        volumes[f"{name}, unseen"] = np.asarray(case.truth.data)
        for i, train in enumerate(case.train):
            volumes[f"{name}, trained on {i}"] = np.asarray(train.tczyx()[0, 0])
    volumes["brain_t1"] = np.asarray(read(options.data / "brain_t1.nii.gz").data)
    rows = []
    for name, volume in volumes.items():
        low, high = np.percentile(volume, (0.1, 99.9))
        scaled = ((volume - low) / (high - low)).astype(np.float32)
        for factor in (2, 4, 8):
            changed = changes(factor) if name.endswith("unseen") else ()
            for what, change in [("", lambda v: v), *changed]:
                planes = change(scaled)[::factor][None]
                planes = percentile_normalization(planes).apply(planes)
                parts = [reader(planes)(place) for place in places(planes.shape[1:])]
                (found,) = compare_directions(parts, factor)
                assert found.ratio is not None
                assert found.flicker is not None
                numbers = (f"{found.ratio:.2f}", f"{found.flicker:.3f}")
                rows.append((name, factor, what, *numbers, "yes" if found.message else "no"))
                print(*rows[-1], sep=", ", flush=True)
    with options.output.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
