"""Damaged planes: false alarms on stacks as they are, and how many planted faults are found.

    python benchmarks/damaged.py FOLDER FILE ... -o damaged.csv

Every stack below the folders is taken as it is and thinned 2, 4 and 8 times along Z: what is found
in these is listed, one by one, to be looked at. Then faults of known kinds and strengths are
planted, one at a time, in three random planes of each (the middle of larger stacks; none in planes
of under 32 pixels a side, which are not judged), at 1x, 2x and 4x.

The thresholds of `isoslice.data.damage` were chosen on the stacks named in `CHOSEN_ON`; the table
has the others beside them.
"""

from __future__ import annotations

import argparse
import csv
import math
import warnings
import zlib
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

import isoslice
from isoslice.data.missing import Missing
from isoslice.data.normalization import measure_stack
from isoslice.data.survey import Damage
from isoslice.errors import IsosliceError

CHOSEN_ON = (
    "brain_t1.nii.gz", "fib25_a.tif", "fib25_b.tif", "lucchi_train.tif", "mouse_ct_0.nii.gz",
    "mouse_ct_1.nii.gz", "mouse_ct_2.nii.gz", "mouse_ct_3.nii.gz", "nuclei_anisotropic.tif",
)  # fmt: skip
COLUMNS = ("stack", "set", "thinned", "fault", "plane", "outcome", "reason", "others_left_out")
#: Faults are planted in so many planes of at most so many voxels a side.
TIMES, MOST_PLANES, MOST_PIXELS = 3, 32, 192
THINNED, PLANTED_IN = (1, 2, 4, 8), (1, 2, 4)

Planes = NDArray[Any]
#: Spoils plane z of a stack: (stack, z, intensities of 0 and 1, ceiling, random numbers) -> plane.
Fault = Callable[[Planes, int, tuple[float, float], float, np.random.Generator], Planes]


def frozen(stack: Planes, z: int, span: Any, top: float, rng: Any, *, noise: float) -> Planes:
    """Repeat the plane before, with fresh noise."""
    return _noise(stack[z - 1].astype(float), span, rng, noise)


def lit(
    stack: Planes, z: int, span: Any, top: float, rng: Any, *, gain: float, more: float = 0
) -> Planes:
    """Change brightness, up to the detector's ceiling."""
    return np.minimum(span[0] + gain * (stack[z] - span[0]) + more * (span[1] - span[0]), top)


def cut(
    stack: Planes, z: int, span: Any, top: float, rng: Any, *, share: float, white: bool = False
) -> Planes:
    """Blacken, or saturate, the last rows."""
    plane = stack[z].astype(float)
    plane[round(len(plane) * (1 - share)) :] = top if white else stack.min()
    return plane


def blurred(stack: Planes, z: int, span: Any, top: float, rng: Any, *, sigma: float) -> Planes:
    """Blur in the plane."""
    return gaussian_filter(stack[z].astype(float), sigma)


def shifted(stack: Planes, z: int, span: Any, top: float, rng: Any, *, pixels: int) -> Planes:
    """Shift along X."""
    return np.roll(stack[z], pixels, axis=1).astype(float)


def noisy(stack: Planes, z: int, span: Any, top: float, rng: Any, *, noise: float) -> Planes:
    """Add noise."""
    return _noise(stack[z].astype(float), span, rng, noise)


