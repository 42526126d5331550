"""Planes that are blurred along Z: what telling isoslice their profile gives, at no new training.

    python benchmarks/profiles.py pair THICK.tif THIN.tif --first 2 --minutes 4 -o pair.csv
    python benchmarks/profiles.py blurred VOLUME.tif --from OTHER.tif --minutes 5 -o blurred.csv
    python benchmarks/profiles.py uneven VOLUME.tif --from OTHER.tif --minutes 5 -o uneven.csv

`pair`: one scan reconstructed twice, with thick slices (`--spacing` Z, Y, X) and thin ones, plane
`--first` of which is the first thick one's. A model learns from the thick stack's own planes, and
restores it; thin slices are the truth.

`blurred`: planes of a volume are seen through known profiles, at 4x, with noise added; a model that
learned from another volume restores them, told nothing, the truth, and two thirds of the width.

`uneven`: planes of a volume at 4x: evenly spaced, a fifth of them missing, each up to 40% of the
spacing off; and 4.83 voxels apart.

Of `pair`, the profile is found from the stack alone, too (``auto``).

PSNR over all planes, data range from the truth's 0.1st to its 99.9th percentile. Linear and cubic
interpolation are corrected by the same exact consistency for comparison.
"""

from __future__ import annotations

import argparse
import csv
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import isoslice
from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.interpolation import interpolate
from isoslice.data.measurement import Measurement
from isoslice.data.profile import FWHM, POINT, Profile
from isoslice.inference.consistency import DAMPING

COLUMNS = ("stack", "seen_through", "noise", "method", "told", "psnr")
Planes = NDArray[Any]


def psnr(found: Planes, truth: Planes) -> float:
    """PSNR of intensities within the truth's range."""
    low, high = np.percentile(truth, [0.1, 99.9])
    error = np.clip(found, low, high).astype(float) - np.clip(truth, low, high)
    return float(10 * np.log10((high - low) ** 2 / np.mean(error**2)))


def measured(volume: Planes, profile: Profile, factor: int) -> tuple[Planes, Planes]:
    """See every `factor`-th plane of a volume through a profile; return planes and truth."""
    count = (len(volume) - 1) // factor + 1
    truth = volume[: (count - 1) * factor + 1].astype(float)
    matrix = on_grid(count, factor, profile).matrix
    return np.einsum("iz,zyx->iyx", matrix, truth).astype(np.float32), truth


def on_grid(count: int, factor: int, profile: Profile) -> Measurement:
    """Return the measurement of evenly spaced planes."""
    grid = even_grid(count, factor)
    return Measurement(tuple(map(float, grid.known)), grid.depth, profile)


def interpolated(planes: Planes, factor: int, told: Profile) -> Iterator[tuple[str, Planes]]:
    """Interpolate planes, and correct what comes of it where a profile is told."""
    measurement = on_grid(len(planes), factor, told)
    for name in ("linear", "cubic"):
        volume = interpolate(planes, even_grid(len(planes), factor), name).astype(float)
        if told != POINT:
            missing = planes - np.einsum("iz,zyx->iyx", measurement.matrix, volume)
            volume += np.einsum("zi,iyx->zyx", measurement.correction(DAMPING[0]), missing)
        yield name, volume


def rows(
    model: isoslice.Model,
    planes: Planes,
    truth: Planes,
    size: tuple[float, float, float],
    factor: int,
    told: Profile,
) -> Iterator[tuple[str, str, float]]:
    """Score every method, told a profile (in output planes)."""
    step = size[0] / factor
    name = "point" if told == POINT else f"{told.kind}:{told.width * step:.3g}"
    for method, volume in interpolated(planes.astype(np.float32), factor, told):
        yield method, name, psnr(volume, truth)
    for mode in ("mean", "sample"):
        result = model.predict(
            planes, "ZYX", size, factor, mode=mode, slice_profile=name  # type: ignore[arg-type]
        )  # fmt: skip
        yield f"isoslice, {mode}", name, psnr(result.volume, truth)


