"""Samples of what scanners write: NIfTI and its relatives, NRRD, MetaImage, DICOM."""

from __future__ import annotations

import locale
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from isoslice.data.volume import Volume
from isoslice.io import write_volume
from samples.reader import SPACING, STACK


def written_as(suffix: str) -> Callable[[Path], Iterator[Path]]:
    def write(folder: Path) -> Iterator[Path]:
        for number, data in enumerate((STACK, STACK.astype(np.float32))):
            path = folder / f"{number}{suffix}"
            write_volume(path, Volume(data, "ZYX", SPACING, "micrometer"))
            yield path

    return write


def neuro(suffix: str) -> Callable[[Path], Iterator[Path]]:
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


def oriented(suffix: str) -> Callable[[Path], Iterator[Path]]:
    """Write volumes with all that these formats can say."""

    def write(folder: Path) -> Iterator[Path]:
        from isoslice.data.metadata import Metadata, Orientation, as_matrix

        matrix = as_matrix([[-0.5, 0, 0, 9], [0, 0.3, -1.6, 8], [0, 0.4, 1.2, 7], [0, 0, 0, 1]])
        metadata = Metadata({}, Orientation(matrix, matrix, 1, 1), 2.5, "second")
        four = np.stack([STACK, STACK]).astype(np.int16)
        for number, (data, axes) in enumerate(((STACK, "ZYX"), (four, "TZYX"), (four, "CZYX"))):
            path = folder / f"{number}{suffix}"
            write_volume(path, Volume(data, axes, SPACING, "millimeter", metadata=metadata))
            yield path

    return write


def nrrd(folder: Path) -> Iterator[Path]:
    import bz2
    import gzip

    yield from oriented(".nrrd")(folder)
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


def metaimage(folder: Path) -> Iterator[Path]:
    import zlib

    yield from oriented(".mha")(folder)
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


def dicom(folder: Path) -> Iterator[Path]:
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


def dicom_series(folder: Path) -> Iterator[Path]:
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
