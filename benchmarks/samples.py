"""Small valid files of every format, by reader, for the fuzz to damage."""

from __future__ import annotations

import importlib.util
import locale
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from isoslice.data.volume import DTYPES, Volume
from isoslice.errors import IsosliceWarning
from isoslice.io import read_volume, write_volume
from isoslice.io.reading import read_raw
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
    """Return a file and what belongs to it, or a folder, as bytes by path."""
    if path.is_file():
        beside = [p for p in (path.with_suffix(s) for s in (".img", ".raw")) if p.is_file()]
        return {p.name: p.read_bytes() for p in (path, *beside)}
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
    if suffix in (".zarr", ".model", ".planes", ".bdv", ".series"):
        path.mkdir()
        for name, content in sample.items():
            (path / name).parent.mkdir(parents=True, exist_ok=True)
            (path / name).write_bytes(content)
        return path
    beside = path.with_name(path.name + ".json")
    beside.unlink(missing_ok=True)
    path.with_suffix(".img").unlink(missing_ok=True)
    for name, content in sample.items():
        other = {".json": beside, ".img": path.with_suffix(".img"), ".raw": folder / name}
        other.get(Path(name).suffix, path).write_bytes(content)
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
    from isoslice.inference.model import Model

    Model.load(path)


def _checkpoint(path: Path) -> None:
    from isoslice.models.files.msdsr_checkpoint import import_msdsr

    import_msdsr(path)


def _tiff(folder: Path) -> Iterator[Path]:
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


def _several_files(folder: Path) -> Iterator[Path]:
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


def _zipped(folder: Path) -> Iterator[Path]:
    import zipfile

    for name in "45":
        (folder / name).mkdir()
    originals = [*_zarr4(folder / "4"), *_zarr5(folder / "5")]
    for number, original in enumerate(originals[:4] + originals[-4:]):
        path, packing = folder / f"{number}.zarr.zip", number % 2 * zipfile.ZIP_DEFLATED
        with zipfile.ZipFile(path, "w", packing) as archive:
            for name, content in load(original).items():
                archive.writestr(f"image/{name}" if number % 3 == 0 else name, content)
        yield path


def _several_images(folder: Path) -> Iterator[Path]:
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


def _each(path: Path) -> None:
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


def _planes(folder: Path) -> Iterator[Path]:
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


def _mrc(suffix: str) -> Callable[[Path], Iterator[Path]]:
    def write(folder: Path) -> Iterator[Path]:
        import gzip

        for number, kind in enumerate((np.uint16, np.int8, np.float32)):
            path = folder / f"{number}.mrc"
            write_volume(path, Volume(STACK.astype(kind), "ZYX", _SPACING, "micrometer"))
            if suffix == ".mrc.gz":
                (folder / f"{number}.mrc.gz").write_bytes(gzip.compress(path.read_bytes()))
            yield folder / f"{number}{suffix}"

    return write


def _hdf5(folder: Path) -> Iterator[Path]:
    import json

    import h5py

    tags = {"axes": [{"key": axis, "resolution": 0} for axis in "zyx"]}
    for number, options in enumerate(
        (
            {},
            {"chunks": (2, 6, 8), "compression": "gzip"},
            {"chunks": (2, 6, 8), "compression": "lzf", "shuffle": True, "fletcher32": True},
        )
    ):
        with h5py.File(folder / f"{number}.h5", "w", libver="latest" if number == 1 else None) as f:
            f.create_dataset("volumes/raw", data=STACK, **options)
            if number == 0:
                f["volumes/raw"].attrs["element_size_um"] = [2.0, 0.5, 0.5]
            else:
                f["volumes/raw"].attrs["axistags"] = json.dumps(tags)
        yield folder / f"{number}.h5"


def _imaris(folder: Path) -> Iterator[Path]:
    import h5py

    def characters(text: str) -> np.ndarray:
        return np.frombuffer(text.encode(), "S1")

    with h5py.File(folder / "a.ims", "w") as file:
        for channel in range(2):
            group = file.create_group(f"DataSet/ResolutionLevel 0/TimePoint 0/Channel {channel}")
            padded = np.pad(STACK, ((0, 0), (0, 4), (0, 0)))
            group.create_dataset("Data", data=padded, chunks=(2, 8, 8), compression="gzip")
            for axis, n in zip("ZYX", STACK.shape, strict=True):
                group.attrs[f"ImageSize{axis}"] = characters(str(n))
            info = file.create_group(f"DataSetInfo/Channel {channel}")
            info.attrs["Color"] = characters("1.000 0.502 0.000")
            info.attrs["ColorRange"] = characters("10.000 200.000")
        image = file.create_group("DataSetInfo/Image")
        for number, length in enumerate((8, 6, 8)):
            image.attrs[f"ExtMin{number}"] = characters("0")
            image.attrs[f"ExtMax{number}"] = characters(str(length))
    yield folder / "a.ims"


