"""How far does a voxel matter? Blocks with ever wider halos against the whole volume.

    python benchmarks/reach.py MODEL VOLUME --factor 4

For each reach, blocks in the middle of the volume are restored by themselves and compared with
the whole: the largest and the root mean square difference, of the intensity range. Along Z and laterally
apart, in this machine's precision and in float32, without rounding to integers.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from unittest import mock

import numpy as np

from isoslice.blocks import Box, Reach, whole
from isoslice.blockwise import Restoration, find_gains, restore_part
from isoslice.geometry import even_grid, thin
from isoslice.io import read_volume
from isoslice.model import Model
from isoslice.normalize import percentile_normalization
from isoslice.pieces import reader

#: More than any slice is long.
FAR = 10_000


def differences(
    work: Restoration, expected: np.ndarray, gains: object, blocks: list[Box]
) -> tuple[float, float]:
    """Restore blocks; return the largest and the root mean square difference."""
    errors = []
    for block in blocks:
        found = restore_part(work, block, gains)
        errors.append(found - expected[(slice(None), *block.slices())])
    flat = np.concatenate([error.ravel() for error in errors])
    return float(np.abs(flat).max()), float(np.sqrt(np.mean(flat**2)))


def main() -> None:
    """Measure, print a table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("volume", type=Path)
    parser.add_argument("--axes")
    parser.add_argument("--factor", type=int, default=4)
    parser.add_argument("--depth", type=int, default=200)
    parser.add_argument("--lateral", type=int, default=250)
    parser.add_argument("--reach", type=int, nargs="*", default=[0, 8, 16, 24, 32, 48, 64, 96])
    parser.add_argument("--mode", default="sample")
    options = parser.parse_args()
    model = Model.load(options.model)
    data = read_volume(options.volume, axes=options.axes).tczyx()[0]
    side = options.lateral
    planes = thin(data[:, : options.depth, :side, :side], options.factor, axis=1)
    planes = percentile_normalization(planes).apply(planes)
    grid = even_grid(planes.shape[1], options.factor)
    print("precision | along | reach | largest | rms")
    for precise in (False, True):
        patched = mock.patch("isoslice.device.cpu_has_bfloat16", return_value=False)
        with patched if precise else mock.MagicMock():

            def restoration(reach: Reach) -> Restoration:
                return Restoration(
                    model.network,
                    model.config,
                    reader(planes),
                    grid,
                    planes.shape[2:],
                    options.mode,
                    reach=reach,
                )

            work = restoration(Reach(FAR, FAR))
            gains = find_gains(work)
            expected = restore_part(work, whole(work.shape), gains)
            z, y, x = work.shape
            # Blocks whose faces lie in the middle, at no multiple of anything.
            blocks = [
                Box((z // 2 - 5, y // 2 - 5, x // 2 - 7), (z // 2 + 9, y // 2 + 11, x // 2 + 11)),
                Box((z // 3, y // 3, x // 3), (z // 3 + 20, y // 3 + 30, x // 3 + 30)),
            ]
            for along in ("Z", "lateral", "both"):
                for reach in options.reach:
                    halo = Reach(
                        FAR if along == "lateral" else reach, FAR if along == "Z" else reach
                    )
                    part = restoration(halo)
                    largest, rms = differences(part, expected, gains, blocks)
                    name = "float32" if precise else "as here"
                    print(f"{name} | {along} | {reach} | {largest:.1e} | {rms:.1e}", flush=True)


if __name__ == "__main__":
    main()
