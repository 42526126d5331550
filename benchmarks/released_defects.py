"""What the defects of the released MSDSR evaluation do to its numbers, measured on a true volume.

    python benchmarks/released_defects.py TRUE_VOLUME [--features PATH | --light]

Needs no trained model. Prints a Markdown table, quoted in docs/benchmarks/reproduction.md.
"""

from __future__ import annotations

import argparse

import numpy as np

from isoslice.data.baselines import interpolate_planes
from isoslice.data.grid import crop_to_grid, even_grid, thin
from isoslice.data.normalization import percentile_normalization
from isoslice.data.psnr import psnr
from isoslice.evaluation.metrics import data_range_of
from isoslice.evaluation.slicefid.distances import fid
from isoslice.evaluation.slicefid.features import Extractor, inception, texture
from isoslice.evaluation.slicefid.slices import plane_images
from isoslice.io import read_volume


def misalignment(truth: np.ndarray) -> None:
    peak = data_range_of(truth)
    print("| PSNR over missing planes (dB) | aligned linear | released trilinear | lost |")
    print("|---|---|---|---|")
    for factor in (2, 4, 8):
        true = crop_to_grid(truth, factor, axis=1)
        grid = even_grid((true.shape[1] - 1) // factor + 1, factor)
        scores = [
            psnr(
                interpolate_planes(thin(true, factor, axis=1), grid, name)[:, ~grid.mask],
                true[:, ~grid.mask],
                peak,
            )
            for name in ("linear", "trilinear-misaligned")
        ]
        print(f"| {factor}x | {scores[0]:.2f} | {scores[1]:.2f} | {scores[0] - scores[1]:.2f} |")


def planes_of(volume: np.ndarray, count: int) -> np.ndarray:
    chosen = np.linspace(0, volume.shape[1] - 1, count).round().astype(int)
    middle = [slice((n - 48) // 2, (n + 48) // 2) for n in volume.shape[2:]]
    return volume[:, chosen][:, :, middle[0], middle[1]].swapaxes(0, 1)


def blindness(truth: np.ndarray, extractor: Extractor, count: int) -> None:
    """Score images against themselves with less contrast."""
    mapping = percentile_normalization(truth)
    real = planes_of(truth, count)
    dark = real * 0.5 + 20
    print(f"\n| {extractor.name}, {count} images against themselves at half contrast | FID |")
    print("|---|---|")
    for protocol in ("msdsr", "default"):
        sets = [plane_images(x, protocol, mapping, 48).images for x in (real, dark)]
        print(f"| protocol {protocol} | {fid(*(extractor(images) for images in sets)):.2f} |")


def inversion(truth: np.ndarray, extractor: Extractor, count: int) -> None:
    """Score 8-bit images multiplied by 255 and wrapped around: 255 x mod 256 = -x mod 256."""
    mapping = percentile_normalization(truth)
    grid = even_grid((truth.shape[1] - 1) // 4 + 1, 4)
    true = crop_to_grid(truth, 4, axis=1)
    linear = interpolate_planes(thin(true, 4, axis=1), grid, "linear")
    views = [np.moveaxis(v, 2, 1) for v in (true, linear)]  # XZ slices
    images = [plane_images(planes_of(v, count), "default", mapping, 48).images for v in views]
    wrapped = [(image * np.uint8(255)).astype(np.uint8) for image in images]
    print(f"\n| {extractor.name}, FID of linear XZ slices at 4x, {count} images | FID |")
    print("|---|---|")
    print(f"| right | {fid(*(extractor(x) for x in images)):.1f} |")
    print(f"| multiplied by 255 and wrapped around | {fid(*(extractor(x) for x in wrapped)):.1f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("volume")
    parser.add_argument("--features")
    parser.add_argument("--light", action="store_true")
    parser.add_argument("--images", type=int, default=96)
    options = parser.parse_args()
    extractor = texture() if options.light else inception(options.features)
    truth = read_volume(options.volume).tczyx()[0].astype(np.float32)
    misalignment(truth)
    blindness(truth, extractor, options.images)
    inversion(truth, extractor, options.images)


if __name__ == "__main__":
    main()
