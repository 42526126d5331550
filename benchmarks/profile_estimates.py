"""The slice profile and the noise that isoslice finds from planes alone, against the truth.

    python benchmarks/profile_estimates.py --data FOLDER --volumes FOLDER -o profile_estimates.csv

Isotropic volumes are thinned after known blurs, noise added; `true` is the deviation of the
weights that a plane has on voxels, `found` and `error` what `data.profile_estimate` tells, all in
spacings of planes. `noise_left` is what it takes for noise, knowing the blur; `noise_level` what
one plane at a time shows. Noise is in shares of the range from the 0.1st to the 99.9th
percentile, and is added to the volume's own, which is blurred along Z with the specimen.

Last, one scan that was reconstructed twice: the profile that least squares finds between thick and
thin slices (a Gaussian, a slab, free weights), beside what thick slices tell alone, and thin ones.

Constants of the estimate were chosen on other volumes: `fib25_a`, the first half of
`lucchi_train`, `mouse_ct_0`, `mouse_ct_1`, `brain_t1` and `tooth_ct`; the variants that are
averaged with a look at the thick slices of the scan, too.
"""

from __future__ import annotations

import argparse
import csv
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar

import isoslice
from isoslice.data.measurement import Measurement
from isoslice.data.noise_level import noise_level
from isoslice.data.plane_spectra import cubes_of
from isoslice.data.profile import FWHM, POINT, Kind, Profile
from isoslice.data.profile_estimate import ProfileEstimate, estimate_profile, noise_seen
from profiles import measured, on_grid

COLUMNS = (
    "stack", "factor", "seen_through", "noise", "true", "found", "error", "outcome",
    "noise_level", "noise_left", "seconds",
)  # fmt: skip
FACTORS, NOISES, NEAR = (2, 4, 8), (0.0, 0.01, 0.02, 0.03), 0.15
Planes = NDArray[np.float32]


