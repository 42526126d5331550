"""Cut a volume into two halves along X: one to learn from, one to test on.

    python benchmarks/halves.py VOLUME FOLDER

writes FOLDER/NAME_a.tif and FOLDER/NAME_b.tif. Between the halves a few columns are left out, so
that the one says nothing of the other's first voxels.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from isoslice.data.volume import Volume
from isoslice.io import read_volume, write_volume

#: Columns left out in the middle.
GAP = 16


def halves(volume: Volume) -> tuple[Volume, Volume]:
    """Return the first and last columns of a volume without time, C and Z before Y and X."""
    voxels = volume.tczyx()[0]
    side = (voxels.shape[-1] - GAP) // 2
    first, last = (
        Volume(
            np.ascontiguousarray(part),
            "CZYX",
            volume.spacing,
            volume.unit,
            volume.channel_names,
            source=volume.source,
        )
        for part in (voxels[..., :side], voxels[..., -side:])
    )
    return first, last


def main() -> None:
    """Read, cut, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("volume", type=Path)
    parser.add_argument("folder", type=Path)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    name = given.volume.name.split(".")[0]
    for part, voxels in zip("ab", halves(read_volume(given.volume)), strict=True):
        path = given.folder / f"{name}_{part}.tif"
        write_volume(path, voxels, overwrite=True)
        print(path)


if __name__ == "__main__":
    main()
