"""Samples of TIFF, of its dialects and of images in several files."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from isoslice.data.volume import Volume
from isoslice.io import write_volume
from samples.reader import SPACING, STACK


def plain(folder: Path) -> Iterator[Path]:
    import tifffile

    four = {"photometric": "rgb", "planarconfig": "separate"}  # colours, each in its own plane
    for name, data, options in (
        ("strips", STACK, four),
        ("tiles", STACK.astype(np.float32), {"tile": (16, 16), **four}),
        ("big", STACK[0].astype(np.uint8), {"bigtiff": True, "byteorder": ">"}),
        ("colour", np.stack([STACK[0].astype(np.uint8)] * 3, -1), {"photometric": "rgb"}),
    ):
        tifffile.imwrite(folder / f"{name}.tif", data, **{"metadata": None, **options})
        yield folder / f"{name}.tif"
    tifffile.imwrite(folder / "shaped.tif", STACK, **four)
    yield folder / "shaped.tif"


def imagej(folder: Path) -> Iterator[Path]:
    write_volume(folder / "a.tif", Volume(STACK, "ZYX", SPACING, "micrometer"))
    yield folder / "a.tif"
    two = np.stack([STACK, STACK], 1).astype(np.float32)
    write_volume(folder / "b.tif", Volume(two, "ZCYX", SPACING, "nanometer"))
    yield folder / "b.tif"


def ome(folder: Path) -> Iterator[Path]:
    import tifffile

    write_volume(folder / "a.ome.tif", Volume(STACK, "ZYX", SPACING, "micrometer"))
    yield folder / "a.ome.tif"
    two = np.stack([STACK, STACK]).astype(np.uint8)
    write_volume(folder / "b.ome.tif", Volume(two, "CZYX", SPACING, "micrometer", ("a", "b")))
    yield folder / "b.ome.tif"
    tifffile.imwrite(folder / "c.ome.tif", STACK, ome=True, compression="deflate", tile=(16, 16))
    yield folder / "c.ome.tif"
    places = tuple(float(z * z) for z in range(len(STACK)))  # with a position for each plane
    uneven = Volume(STACK, "ZYX", SPACING, "micrometer", z_positions=places)
    write_volume(folder / "d.ome.tif", uneven)
    yield folder / "d.ome.tif"


def packed(folder: Path) -> Iterator[Path]:
    import tifffile

    for name, options in (
        ("deflate", {"compression": "deflate", "predictor": False}),
        ("tiles", {"compression": "deflate", "tile": (16, 16)}),
        ("lzma", {"compression": "lzma"}),
        ("rows", {"compression": "deflate", "rowsperstrip": 3, "byteorder": ">"}),
    ):
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, STACK, photometric="minisblack", metadata=None, **options)
        yield path
    if importlib.util.find_spec("imagecodecs") is None:
        return
    for name in ("lzw", "packbits", "zstd", "jpeg2000"):
        path = folder / f"{name}.tif"
        tifffile.imwrite(
            path, STACK, photometric="minisblack", metadata=None, compression=name, tile=(16, 16)
        )
        yield path
    colour = np.stack([(STACK[0] >> 8).astype(np.uint8)] * 3, -1)
    for name in ("jpeg", "webp"):
        path = folder / f"{name}.tif"
        tifffile.imwrite(path, colour, photometric="rgb", metadata=None, compression=name)
        yield path


def lsm(folder: Path) -> Iterator[Path]:
    from tiff_inputs import write_lsm

    data = np.stack([STACK, STACK, STACK], 1)
    yield write_lsm(folder / "a.lsm", data[np.newaxis])
    yield write_lsm(folder / "b.lsm", np.stack([data, data])[:, :, :1].astype(np.uint8), 2.0)
    yield write_lsm(folder / "c.lsm", np.stack([data, data])[:, :2], 0.0, 2)


def several_files(folder: Path) -> Iterator[Path]:
    from tiff_inputs import write_companion, write_micromanager, write_positions

    for name in ("companion", "master", "positions", "renamed"):
        (folder / name).mkdir()
    write_companion(folder / "companion")
    _, companion = write_companion(folder / "master")
    for path in folder.glob("master/*.tiff"):  # a file of planes comes first, and is opened
        path.write_bytes(path.read_bytes().replace(b"multi.companion", b"other.companion"))
    companion.rename(companion.with_name("other.companion.ome"))
    write_positions(folder / "positions")
    write_micromanager(folder / "renamed" / "a.ome.tif", named="b.ome.tif")
    for name in ("companion", "master", "positions", "renamed"):
        yield folder / name