def volumes(data: Path, more: Path) -> Iterator[tuple[str, Planes]]:
    """Read the isotropic volumes, 0.1st to 99.9th percentile as 0 to 1."""
    paths = {
        "fib25_b": data / "fib25_b.tif",
        "lucchi, second half": data / "lucchi_train.tif",
        "mouse_ct_3": data / "mouse_ct_3.nii.gz",
        "brain_t1_b": more / "brain_t1_b.tif",
        "mouse_brain_2p": more / "mouse_brain_2p.tif",
    }
    for name, path in paths.items():
        planes = read(path)
        yield name, planes[:, planes.shape[1] // 2 :] if "second" in name else planes


def read(path: Path) -> Planes:
    """Read a volume of one channel, normalised."""
    axes = None if path.name.endswith(".nii.gz") else "ZYX"
    planes = np.asarray(isoslice.read_volume(path, axes=axes).data, np.float32)
    low, high = np.percentile(planes, [0.1, 99.9])
    return (planes - low) / (high - low)


def blurs(factor: int) -> list[Profile]:
    """List what planes are seen through."""
    gaussians = [Profile("gaussian", s * factor * FWHM) for s in (0.25, 0.5, 0.75)]
    return [POINT, *gaussians, Profile("slab", float(factor))]


def true_deviation(factor: int, profile: Profile) -> float:
    """Return the deviation of a plane's weights on voxels, which count as joined by lines."""
    weights = on_grid(41, factor, profile).matrix[20]
    places = np.arange(len(weights)) - 20 * factor
    return math.sqrt(float(weights @ places**2))


def outcome(found: ProfileEstimate) -> str:
    """Say whether blur was measured, none was seen, or the stack cannot tell."""
    if not found.told:
        return "cannot tell"
    return "measured" if found.sees_blur else "none seen"


def simulated(name: str, volume: Planes) -> Iterator[tuple[Any, ...]]:
    """Estimate the blur of a volume seen through known ones."""
    rng = np.random.default_rng(0)
    for factor in FACTORS:
        for profile in blurs(factor):
            clean, _ = measured(volume, profile, factor)
            true = true_deviation(factor, profile)
            seen = "point" if profile == POINT else f"{profile.kind}:{profile.width:.3g}"
            for noise in NOISES:
                planes = (clean + noise * rng.normal(size=clean.shape)).astype(np.float32)
                start = time.perf_counter()
                found = estimate_profile(planes[None], factor)
                seconds = time.perf_counter() - start
                cubes = [planes[region] for region in cubes_of(planes.shape, factor)]
                left = noise_seen(cubes, factor, true)
                alone = noise_level(planes[:: max(1, len(planes) // 8)])
                yield (
                    name, factor, seen, noise, f"{true / factor:.3f}",
                    f"{found.deviation / factor:.3f}", f"{found.error / factor:.3f}",
                    outcome(found), f"{alone:.4f}", f"{left or 0:.4f}", f"{seconds:.1f}",
                )  # fmt: skip


def pair(thick: Planes, thin: Planes, first: int, step: int, pixel: float) -> Iterator[str]:
    """Compare what thick slices tell alone with what thin ones of the same scan tell of them.

    Parameters
    ----------
    first, step
        Thin slice at the first thick one, and thin slices (of 1 mm) per thick one.
    pixel
        Size of a pixel, in thin slices.
    """
    places = tuple(float(first + step * i) for i in range(len(thick)))
    inner = slice(2, -2)

    def misfit(width: float, kind: Kind) -> float:
        matrix = Measurement(places, len(thin), Profile(kind, width)).matrix[inner]
        seen = np.tensordot(matrix, thin, axes=1) - thick[inner]
        return float(np.sqrt(np.mean(seen**2)))

    for kind in ("gaussian", "slab"):
        best = minimize_scalar(misfit, bounds=(1.0, 12.0), args=(kind,), method="bounded")
        deviation = math.hypot(Profile(kind, best.x).deviation, math.sqrt(1 / 6))
        yield (
            f"the pair, {kind}: width {best.x:.2f} mm, deviation {deviation:.2f} mm "
            f"(FWHM {deviation * FWHM:.2f} mm), misfit {best.fun:.4f}"
        )
    taps, reach = free_taps(thick, thin, places, 3 * step // 2)
    offset = np.arange(-reach, reach + 1)
    mean = float(taps @ offset)
    deviation = math.sqrt(max(float(taps @ (offset - mean) ** 2), 0.0))
    yield (
        f"the pair, free weights: deviation {deviation:.2f} mm (FWHM {deviation * FWHM:.2f} mm): "
        + " ".join(f"{tap:.3f}" for tap in taps)
    )
    thin_told = estimate_profile(thin[None], 1 / pixel)
    for name, estimate in (
        ("thick slices alone", estimate_profile(thick[None], step / pixel)),
        ("thin slices alone", thin_told),
    ):
        yield f"{name}: {in_units(estimate, pixel)}"


def free_taps(
    thick: Planes, thin: Planes, places: tuple[float, ...], reach: int
) -> tuple[NDArray[np.float64], int]:
    """Fit a thick slice's weights on thin ones, by least squares; they sum to 1."""
    rows, seen = [], []
    for plane, place in zip(thick, places, strict=True):
        low, high = int(place) - reach, int(place) + reach + 1
        if low >= 0 and high <= len(thin):
            rows.append(thin[low:high, ::4, ::4].reshape(high - low, -1).T)
            seen.append(plane[::4, ::4].ravel())
    taps = np.linalg.lstsq(
        np.concatenate(rows).astype(float), np.concatenate(seen).astype(float), rcond=None
    )[0]
    return np.asarray(taps / taps.sum(), np.float64), reach


def in_units(found: ProfileEstimate, pixel: float) -> str:
    """Say an estimate, in thin slices."""
    told = "told" if found.told else f"cannot tell: {found.why_not}"
    return (
        f"deviation {found.deviation * pixel:.2f} ± {found.error * pixel:.2f} mm, "
        f"FWHM {found.fwhm * pixel:.2f} mm ({told})"
    )


def summary(rows: list[tuple[Any, ...]]) -> Iterator[str]:
    """Count what was told, and how much of it is right within 15%."""
    for factor in FACTORS:
        for noise in NOISES:
            own = [r for r in rows if r[1] == factor and r[3] == noise]
            blurred = [r for r in own if r[2] != "point"]
            found = [r for r in blurred if r[7] == "measured"]
            right = [r for r in found if abs(float(r[5]) / float(r[4]) - 1) <= NEAR]
            missed = [r for r in blurred if r[7] == "none seen"]
            points = [r for r in own if r[2] == "point" and r[7] == "none seen"]
            covered = [r for r in own if abs(float(r[5]) - float(r[4])) <= 2 * float(r[6])]
            yield (
                f"{factor}x, noise {noise:.0%}: blur measured of {len(found)} of {len(blurred)}, "
                f"{len(right)} within {NEAR:.0%}, none seen of {len(missed)}; none seen of "
                f"{len(points)} points; truth within two errors: {len(covered)} of {len(own)}"
            )


def main() -> None:
    """Measure, write a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--volumes", type=Path, required=True)
    parser.add_argument("--only", help="the volumes whose names begin with it; 'head' for the pair")
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    found = []
    with options.output.open("w", newline="", encoding="utf-8") as stream:
        table = csv.writer(stream)
        table.writerow(COLUMNS)
        for name, volume in volumes(options.data, options.volumes):
            if options.only and not name.startswith(options.only):
                continue
            for row in simulated(name, volume):
                table.writerow(row)
                stream.flush()
                print(*row)
                found.append(row)
    if found:
        print(*summary(found), sep="\n")
    if not options.only or options.only == "head":
        thick, thin = (read(options.volumes / f"head_ct_{n}mm.tif") for n in (5, 1))
        print(*pair(thick, thin, 2, 5, 0.451171875), sep="\n")


if __name__ == "__main__":
    main()
