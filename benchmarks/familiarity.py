"""When does isoslice warn that a stack looks unlike the training images: ROC over crops.

    python benchmarks/familiarity.py --data FOLDER -o familiarity.csv

FOLDER holds the suite's volumes. What each case's training volumes look like is learned as training
does, a tenth of the planes kept aside. Then stacks are looked at, thinned 4x: the case's own test
volume, the other cases', another modality, and the own test volume changed on purpose. A crop
counts as found where its distance is larger than a level; area under the curve and the share found
at 5% false alarms compare with the crops of the case's own test volume, which must not be found.
At last each volume of a case alone is learned from, and the case's others are looked at.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable, Iterator
from itertools import permutations
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom

from isoslice.data.normalization import percentile_normalization
from isoslice.data.planes import plane_stacks, split
from isoslice.inference.detail.patches import reader
from isoslice.inference.diagnostics import places
from isoslice.models.reliability.out_of_distribution import (
    STACK_CROPS,
    OodReference,
    cut_crops,
    learn_reference,
    score,
    texture_features,
)
from suite.cases import CASES, load_case, read

COLUMNS = ("learned_from", "stack", "change", "distance", "threshold", "beyond", "warns", "auc",
           "found_at_5_percent")  # fmt: skip
FACTOR = 4
Change = Callable[[np.ndarray], np.ndarray]


def changes() -> Iterator[tuple[str, Change]]:
    """List what is done to planes (n, Y, X) in [0, 1]: small to large."""

    def noise(deviation: float) -> Change:
        rng = np.random.default_rng(0)
        return lambda v: v + deviation * rng.standard_normal(v.shape, np.float32)

    def each(function: Change) -> Change:
        return lambda v: np.stack([function(plane) for plane in v])

    for deviation in (0.01, 0.02, 0.05, 0.1, 0.2):
        yield f"noise {deviation}", noise(deviation)
    for sigma in (0.5, 1, 2):
        yield f"blur {sigma}", each(lambda p, s=sigma: gaussian_filter(p, s))
    for size in (1.5, 2):
        yield (
            f"pixels {size}x",
            each(lambda p, s=size: zoom(gaussian_filter(p, s / 3), 1 / s, order=1)),
        )
    yield "pixels 0.5x", each(lambda p: zoom(p, 2, order=1))
    for gamma in (0.7, 0.85, 1.2, 1.5):
        yield f"gamma {gamma}", lambda v, g=gamma: np.clip(v, 0, 1) ** g
    yield "brightness and contrast", lambda v: 0.2 + 0.5 * v
    yield "inverted", lambda v: 1 - v


def parts_of(planes: np.ndarray) -> list[np.ndarray]:
    """Parts of a stack, normalised, as a warning looks at them."""
    data = planes[None].astype(np.float32)
    data = percentile_normalization(data).apply(data)
    return [reader(data)(place) for place in places(planes.shape)]


def distances(familiar: OodReference, parts: list[np.ndarray]) -> np.ndarray:
    """Distances of the crops that are looked at."""
    crops = cut_crops([part[0] for part in parts], familiar.side, STACK_CROPS)
    return familiar.channels[0].distances(texture_features(crops))


def curve(usual: np.ndarray, strange: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve, and the share of strange crops found at 5% false alarms."""
    larger = (strange[:, None] > usual).mean() + (strange[:, None] == usual).mean() / 2
    return float(larger), float((strange > np.quantile(usual, 0.95)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, required=True, metavar="FOLDER")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE.csv")
    options = parser.parse_args()
    cases = {name: load_case(name, options.data, (17, 48, 48), 1, 0) for name in CASES}
    stacks = {
        f"{name}, unseen": np.asarray(case.truth.data)[::FACTOR] for name, case in cases.items()
    }
    stacks["brain_t1"] = np.asarray(read(options.data / "brain_t1.nii.gz").data)[::FACTOR]
    rows = []
    for name, case in cases.items():
        familiar = learn_reference(*split(plane_stacks(case.train), 0.1, 0))
        own = stacks[f"{name}, unseen"]
        usual = distances(familiar, parts_of(own))
        low, high = np.percentile(own, (0.1, 99.9))
        scaled = ((own - low) / (high - low)).astype(np.float32)
        todo = [(stack, "", planes) for stack, planes in stacks.items()]
        todo += [(f"{name}, unseen", what, change(scaled)) for what, change in changes()]
        for stack, what, planes in todo:
            parts = parts_of(planes)
            (found,) = score(familiar, parts)
            area, share = curve(usual, distances(familiar, parts))
            numbers = (found.distance, found.threshold, found.beyond)
            rows.append(
                (name, stack, what, *(f"{n:.2f}" for n in numbers), "yes" if found.is_ood else "no",
                 f"{area:.3f}", f"{share:.2f}")
            )  # fmt: skip
            print(*rows[-1], sep=", ", flush=True)
    # Volumes of one kind, each learned from alone: none of the others should warn.
    for name, case in cases.items():
        volumes = [*case.train, case.truth]
        for i, j in permutations(range(len(volumes)), 2):
            familiar = learn_reference(*split(plane_stacks(volumes[i : i + 1]), 0.1, 0))
            (found,) = score(familiar, parts_of(volumes[j].tczyx()[0, 0, ::FACTOR]))
            numbers = (found.distance, found.threshold, found.beyond)
            warns = "yes" if found.is_ood else "no"
            rows.append(
                (f"{name} {i}", f"{name} {j}", "", *(f"{n:.2f}" for n in numbers), warns, "", "")
            )
            print(*rows[-1], sep=", ", flush=True)
    with options.output.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])


if __name__ == "__main__":
    main()
