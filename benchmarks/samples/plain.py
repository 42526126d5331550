"""Samples of bare arrays: npy, MRC, pictures and folders of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.volume import Volume
from isoslice.io import write_volume
from samples.reader import SPACING, STACK


def npy(folder: Path) -> Iterator[Path]:
    np.save(folder / "bare.npy", STACK)
    yield folder / "bare.npy"
    np.save(folder / "fortran.npy", np.asfortranarray(STACK.astype(">f8")))
    yield folder / "fortran.npy"


def picture(suffix: str) -> Callable[[Path], Iterator[Path]]:
    def write(folder: Path) -> Iterator[Path]:
        import imageio.v3 as iio

        grey = (STACK[0] >> 8).astype(np.uint8)
        pictures = [grey, np.stack([grey, grey.T[:12, :12].repeat(2, 1)[:, :16], grey], -1)]
        if suffix == ".png":
            pictures += [STACK[0], np.stack([grey] * 4, -1)]
        for number, picture in enumerate(pictures):
            iio.imwrite(folder / f"{number}{suffix}", picture)
            yield folder / f"{number}{suffix}"

    return write


def planes(folder: Path) -> Iterator[Path]:
    import imageio.v3 as iio
    import tifffile

    options: dict[str, Any] = {"imagej": True, "resolution": (2.0, 2.0)}
    for kind in ("a.planes", "b.planes", "c.planes"):
        (folder / kind).mkdir()
        for number, plane in enumerate(STACK):
            if kind == "a.planes":
                tifffile.imwrite(folder / kind / f"z{number}.tif", plane, **options)
            elif kind == "b.planes":
                iio.imwrite(folder / kind / f"z{number}.png", plane)
            else:
                for channel in range(2):
                    name = folder / kind / f"z{number}_c{channel}.tif"
                    tifffile.imwrite(name, plane, compression="deflate")
        yield folder / kind


def mrc(suffix: str) -> Callable[[Path], Iterator[Path]]:
    def write(folder: Path) -> Iterator[Path]:
        import gzip

        for number, kind in enumerate((np.uint16, np.int8, np.float32)):
            path = folder / f"{number}.mrc"
            write_volume(path, Volume(STACK.astype(kind), "ZYX", SPACING, "micrometer"))
            if suffix == ".mrc.gz":
                (folder / f"{number}.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
            yield folder / f"{number}{suffix}"

    return write
