"""Other formats of neuroimaging, through nibabel: FreeSurfer's MGH, Analyze, NIfTI in two files."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np

from isoslice.data.metadata import Metadata
from isoslice.data.units import unit_name
from isoslice.errors import DataError
from isoslice.io.decode_errors import quiet, reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.nifti.reader import check_end, check_size, nibabel_or, opened, read_pair
from isoslice.io.limits import read_small
from isoslice.io.orientation import RAS, orientation_of

_MGH_HEADER = struct.Struct(">7ih15f")
_MGH_TYPES = {0: "u1", 1: "i4", 3: "f4", 4: "i2"}
#: Position of NIfTI's magic string, by the length of the header.
_MAGIC = {348: slice(344, 347), 540: slice(4, 7)}


def read_neuro(path: Path, series: str | None = None) -> Raw:
    """Read ``.mgh``, ``.mgz``, or a pair of ``.hdr`` and ``.img``, given by either file.

    Lengths are in millimetres. Analyze has no orientation.

    Raises
    ------
    DataError
        If nibabel is not installed, or a file is damaged, cut off or missing.
    """
    if path.name.lower().endswith((".mgh", ".mgz")):
        return _read_mgh(path)
    stem = path.name.removesuffix(".gz")[:-4]
    header = path.with_name(stem + ".hdr")
    images = [path.with_name(stem + suffix) for suffix in (".img", ".img.gz")]
    image = next((one for one in images if one.is_file()), None)
    if image is None or not header.is_file():
        raise DataError(
            f"{path}: got one of two files, expected {stem}.hdr and {stem}.img beside each other; "
            "copy both"
        )
    with reading(path, "the header of an Analyze or NIfTI image"):
        content = read_small(header)
        length = next(
            (n for o in "<>" for n in struct.unpack(o + "i", content[:4]) if n in _MAGIC), 0
        )
        if not length:
            raise ValueError(f"{header.name} is neither; ENVI's and other .hdr files are not read")
    if content[_MAGIC[length]] in (b"ni1", b"ni2"):
        return read_pair(path, header, image)
    return _read_analyze(path, content, image)


def _read_analyze(path: Path, content: bytes, image: Path) -> Raw:
    import io

    nibabel = nibabel_or(DataError)
    with reading(path, "an Analyze image"), quiet("nibabel.global"), opened(image) as stream:
        # SPM's variant, which adds only the scale of intensities; others leave that empty.
        header = nibabel.spm2analyze.Spm2AnalyzeHeader.from_fileobj(io.BytesIO(content))
        check_size(image, header.get_data_shape(), header.get_data_dtype())
        slope = header.get_slope_inter()[0]
        data = np.asarray(header.raw_data_from_fileobj(stream))
        if slope not in (None, 1.0):
            data = np.asarray(data * np.float32(slope), np.float32)
        check_end(image, stream)
        axes = "XYZTQQQ"[: data.ndim]
        zooms = [abs(float(zoom)) for zoom in header.get_zooms()[:3]]
        unit = unit_name(bytes(header["vox_units"]).strip(b"\0 ").decode("latin-1"))
    spacing = {a: z for a, z in zip("XYZ", zooms, strict=False) if 0 < z < float("inf")}
    # Programs write unknown spacing as 1.
    if unit is None and all(zoom == 1.0 for zoom in zooms):
        spacing = {}
    return Raw(data, axes, spacing, unit or ("millimeter" if spacing else None))


def _read_mgh(path: Path) -> Raw:
    nibabel = nibabel_or(DataError)
    with reading(path, "an MGH image"), quiet("nibabel.global"), opened(path) as stream:
        head = stream.read(_MGH_HEADER.size)
        version, *shape, kind, _, good = _MGH_HEADER.unpack(head)[:8]
        if version != 1 or kind not in _MGH_TYPES:
            raise ValueError(f"it declares the version {version} and the type {kind}")
        check_size(path, shape, _MGH_TYPES[kind])
        if min(shape) < 1:
            raise ValueError(f"it declares the shape {shape}")
        stream.seek(0)
        holder = nibabel.FileHolder(fileobj=stream)
        image = nibabel.MGHImage.from_file_map({"image": holder}, mmap=False)
        data = np.asarray(image.dataobj)
        check_end(path, stream)
        zooms = [float(zoom) for zoom in image.header.get_zooms()]
        matrix = np.asarray(image.affine, np.float64)
    spacing = {a: z for a, z in zip("XYZ", zooms, strict=False) if 0 < z < float("inf")}
    orientation = orientation_of(matrix[:3, :3].T, matrix[:3, 3].tolist(), RAS) if good else None
    step = zooms[3] if len(zooms) > 3 and 0 < zooms[3] < float("inf") else None
    metadata = Metadata({}, orientation, step, "millisecond" if step else None)
    return Raw(data, "XYZT"[: data.ndim], spacing, "millimeter", None, None, metadata)