def pair(options: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Restore thick slices, against thin ones."""
    thick, thin = (
        isoslice.read_volume(path, axes="ZYX").data for path in (options.thick, options.thin)
    )
    size, factor = tuple(options.spacing), options.factor
    model = isoslice.train(
        thick, axes="ZYX", voxel_size=size, minutes=options.minutes, spacing=options.rows
    )
    truth = thin[options.first :][: (len(thick) - 1) * factor + 1]
    thick = thick[: (len(truth) - 1) // factor + 1]
    truth = truth[: (len(thick) - 1) * factor + 1]
    for told in (POINT, *(Profile("slab", w) for w in (4, 5, 6, 7, 8)), Profile("gaussian", 4.7)):
        for row in rows(model, thick, truth, size, factor, told):
            yield (options.thick.name, "its own", 0.0, *row)
    found = model.predict(thick, "ZYX", size, factor, mode="mean", slice_profile="auto")
    width = found.provenance.get("slice_profile", {}).get("width_in_output_planes", 0.0)
    name = f"auto: gaussian:{width * size[0] / factor:.3g}"
    yield options.thick.name, "its own", 0.0, "isoslice, mean", name, psnr(found.volume, truth)


def blurred(options: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Restore planes of a volume seen through known profiles."""
    volume, learned = (
        isoslice.read_volume(p, axes="ZYX").data for p in (options.volume, options.learned)
    )
    model = isoslice.train(learned, axes="ZYX", voxel_size=(1.0, 1.0, 1.0), minutes=options.minutes)
    rng, span = np.random.default_rng(0), np.ptp(np.percentile(volume, [0.1, 99.9]))
    size = (4.0, 1.0, 1.0)
    for seen in (POINT, *(Profile("gaussian", s * FWHM) for s in (1, 2, 3)), Profile("slab", 4)):
        clean, truth = measured(volume, seen, 4)
        for noise in (0.0, 0.03):
            planes = (clean + noise * span * rng.normal(size=clean.shape)).astype(np.float32)
            for told in dict.fromkeys((POINT, seen, seen.scaled(2 / 3))):
                for row in rows(model, planes, truth, size, 4, told):
                    yield (options.volume.name, f"{seen.kind}:{seen.width:.3g}", noise, *row)


def places_of(depth: int) -> dict[str, NDArray[np.float64]]:
    """Place planes in so many voxels, by the name of the case."""
    rng, even = np.random.default_rng(1), np.arange(0.0, depth, 4)
    inner = (even > 0) & (even < even[-1])
    return {
        "even": even,
        "a fifth missing": even[~inner | (rng.random(len(even)) > 0.2)],
        "jitter": even + inner * rng.uniform(-1.6, 1.6, len(even)),
        "4.83": np.arange(0, depth - 1, 4.83),
    }


def uneven(options: argparse.Namespace) -> Iterator[tuple[Any, ...]]:
    """Restore planes at any positions; points, linear between voxels."""
    volume, learned = (
        isoslice.read_volume(p, axes="ZYX").data for p in (options.volume, options.learned)
    )
    model = isoslice.train(learned, axes="ZYX", voxel_size=(1.0, 1.0, 1.0), minutes=options.minutes)
    for name, places in places_of(len(volume)).items():
        grid = PlaneGrid(tuple(places.tolist()))
        truth = volume[: grid.depth].astype(float)
        matrix = Measurement(grid.known, grid.depth).matrix
        planes = np.einsum("iz,zyx->iyx", matrix, truth).astype(np.float32)
        size = (float(np.median(np.diff(places))), 1.0, 1.0)
        found = model.predict(
            planes, "ZYX", size, mode="mean", spacing=1.0, positions=places.tolist()
        )
        for method, made in (
            ("linear", interpolate(planes, grid)),
            ("isoslice, mean", found.volume),
        ):
            yield options.volume.name, name, 0.0, method, "point", psnr(made, truth)


def main() -> None:
    """Measure, write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    kinds = parser.add_subparsers(required=True)
    one = kinds.add_parser("pair")
    one.add_argument("thick", type=Path)
    one.add_argument("thin", type=Path)
    one.add_argument("--first", type=int, default=0)
    one.add_argument("--factor", type=int, default=5)
    one.add_argument("--spacing", type=float, nargs=3, default=(5.0, 0.45, 0.45))
    one.add_argument("--rows", type=float, help="spacing of the rows to learn from")
    one.set_defaults(measure=pair)
    two = kinds.add_parser("blurred")
    two.add_argument("volume", type=Path)
    two.add_argument("--from", dest="learned", type=Path, required=True)
    two.set_defaults(measure=blurred)
    three = kinds.add_parser("uneven")
    three.add_argument("volume", type=Path)
    three.add_argument("--from", dest="learned", type=Path, required=True)
    three.set_defaults(measure=uneven)
    for each in (one, two, three):
        each.add_argument("--minutes", type=float, default=4.0)
        each.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    with options.output.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for *names, score in options.measure(options):
            table.writerow([*names, f"{score:.2f}"])
            stream.flush()
            print(*names, f"{score:.2f}")


if __name__ == "__main__":
    main()
