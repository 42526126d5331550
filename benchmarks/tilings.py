"""Do pieces show? Volumes made in slabs and in windows against volumes made as a whole.

    python benchmarks/tilings.py MODEL VOLUME --factor 4

Slabs: the real engine, with the residual on disk, at three thicknesses. Windows within slices, as
slices of more than 2.25 million pixels have them: here at three smaller limits, so that a smaller
volume is cut, too (it is mirrored until it is as wide as --sides says). Both against the whole
volume in memory, the same seed; in this machine's precision and in float32; and, for comparison,
the whole volume against itself with batches of another size. Differences are of the intensity
range (percentiles 0.1 to 99.9), before any rounding to integers.

The seam detector: the mean step across each border of a piece, over those at the eight places
around it that are no border, of the tiled volume over the whole one: 1 where nothing shows.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import thin
from isoslice.data.normalization import percentile_normalization
from isoslice.data.volume import Volume
from isoslice.inference import tiling as windows
from isoslice.inference.engine.begin import Request
from isoslice.inference.engine.run import How, restore_on_disk
from isoslice.inference.model import Model
from isoslice.inference.passes import BATCH_PIXELS
from isoslice.io import read_volume, write_volume
from isoslice.runtime.progress import Progress

Array = NDArray[np.float32]


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Compute in float32, or in what this machine is fast in."""
    precise = mock.patch("isoslice.runtime.device.cpu_has_bfloat16", return_value=False)
    with precise if name == "float32" else mock.MagicMock():
        yield


def borders(shape: tuple[int, int, int]) -> list[list[int]]:
    """List where windows meet, along Z, Y and X; both kinds of slices are cut."""
    xz, yz = (windows.grid(shape[0], side, 112, 16) for side in shape[:0:-1])
    return [[own.start for _, own in side[1:]] for side in (xz[0] + yz[0][1:], yz[1], xz[1])]


def step(volume: Array, axis: int, place: int) -> float:
    """Measure the mean absolute step between neighbours `place` - 1 and `place`."""
    a, b = (np.take(volume, at, axis=axis) for at in (place - 1, place))
    return float(np.abs(a - b).mean())


def seam(tiled: Array, whole: Array, axis: int, places: list[int]) -> float:
    """Run the seam detector; returns the ratio that is farthest from 1."""
    around = [offset for offset in range(-4, 5) if offset]
    ratios = [1.0]
    for place in places:
        if not 5 <= place < tiled.shape[axis] - 5:
            continue
        relative = [
            step(volume, axis, place)
            / np.mean([step(volume, axis, place + offset) for offset in around])
            for volume in (tiled, whole)
        ]
        ratios.append(relative[0] / relative[1])
    return max(ratios, key=lambda ratio: abs(ratio - 1))


def main() -> None:
    """Measure, print a table, write it."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--axes", default="ZYX")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--depth", type=int, default=249)
    parser.add_argument("--sides", type=int, nargs=2, default=[200, 1000])
    parser.add_argument("--slabs", type=int, nargs="*", default=[8, 24, 64])
    parser.add_argument("--windows", type=int, nargs="*", default=[120_000, 140_000, 155_000])
    parser.add_argument("--arithmetic", nargs="*", default=["bfloat16", "float32"])
    parser.add_argument("-o", "--output", type=Path)
    options = parser.parse_args()
    model = Model.load(options.model)
    data = read_volume(options.volume, axes=options.axes).tczyx()[0, 0]
    missing = [max(0, n - m) for n, m in zip(options.sides, data.shape[1:], strict=True)]
    wider = [(0, 0), *((0, n) for n in missing)]
    data = np.pad(data, wider, mode="symmetric")
    data = thin(data[: options.depth, : options.sides[0], : options.sides[1]], options.factor)
    data = percentile_normalization(data[None]).apply(data[None])[0]
    spacing = {"Z": float(options.factor), "Y": 1.0, "X": 1.0}
    stack = Volume(data, "ZYX", spacing)
    rows = []

    def whole() -> Array:
        return np.asarray(model.predict(stack).volume)

    def told(arithmetic: str, pieces: str, found: Array, expected: Array, seams: float) -> None:
        difference = np.abs(found - expected)
        rms = float(np.sqrt(np.mean(difference**2)))
        rows.append((arithmetic, pieces, f"{difference.max():.1e}", f"{rms:.1e}", f"{seams:.4f}"))
        print(" | ".join(rows[-1]), flush=True)

    print("arithmetic | pieces | largest difference | rms | seam", flush=True)
    for arithmetic in options.arithmetic:
        with precision(arithmetic), tempfile.TemporaryDirectory() as folder:
            with mock.patch.object(windows, "WHOLE", 10**9):
                expected = whole()
                with mock.patch.dict(BATCH_PIXELS, {"cpu": 1}):
                    told(arithmetic, "none, other batches", whole(), expected, 1.0)
            write_volume(Path(folder, "stack.ome.zarr"), stack)
            for thickness in options.slabs:
                request = Request(
                    Path(folder, "stack.ome.zarr"),
                    options.model,
                    Path(folder, f"{thickness}.ome.zarr"),
                    memory=10**10,
                    threads=2,
                    slab=thickness,
                )
                with mock.patch.object(windows, "WHOLE", 10**9):
                    restore_on_disk(request, How(), Progress())
                found = np.asarray(read_volume(request.output).data)
                slabs = list(range(thickness, data.shape[1], thickness))
                seams = [seam(found, expected, axis, slabs) for axis in (1, 2)]
                worst = max(seams, key=lambda ratio: abs(ratio - 1))
                told(arithmetic, f"slabs of {thickness}", found, expected, worst)
            for limit in options.windows:
                with mock.patch.object(windows, "WHOLE", limit):
                    found = whole()
                    cuts = borders(found.shape)
                seams = [seam(found, expected, axis, cuts[axis]) for axis in (0, 1, 2)]
                worst = max(seams, key=lambda ratio: abs(ratio - 1))
                told(arithmetic, f"windows of {limit} pixels", found, expected, worst)
    if options.output:
        with options.output.open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["arithmetic", "pieces", "largest", "rms", "seam"])
            writer.writerows(rows)


if __name__ == "__main__":
    main()
