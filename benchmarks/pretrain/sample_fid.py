"""How much slices of samples look like the specimen's own planes: SliceFID on six volumes.

    python benchmarks/pretrain/sample_fid.py --data ../shared [--adapt-steps 400] -o sample_fid.csv

Volumes are those of `zero_shot.py`, thinned and restored by the model that comes with isoslice, or
by that model adapted to each. Real images are tiles of the truth's measured planes; the floor is
the SliceFID of the truth's own slices, and what is compared are distances to it. The same number of
tiles everywhere, evenly spread, since FID is biased upwards for few images.
"""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # as a script, it finds its own folder first, not what is beside that
    sys.path[0] = str(Path(__file__).resolve().parents[1])

import numpy as np
from numpy.typing import NDArray

import isoslice
from isoslice.data.grid import even_grid, thin
from isoslice.data.interpolation import interpolate
from isoslice.data.subsampling import evenly_spaced
from isoslice.evaluation.slicefid.distances import fid
from isoslice.evaluation.slicefid.features import Extractor, inception, texture
from isoslice.evaluation.slicefid.slices import (
    SliceSet,
    auto_tile,
    intensity_mapping,
    plane_images,
    slice_images,
)
from pretrain.zero_shot import VOLUMES, Restore, Voxels, by_adapted, by_model, truth
from suite.store import as_type

COLUMNS = ("volume", "floor", "linear", "mean", "sample", "sample over linear")


def features(cut: SliceSet, extractor: Extractor, most: int) -> NDArray[np.float32]:
    """Extract features of at most so many images, evenly spread."""
    return extractor(cut.images[evenly_spaced(len(cut.images), most)])


def row(
    name: str, voxels: Voxels, factor: int, restore: Restore, extractor: Extractor, most: int
) -> tuple[Any, ...]:
    """Measure SliceFID of the truth, of linear interpolation and of both modes on one volume."""
    stack = thin(voxels, factor)
    grid = even_grid(len(stack), factor)
    whole = voxels[: grid.depth]
    mapping = intensity_mapping([stack[:, None]])
    tile = auto_tile(whole.shape)
    real = features(plane_images(stack[:, None], "default", mapping, tile), extractor, 2 * most)

    def slicefid(volume: Voxels) -> float:
        cut = slice_images(volume[None], "default", mapping, grid.nearest, tile)
        return float(np.mean([fid(real, features(each, extractor, most)) for each in cut.values()]))

    linear = as_type(interpolate(stack.astype(np.float32), grid, "linear"), voxels.dtype)
    floor, interpolated = slicefid(whole), slicefid(linear)
    mean, sample = (slicefid(restore(stack, factor, mode)) for mode in ("mean", "sample"))
    return name, floor, interpolated, mean, sample, (sample - floor) / (interpolated - floor)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--data", type=Path, default=Path("../shared"), metavar="FOLDER")
    parser.add_argument("--volume", action="append", choices=VOLUMES, help="repeat; default: all")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--adapt-steps", type=int, metavar="N")
    parser.add_argument("--images", type=int, default=240, help="of each direction")
    parser.add_argument("--light", action="store_true", help="texture statistics, no Inception")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.csv")
    options = parser.parse_args(arguments)
    made = []
    try:
        extractor = texture() if options.light else inception()
        model = isoslice.Model.pretrained()
        restore = by_model(model, options.seed, "cpu")
        if options.adapt_steps:
            restore = by_adapted(model, None, options.adapt_steps, options.seed, "cpu")
        for name in options.volume or VOLUMES:
            voxels = truth(name, options.data)
            made.append(row(name, voxels, options.factor, restore, extractor, options.images))
            print(name, *(f"{value:.2f}" for value in made[-1][1:]), sep=", ", flush=True)
    except isoslice.IsosliceError as error:
        print(error, file=sys.stderr)
        return 1
    if options.output:
        with options.output.open("w", newline="", encoding="utf-8") as file:
            csv.writer(file, lineterminator="\n").writerows([COLUMNS, *made])
    return 0


if __name__ == "__main__":
    sys.exit(main())