def other(stack: Planes, z: int, span: Any, top: float, rng: Any, *, kind: str) -> Planes:
    """Put something else there: a plane far away, the same one turned over, noise, stripes."""
    plane = stack[z].astype(float)
    if kind == "plane far away":
        return stack[(z + len(stack) // 2) % len(stack)].astype(float)
    if kind == "turned over":
        return plane[:, ::-1]
    if kind == "striped":
        plane[::2] = stack.min()
        return plane
    return np.abs(_noise(np.full(plane.shape, span[0]), span, rng, 0.1))


def _noise(
    plane: Planes, span: tuple[float, float], rng: np.random.Generator, share: float
) -> Planes:
    return plane + rng.normal(0, share * (span[1] - span[0]), plane.shape)


FAULTS: dict[str, Fault] = {
    "frozen": partial(frozen, noise=0.0),
    "frozen, noise 1%": partial(frozen, noise=0.01),
    "frozen, noise 3%": partial(frozen, noise=0.03),
    **{
        f"{gain:g} times as bright": partial(lit, gain=gain)
        for gain in (0.2, 0.5, 0.8, 1.2, 1.5, 2, 4)
    },
    "brighter by 25%": partial(lit, gain=1, more=0.25),
    "saturated (8 times as bright)": partial(lit, gain=8),
    **{f"{share:.0%} black": partial(cut, share=share) for share in (0.1, 0.25, 0.5, 0.9)},
    "25% white": partial(cut, share=0.25, white=True),
    **{f"blurred, {sigma} pixels": partial(blurred, sigma=sigma) for sigma in (1, 2, 4, 8)},
    **{f"shifted, {pixels} pixels": partial(shifted, pixels=pixels) for pixels in (2, 5, 20)},
    **{f"noise {noise:.0%}": partial(noisy, noise=noise) for noise in (0.05, 0.2)},
    **{
        kind: partial(other, kind=kind)
        for kind in ("plane far away", "turned over", "striped", "noise alone")
    },
}


def stacks(paths: list[Path]) -> Iterator[tuple[str, Planes]]:
    """Yield the name and voxels (T, C, n, Y, X) of all stacks of at least three planes."""
    seen = set()
    for top in paths:
        files = sorted(file for file in top.rglob("*") if file.is_file()) if top.is_dir() else [top]
        for file in files:
            volume = _read(file)
            if volume is None or volume.size("Z") < 3:
                continue
            digest = zlib.crc32(np.ascontiguousarray(volume.data).tobytes())
            if digest not in seen:  # each file of a series gives the whole of it
                seen.add(digest)
                yield file.name, volume.tczyx()


def _read(file: Path) -> isoslice.Volume | None:
    for axes in (None, "ZYX"):
        try:
            return isoslice.read_volume(file, axes)
        except IsosliceError as error:
            told = error
    print(f"left out: {str(told)[:100]}")
    return None


def damage_of(stack: Planes, name: str) -> Damage:
    """Find damaged planes of a stack (T, C, n, Y, X)."""
    try:
        return measure_stack(stack, name, None, Missing())[1].damage
    except IsosliceError:  # constant
        return Damage()


def false_alarms(name: str, stack: Planes) -> Iterator[dict[str, Any]]:
    """Look for damage in a stack as it is, and thinned; a row each, and one for each alarm."""
    for thinned in THINNED:
        planes = stack[:, :, ::thinned]
        if planes.shape[2] < 3:
            continue
        found = damage_of(planes, name)
        row = {"stack": name, "thinned": thinned, "fault": "none"}
        for outcome, told in (("left out", found.certain), ("warned of", found.doubtful)):
            for index, reason in told.items():
                yield {
                    **row,
                    "plane": "/".join(map(str, index)),
                    "outcome": outcome,
                    "reason": reason,
                }
        yield {
            **row,
            "fault": "none, stacks",
            "outcome": "clean" if not found.certain else "not clean",
        }


def planted(name: str, stack: Planes) -> Iterator[dict[str, Any]]:
    """Plant faults in the first channel of a stack, and look for them."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    y, x = (slice(max(0, (n - MOST_PIXELS) // 2), (n + MOST_PIXELS) // 2) for n in stack.shape[3:])
    for thinned in PLANTED_IN:
        planes = stack[0, 0, ::thinned, y, x]
        middle = max(0, (len(planes) - MOST_PLANES) // 2)
        planes = planes[middle : middle + MOST_PLANES]
        if len(planes) < 6 or min(planes.shape[1:]) < 32 or np.ptp(planes) == 0:
            continue
        low, high = np.percentile(planes, (1, 99.5))
        for z in rng.permutation(np.arange(1, len(planes) - 1))[:TIMES].tolist():
            for fault, spoil in FAULTS.items():
                spoilt = planes.copy()
                spoilt[z] = _as(spoil(planes, z, (low, high), _ceiling(planes), rng), planes.dtype)
                found = damage_of(spoilt[None, None], name)
                here = (0, 0, z)
                outcome = "left out" if here in found.certain else "missed"
                outcome = "warned of" if here in found.doubtful else outcome
                yield {
                    **{"stack": name, "thinned": thinned, "fault": fault, "plane": z},
                    "outcome": outcome,
                    "reason": found.certain.get(here, found.doubtful.get(here, "")),
                    "others_left_out": len(set(found.certain) - {here}),
                }


def _ceiling(planes: Planes) -> float:
    most = float(planes.max())
    if planes.dtype.kind not in "iu" or most < 1:
        return most
    return max(
        2.0 ** math.ceil(math.log2(most + 1)) - 1, 255.0 if planes.dtype == np.uint8 else 0.0
    )


def _as(plane: Planes, dtype: np.dtype[Any]) -> Planes:
    if dtype.kind not in "iu":
        return plane.astype(dtype)
    kind = np.iinfo(dtype)
    return np.clip(np.rint(plane), kind.min, kind.max).astype(dtype)


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Return lines of a table: of each fault, the share that is left out, warned of, and missed."""
    lines = ["| fault | left out / warned of / missed, chosen on | tested on | others left out |"]
    lines.append("|---|---|---|---|")
    for fault in FAULTS:
        cells, others = [], 0
        for which in ("chosen on", "tested on"):
            own = [row for row in rows if row["fault"] == fault and row["set"] == which]
            others += sum(row["others_left_out"] for row in own)
            each = [
                sum(row["outcome"] == o for row in own) for o in ("left out", "warned of", "missed")
            ]
            cells.append(
                " / ".join(f"{n / max(1, len(own)):.0%}" for n in each) + f" of {len(own)}"
            )
        lines.append(f"| {fault} | {cells[0]} | {cells[1]} | {others} |")
    return lines


def main() -> None:
    """Measure, print the alarms and the table, and write all rows."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="Folders, stacks.")
    parser.add_argument("-o", "--output", type=Path, default=Path("damaged.csv"))
    parser.add_argument("--no-faults", action="store_true", help="Look for false alarms alone.")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    rows: list[dict[str, Any]] = []
    with options.output.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        for name, stack in stacks(options.paths):
            which = "chosen on" if name in CHOSEN_ON else "tested on"
            found = list(false_alarms(name, stack))
            found += [] if options.no_faults else list(planted(name, stack))
            new = [{"set": which, "others_left_out": 0, **row} for row in found]
            writer.writerows(new)
            file.flush()
            rows += new
    clean = [row for row in rows if row["fault"] == "none, stacks"]
    alarms = [row for row in rows if row["fault"] == "none"]
    print(f"{len(clean)} stacks as they are and thinned, {len(alarms)} planes found in them:")
    for row in alarms:
        where = f"{row['stack']} {row['thinned']}x, plane {row['plane']}"
        print(f"  {where}: {row['outcome']}, {row['reason']}")
    if not options.no_faults:
        print("\n".join(table(rows)))


if __name__ == "__main__":
    main()
