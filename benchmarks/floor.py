"""SliceFID of the truth, the floor of a benchmark, against numbers of images and of blocks.

    python benchmarks/floor.py CONFIG.toml
    python benchmarks/floor.py CONFIG.toml "RESULTS/volumes/2x/isoslice, sample.npy" --factor 2

FID is biased upwards for few images, and one spot of a specimen is not the specimen. Prints two
Markdown tables, quoted in docs/benchmarks/reproduction.md: the first for the number of images a
direction, with the trace of the features' covariance, on which the bias depends; the second for the
number of blocks the truth is cut into. Settings are those of --quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoslice.data.normalization import Normalization
from isoslice.evaluation.benchmark.data import load_data
from isoslice.evaluation.benchmark.settings import BenchmarkSettings, read_settings
from isoslice.evaluation.slicefid.distances import fid, kid
from isoslice.evaluation.slicefid.features import Extractor, inception, texture
from isoslice.evaluation.slicefid.slices import (
    auto_tile,
    intensity_mapping,
    joined,
    plane_images,
    slice_images,
)

Floats = NDArray[np.float32]


def evenly(count: int, limit: int) -> NDArray[np.int64]:
    """At most `limit` of `count` indices, evenly spread, as the benchmark takes them."""
    return np.linspace(0, count - 1, min(count, limit)).round().astype(int)


class Scorer:
    """Real images' features, and volumes' features by direction."""

    def __init__(self, settings: BenchmarkSettings, extractor: Extractor) -> None:
        data = load_data(settings)
        lengths = [*data.truth.shape[2:], *(n for p in data.real for n in p.shape[2:])]
        self.extractor = extractor
        self.tile = auto_tile(lengths)
        self.mapping: Normalization = intensity_mapping(data.real)
        sets = [plane_images(p, "default", self.mapping, self.tile) for p in data.real]
        images = joined(sets).images
        self.real = extractor(images[evenly(len(images), settings.real_images)], lambda part: None)

    def features(self, volume: Floats, factor: int, limit: int) -> dict[str, Floats]:
        """Features of at most `limit` images a direction of blocks (B, C, Z, Y, X)."""
        known = range(0, volume.shape[2], factor)
        cut = [slice_images(v, "default", self.mapping, known, self.tile) for v in volume]
        found = {}
        for axis in cut[0]:
            images = joined([sets[axis] for sets in cut]).images
            found[axis] = self.extractor(images[evenly(len(images), limit)], lambda part: None)
        return found

    def cells(self, name: str, features: Mapping[str, Floats]) -> str:
        """One row of a table: images, SliceFID, mean KID, mean trace of the covariance."""
        values = list(features.values())
        scores = (
            np.mean([fid(self.real, x) for x in values]),
            np.mean([kid(self.real, x) for x in values]),
            np.mean([x.var(0, ddof=1).sum() for x in values]),
        )
        counts = ", ".join(str(len(x)) for x in values)
        return f"| {name} | {counts} | {scores[0]:.4g} | {scores[1]:.4f} | {scores[2]:.4g} |"


def header(first: str) -> str:
    """First two lines of a table."""
    names = (first, "images XY, XZ, YZ", "SliceFID", "KID", "trace of the covariance")
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def by_images(
    scorer: Scorer, volumes: Mapping[str, Floats], factor: int, counts: Sequence[int]
) -> None:
    """Score volumes with few and with many images; the few are chosen from the many."""
    print(header("volume"))
    for name, volume in volumes.items():
        features = scorer.features(volume, factor, max(counts))
        for count in counts:
            few = {axis: x[evenly(len(x), count)] for axis, x in features.items()}
            print(scorer.cells(name, few), flush=True)


def by_blocks(
    scorer: Scorer, settings: BenchmarkSettings, factor: int, counts: Sequence[int]
) -> None:
    """Score truths of few and of many blocks by as many images as the benchmark takes."""
    print("\n" + header("blocks of the truth"))
    for count in counts:
        truth = load_data(settings.model_copy(update={"blocks": count})).truth
        features = scorer.features(truth, factor, settings.images_per_axis or 48)
        print(scorer.cells(str(count), features), flush=True)


def main() -> None:
    """Read, score, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("config", type=Path, help="a benchmark's TOML file")
    parser.add_argument("volume", type=Path, nargs="*", help="restored blocks, of its results")
    parser.add_argument("--factor", type=int, default=4, help="its measured planes are left out")
    parser.add_argument("--images", type=int, nargs="*", default=[24, 36, 48, 96])
    parser.add_argument("--blocks", type=int, nargs="*", default=[1, 2, 3, 4])
    parser.add_argument("--features", type=Path, help="weights of the Inception network")
    parser.add_argument("--light", action="store_true", help="simple features: no FID")
    options = parser.parse_args()
    settings = read_settings(options.config, quick=True)
    extractor = texture() if options.light else inception(options.features)
    scorer = Scorer(settings, extractor)
    volumes = {"truth": load_data(settings).truth}
    volumes |= {path.stem: np.load(path) for path in options.volume}
    if options.images:
        by_images(scorer, volumes, options.factor, options.images)
    if options.blocks:
        by_blocks(scorer, settings, options.factor, options.blocks)


if __name__ == "__main__":
    main()
