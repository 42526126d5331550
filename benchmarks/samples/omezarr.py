"""Samples of OME-Zarr: versions 0.4 and 0.5, several images in one, archives."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from isoslice.data.volume import Volume
from isoslice.errors import IsosliceWarning
from isoslice.io import read_volume, write_volume
from isoslice.io.reading import read_raw
from samples.reader import SPACING, STACK, load


def zarr4(folder: Path) -> Iterator[Path]:
    import numcodecs
    import zarr

    packers = (numcodecs.Blosc(), numcodecs.Zlib(), numcodecs.Zstd(), numcodecs.LZ4(), None)
    for number, packer in enumerate((*packers, numcodecs.Blosc("zstd", shuffle=2))):
        group = zarr.create_group(folder / f"{number}.zarr", zarr_format=2)
        options: dict[str, Any] = {"compressors": packer}
        array = group.create_array(
            "0", shape=STACK.shape, chunks=(2, 12, 8), dtype=STACK.dtype, **options
        )
        array[...] = STACK
        group.attrs["multiscales"] = [_multiscale("0.4")]
        yield folder / f"{number}.zarr"


def zarr5(folder: Path) -> Iterator[Path]:
    import zarr
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    write_volume(folder / "own.zarr", Volume(STACK, "ZYX", SPACING, "micrometer"))
    yield folder / "own.zarr"
    for number, packer in enumerate((BloscCodec(), GzipCodec(), ZstdCodec(checksum=True))):
        group = zarr.create_group(folder / f"{number}.zarr", zarr_format=3)
        shards: Any = {"shards": (4, 12, 16)} if number != 1 else {}
        array = group.create_array(
            "0",
            shape=STACK.shape,
            chunks=(2, 12, 8),
            dtype=STACK.dtype,
            compressors=packer,
            **shards,
        )
        array[...] = STACK
        group.attrs["ome"] = {"version": "0.5", "multiscales": [_multiscale("0.5")]}
        yield folder / f"{number}.zarr"


def zipped(folder: Path) -> Iterator[Path]:
    import zipfile

    for name in "45":
        (folder / name).mkdir()
    originals = [*zarr4(folder / "4"), *zarr5(folder / "5")]
    for number, original in enumerate(originals[:4] + originals[-4:]):
        path, packing = folder / f"{number}.zarr.zip", number % 2 * zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", packing) as archive:
            for name, content in load(original).items():
                archive.writestr(f"image/{name}" if number % 3 == 0 else name, content)
        yield path


def several_images(folder: Path) -> Iterator[Path]:
    import zarr

    several = zarr.create_group(folder / "series.zarr", zarr_format=2)
    several.attrs["bioformats2raw.layout"] = 3
    several.create_group("OME").attrs["series"] = ["0", "1"]
    (folder / "series.zarr" / "OME" / "METADATA.ome.xml").write_text(
        '<OME><Image ID="Image:0" Name="a"/><Image ID="Image:1" Name="b"/></OME>', encoding="utf-8"
    )
    plate = zarr.create_group(folder / "plate.zarr", zarr_format=3)
    plate.attrs["ome"] = {"version": "0.5", "plate": {"wells": [{"path": "A/1"}]}}
    images = [{"path": "0"}, {"path": "1"}]
    plate.create_group("A/1").attrs["ome"] = {"version": "0.5", "well": {"images": images}}
    group = zarr.create_group(folder / "group.zarr", zarr_format=3)
    for name in "01":
        shown = {"label": name, "color": "00FF00", "window": {"start": 1, "end": 9}}
        said: dict[str, Any] = {"multiscales": [_placed()], "omero": {"channels": [shown]}}
        inside = several.create_group(name)
        inside.create_array("0", data=STACK[None, :2, :3, :4])
        inside.attrs.update(said)
        well = plate.create_group(f"A/1/{name}")
        well.create_array("0", data=STACK[None, :2, :3, :4])
        well.attrs["ome"] = {"version": "0.5", **said}
        group.create_array(name, data=STACK, dimension_names=["z", "y", "x"])
    yield from (folder / f"{name}.zarr" for name in ("series", "plate", "group"))


def check_each(path: Path) -> None:
    """Read all of several images."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsosliceWarning)
        for number in range(max(1, len(read_raw(path).series))):
            read_volume(path, series=number)


def _placed() -> dict[str, Any]:
    axes = [{"name": "t", "type": "time", "unit": "second"}, *_multiscale("0.4")["axes"]]
    transforms = [
        {"type": "scale", "scale": [30.0, 2.0, 0.5, 0.5]},
        {"type": "translation", "translation": [0.0, 400.0, 10.0, 20.0]},
    ]
    datasets = [{"path": "0", "coordinateTransformations": transforms}]
    outer = [{"type": "scale", "scale": [1.0, 2.0, 2.0, 2.0]}]
    return {
        "version": "0.4",
        "axes": axes,
        "datasets": datasets,
        "coordinateTransformations": outer,
    }


def _multiscale(version: str) -> dict[str, Any]:
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    return {"version": version, "axes": axes, "datasets": datasets}
