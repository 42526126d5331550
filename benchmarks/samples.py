"""Small valid files of every format, by reader, for the fuzz to damage."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.io import read_volume, write_volume
from isoslice.volume import DTYPES, Volume
from mutations import Sample

_RNG = np.random.default_rng(0)
STACK = np.sort(_RNG.integers(0, 2**16, (4, 12, 16), dtype=np.uint16), axis=2)
_SPACING = {"Z": 2.0, "Y": 0.5, "X": 0.5}


@dataclass(frozen=True)
class Reader:
    """One reader of the fuzz.

    Attributes
    ----------
    name
        Of the row in the results.
    suffix
        Of the file or folder it reads.
    write
        Yields valid samples; gets a folder to write in.
    read
        Reads one; returns what `check` looks at.
    """

    name: str
    suffix: str
    write: Callable[[Path], Iterator[Path]]
    read: Callable[[Path], Any]

    def samples(self) -> list[Sample]:
        """Make the valid samples."""
        with tempfile.TemporaryDirectory() as folder:
            return [load(path) for path in self.write(Path(folder))]


def load(path: Path) -> Sample:
    """Return a file (under the name ``""`` plus its suffix) or a folder as bytes by path."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    files = sorted(p for p in path.rglob("*") if p.is_file())
    return {str(p.relative_to(path)): p.read_bytes() for p in files}


def store(sample: Sample, folder: Path, suffix: str) -> Path:
    """Write a sample as one file or folder with this suffix, in the place of an earlier one."""
    if suffix == ".companion.ome":  # several files beside each other; the first one is opened
        several = folder / "several"
        shutil.rmtree(several, ignore_errors=True)
        several.mkdir()
        for name, content in sample.items():
            (several / name).write_bytes(content)
        return several / next(iter(sample), "gone.ome.tif")
    path = folder / f"input{suffix}"
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    if suffix in (".zarr", ".model"):
        path.mkdir()
        for name, content in sample.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return path
    beside = path.with_name(path.name + ".json")
    beside.unlink(missing_ok=True)
    for name, content in sample.items():
        (beside if name.endswith(".npy.json") else path).write_bytes(content)
    return path


def _volume(path: Path) -> None:
    """Read a volume, axes named where the file does not, and check that it is one."""
    from isoslice.errors import DataError, IsosliceWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", IsosliceWarning)  # one of several images
        try:
            found = read_volume(path)
        except DataError as error:
            if "--axes" not in str(error):
                raise
            found = read_volume(path, "ZYX")
    if not (isinstance(found.data, np.ndarray) and found.data.dtype.name in DTYPES):
        raise TypeError(f"got {type(found.data)} of {found.data.dtype}")
    if found.data.size == 0 or len(found.axes) != found.data.ndim:
        raise TypeError(f"got shape {found.data.shape} and axes {found.axes}")
    found.data.max()  # every page is there


def _model(path: Path) -> None:
    from isoslice.model import Model

    Model.load(path)


def _checkpoint(path: Path) -> None:
    from isoslice.checkpoint import import_msdsr

    import_msdsr(path)


def _tiff(folder: Path) -> Iterator[Path]:
    import tifffile

    for name, data, options in (
        ("strips", STACK, {}),
        ("tiles", STACK.astype(np.float32), {"tile": (16, 16)}),
        ("big", STACK[0].astype(np.uint8), {"bigtiff": True, "byteorder": ">"}),
        ("colour", np.stack([STACK[0].astype(np.uint8)] * 3, -1), {"photometric": "rgb"}),
    ):
        tifffile.imwrite(folder / f"{name}.tif", data, **{"metadata": None, **options})
        yield folder / f"{name}.tif"
    tifffile.imwrite(folder / "shaped.tif", STACK)
    yield folder / "shaped.tif"


def _imagej(folder: Path) -> Iterator[Path]:
    write_volume(folder / "a.tif", Volume(STACK, "ZYX", _SPACING, "micrometer"))
    yield folder / "a.tif"
    two = np.stack([STACK, STACK], 1).astype(np.float32)
    write_volume(folder / "b.tif", Volume(two, "ZCYX", _SPACING, "nanometer"))
    yield folder / "b.tif"


def _ome(folder: Path) -> Iterator[Path]:
    import tifffile

    write_volume(folder / "a.ome.tif", Volume(STACK, "ZYX", _SPACING, "micrometer"))
    yield folder / "a.ome.tif"
    two = np.stack([STACK, STACK]).astype(np.uint8)
    write_volume(folder / "b.ome.tif", Volume(two, "CZYX", _SPACING, "micrometer", ("a", "b")))
    yield folder / "b.ome.tif"
    tifffile.imwrite(folder / "c.ome.tif", STACK, ome=True, compression="deflate", tile=(16, 16))
    yield folder / "c.ome.tif"