def _bdv(folder: Path) -> Iterator[Path]:
    import h5py

    path = folder / "a.bdv"
    path.mkdir()
    with h5py.File(path / "a.h5", "w") as file:
        for setup in range(2):
            file[f"s{setup:02}/resolutions"] = np.ones((1, 3))
            voxels = STACK.view(np.int16)
            file.create_dataset(f"t00000/s{setup:02}/0/cells", data=voxels, chunks=(2, 8, 8))
    setups = "".join(
        f"<ViewSetup><id>{setup}</id><voxelSize><unit>um</unit><size>0.5 0.5 2.0</size></voxelSize>"
        f"<attributes><channel>{setup}</channel><angle>0</angle></attributes></ViewSetup>"
        for setup in range(2)
    )
    (path / "a.xml").write_text(
        '<SpimData version="0.2"><SequenceDescription><ImageLoader format="bdv.hdf5">'
        f'<hdf5 type="relative">a.h5</hdf5></ImageLoader><ViewSetups>{setups}</ViewSetups>'
        "</SequenceDescription></SpimData>",
        encoding="utf-8",
    )
    yield path


def _project(path: Path) -> None:
    _volume(path / "a.xml")


def _model_folder(folder: Path) -> Iterator[Path]:
    from isoslice.inference.model import Model
    from isoslice.models.config import ModelConfig, MsdsrConfig, NetworkSettings, UNetSettings
    from isoslice.models.networks.factory import build_network

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

    from isoslice.models.config import MsdsrConfig, UNetSettings
    from isoslice.models.files.msdsr_checkpoint import AVERAGED, RAW
    from isoslice.models.networks.factory import build_network

    network = build_network(MsdsrConfig(network=UNetSettings(width=8)))
    weights: dict[str, torch.Tensor] = {}
    for name, tensor in network.state_dict().items():
        weights[RAW + name] = weights[AVERAGED + name.replace(".", "")] = tensor
    torch.save({"epoch": 1, "state_dict": weights}, folder / "a.ckpt")
    yield folder / "a.ckpt"


def _neuro(suffix: str) -> Callable[[Path], Iterator[Path]]:
    def write(folder: Path) -> Iterator[Path]:
        import nibabel

        kinds = {".mgh": ["MGHImage"], ".hdr": ["Nifti1Pair", "AnalyzeImage"]}
        kinds[".mgz"] = kinds[".mgh"]
        for kind in kinds[suffix]:
            path = folder / f"{kind}{suffix}"
            image = getattr(nibabel, kind)(STACK.T.astype(np.int16), np.diag([0.5, 0.5, 2, 1]))
            nibabel.save(image, path)
            yield path

    return write


def _oriented(suffix: str) -> Callable[[Path], Iterator[Path]]:
    """Write volumes with all that these formats can say."""

    def write(folder: Path) -> Iterator[Path]:
        from isoslice.data.metadata import Metadata, Orientation, as_matrix

        matrix = as_matrix([[-0.5, 0, 0, 9], [0, 0.3, -1.6, 8], [0, 0.4, 1.2, 7], [0, 0, 0, 1]])
        metadata = Metadata({}, Orientation(matrix, matrix, 1, 1), 2.5, "second")
        four = np.stack([STACK, STACK]).astype(np.int16)
        for number, (data, axes) in enumerate(((STACK, "ZYX"), (four, "TZYX"), (four, "CZYX"))):
            path = folder / f"{number}{suffix}"
            write_volume(path, Volume(data, axes, _SPACING, "millimeter", metadata=metadata))
            yield path

    return write


def _nrrd(folder: Path) -> Iterator[Path]:
    import bz2
    import gzip

    yield from _oriented(".nrrd")(folder)
    head = "NRRD0004\ntype: ushort\ndimension: 3\nsizes: 16 12 4\nspacings: 0.5 0.5 2\nendian: "
    raw = STACK.astype(">u2").tobytes()
    text = " ".join(str(n) for n in STACK.ravel()).encode()
    for name, content in (
        ("gzip", gzip.compress(raw, 1)),
        ("bzip2", bz2.compress(raw)),
        ("hex", raw.hex().encode()),
        ("text", text),
    ):
        path = folder / f"{name}.nrrd"
        path.write_bytes(f"{head}big\nencoding: {name}\n\n".encode() + content)
        yield path
    (folder / "apart.raw").write_bytes(raw)
    (folder / "apart.nrrd").write_text(f"{head}big\nencoding: raw\ndata file: apart.raw\n")
    yield folder / "apart.nrrd"