def _packed(folder: Path) -> Iterator[Path]:
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


def _lsm(folder: Path) -> Iterator[Path]:
    from tiff_inputs import write_lsm

    data = np.stack([STACK, STACK, STACK], 1)
    yield write_lsm(folder / "a.lsm", data[np.newaxis])
    yield write_lsm(folder / "b.lsm", np.stack([data, data])[:, :, :1].astype(np.uint8), 2.0)
    yield write_lsm(folder / "c.lsm", np.stack([data, data])[:, :2], 0.0, 2)


def _several(folder: Path) -> Iterator[Path]:
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


def _zarr4(folder: Path) -> Iterator[Path]:
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


def _zarr5(folder: Path) -> Iterator[Path]:
    import zarr
    from zarr.codecs import BloscCodec, GzipCodec, ZstdCodec

    write_volume(folder / "own.zarr", Volume(STACK, "ZYX", _SPACING, "micrometer"))
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


def _multiscale(version: str) -> dict[str, Any]:
    axes = [{"name": a, "type": "space", "unit": "micrometer"} for a in "zyx"]
    scale = [{"type": "scale", "scale": [2.0, 0.5, 0.5]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    return {"version": version, "axes": axes, "datasets": datasets}


def _with(suffix: str) -> Callable[[Path], Iterator[Path]]:
    def write(folder: Path) -> Iterator[Path]:
        for number, data in enumerate((STACK, STACK.astype(np.float32))):
            path = folder / f"{number}{suffix}"
            write_volume(path, Volume(data, "ZYX", _SPACING, "micrometer"))
            yield path

    return write


def _npy(folder: Path) -> Iterator[Path]:
    np.save(folder / "bare.npy", STACK)
    yield folder / "bare.npy"
    np.save(folder / "fortran.npy", np.asfortranarray(STACK.astype(">f8")))
    yield folder / "fortran.npy"


def _picture(suffix: str) -> Callable[[Path], Iterator[Path]]:
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


def _model_folder(folder: Path) -> Iterator[Path]:
    from isoslice.config import ModelConfig, MsdsrConfig, NetworkSettings, UNetSettings
    from isoslice.model import Model
    from isoslice.recipes import build_network

    shape = NetworkSettings(widths=(8, 8), blocks_down=(1, 0), blocks_up=(0, 0))
    own = ModelConfig(network=shape, sigma_data=0.1, pixel_size=(0.5, 0.5))
    unet = UNetSettings(width=8, multipliers=(1,), blocks=1, attention=())
    for number, config in enumerate((own, MsdsrConfig(network=unet))):
        path = folder / f"{number}.model"
        Model(config, build_network(config).eval(), {"sources": ["a.tif"]}).save(path)
        (path / "README.md").unlink()
        yield path


def _ckpt(folder: Path) -> Iterator[Path]:
    import torch

    from isoslice.checkpoint import AVERAGED, RAW
    from isoslice.config import MsdsrConfig, UNetSettings
    from isoslice.recipes import build_network

    network = build_network(MsdsrConfig(network=UNetSettings(width=8)))
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        weights[RAW + name] = weights[AVERAGED + name.replace(".", "")] = tensor
    torch.save({"epoch": 1, "state_dict": weights}, folder / "a.ckpt")
    yield folder / "a.ckpt"


READERS = (
    Reader("TIFF, plain", ".tif", _tiff, _volume),
    Reader("TIFF, ImageJ", ".tif", _imagej, _volume),
    Reader("TIFF, OME", ".ome.tif", _ome, _volume),
    Reader("TIFF, compressed", ".tif", _packed, _volume),
    Reader("TIFF, several files", ".companion.ome", _several, _volume),
    Reader("LSM", ".lsm", _lsm, _volume),
    Reader("OME-Zarr 0.4", ".zarr", _zarr4, _volume),
    Reader("OME-Zarr 0.5", ".zarr", _zarr5, _volume),
    Reader("npy", ".npy", _npy, _volume),
    Reader("NIfTI", ".nii", _with(".nii"), _volume),
    Reader("NIfTI, gzip", ".nii.gz", _with(".nii.gz"), _volume),
    Reader("PNG", ".png", _picture(".png"), _volume),
    Reader("JPEG", ".jpg", _picture(".jpg"), _volume),
    Reader("BMP", ".bmp", _picture(".bmp"), _volume),
    Reader("model folder", ".model", _model_folder, _model),
    Reader("MSDSR checkpoint", ".ckpt", _ckpt, _checkpoint),
)