def _metaimage(folder: Path) -> Iterator[Path]:
    import zlib

    yield from _oriented(".mha")(folder)
    packed = zlib.compress(STACK.tobytes())
    fields = "ObjectType = Image\nNDims = 3\nElementSpacing = 0.5 0.5 2\nDimSize = 16 12 4\n"
    fields += f"CompressedData = True\nCompressedDataSize = {len(packed)}\n"
    fields += "TransformMatrix = 0 1 0 1 0 0 0 0 1\nElementType = MET_USHORT\n"
    path = folder / "packed.mha"
    path.write_bytes((fields + "ElementDataFile = LOCAL\n").encode() + packed)
    yield path


@contextmanager
def _same_locale() -> Iterator[None]:
    """Keep the process's locale, which SimpleITK's writer of DICOM sets to C."""
    before = locale.setlocale(locale.LC_ALL)
    try:
        yield
    finally:
        locale.setlocale(locale.LC_ALL, before)


def _dicom(folder: Path) -> Iterator[Path]:
    import SimpleITK

    for number, (picture, packer) in enumerate(
        (
            (STACK[:1].astype(np.int16), ""),
            (STACK[:1], "JPEG2000"),
            ((STACK[:1] >> 8).astype(np.uint8), "JPEG"),
        )
    ):
        path = folder / f"{number}.dcm"
        image = SimpleITK.GetImageFromArray(picture)
        image.SetSpacing((0.5, 0.5, 2.0))
        writer = SimpleITK.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.SetImageIO("GDCMImageIO")
        if packer:
            writer.UseCompressionOn()
            writer.SetCompressor(packer)
        with _same_locale():
            writer.Execute(image)
        yield path


def _dicom_series(folder: Path) -> Iterator[Path]:
    import SimpleITK

    series = folder / "a.series"
    series.mkdir()
    for number, plane in enumerate(STACK.astype(np.int16)):
        image = SimpleITK.GetImageFromArray(plane[None])
        image.SetSpacing((0.5, 0.5, 2.0))
        for key, value in (
            ("0020|000e", "1.2.3"),
            ("0008|103e", "a series"),
            ("0020|0013", str(number)),
            ("0020|0032", f"0\\0\\{2 * number}"),
            ("0020|0037", "1\\0\\0\\0\\1\\0"),
            ("0028|1052", "-1024"),
            ("0028|1053", "1"),
        ):
            image.SetMetaData(key, value)
        writer = SimpleITK.ImageFileWriter()
        writer.KeepOriginalImageUIDOn()
        writer.SetFileName(str(series / f"{number}.dcm"))
        with _same_locale():
            writer.Execute(image)
    yield series


READERS = (
    Reader("TIFF, plain", ".tif", _tiff, _volume),
    Reader("TIFF, ImageJ", ".tif", _imagej, _volume),
    Reader("TIFF, OME", ".ome.tif", _ome, _volume),
    Reader("TIFF, compressed", ".tif", _packed, _volume),
    Reader("TIFF, several files", ".companion.ome", _several_files, _volume),
    Reader("LSM", ".lsm", _lsm, _volume),
    Reader("OME-Zarr 0.4", ".zarr", _zarr4, _volume),
    Reader("OME-Zarr 0.5", ".zarr", _zarr5, _volume),
    Reader("OME-Zarr, several", ".zarr", _several_images, _each),
    Reader("OME-Zarr, zipped", ".zarr.zip", _zipped, _volume),
    Reader("npy", ".npy", _npy, _volume),
    Reader("NIfTI", ".nii", _with(".nii"), _volume),
    Reader("NIfTI, gzip", ".nii.gz", _with(".nii.gz"), _volume),
    Reader("NIfTI, oriented", ".nii", _oriented(".nii"), _volume),
    Reader("NIfTI, Analyze, pairs", ".hdr", _neuro(".hdr"), _volume),
    Reader("MGH", ".mgh", _neuro(".mgh"), _volume),
    Reader("MGH, gzip", ".mgz", _neuro(".mgz"), _volume),
    Reader("NRRD", ".nrrd", _nrrd, _volume),
    Reader("MetaImage", ".mha", _metaimage, _volume),
    Reader("DICOM", ".dcm", _dicom, _volume),
    Reader("DICOM series", ".series", _dicom_series, _volume),
    Reader("PNG", ".png", _picture(".png"), _volume),
    Reader("JPEG", ".jpg", _picture(".jpg"), _volume),
    Reader("BMP", ".bmp", _picture(".bmp"), _volume),
    Reader("folder of planes", ".planes", _planes, _volume),
    Reader("MRC", ".mrc", _mrc(".mrc"), _volume),
    Reader("MRC, gzip", ".mrc.gz", _mrc(".mrc.gz"), _volume),
    Reader("HDF5", ".h5", _hdf5, _volume),
    Reader("Imaris", ".ims", _imaris, _volume),
    Reader("BigDataViewer", ".bdv", _bdv, _project),
    Reader("model folder", ".model", _model_folder, _model),
    Reader("MSDSR checkpoint", ".ckpt", _ckpt, _checkpoint),
)
