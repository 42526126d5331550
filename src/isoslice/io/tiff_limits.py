"""What a TIFF may ask of the library that reads it, checked before the library believes it.

OME-XML names other files and counts planes that need not exist; strips may unpack to any size.
"""

from __future__ import annotations

import importlib.util
import lzma
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import numpy as np

from isoslice.io.limits import MAX_CHUNK, MAX_XML, check_memory, check_packed, check_regular
from isoslice.io.tiff_streams import check_pictures

if TYPE_CHECKING:
    from tifffile import TiffPageSeries

#: Kinds of TIFF that are not read by their own metadata: two name other files, one holds
#: expressions that are evaluated to arrays of any size.
UNUSED_KINDS: dict[str, Any] = {"is_mmstack": False, "is_ndtiff": False, "is_scanimage": False}
#: Planes that OME-XML may list; tifffile makes a list of them first.
MAX_PLANES = 2_000_000
#: Strips of fewer bytes cannot unpack to more than 64 MB and are not looked into.
_SMALL_STRIP = 2**16
_NONE, _LZMA, _DEFLATE = 1, 34925, (8, 32946)


def check_ome(xml: str, path: Path) -> list[Path]:
    """Check OME-XML before tifffile follows it.

    Parameters
    ----------
    xml
        The first page's description.
    path
        The file.

    Returns
    -------
    list of Path
        Other files, beside this one, that hold some of the planes.

    Raises
    ------
    ValueError
        If it names a file elsewhere, declares entities, or more planes than `MAX_PLANES`.
    """
    if len(xml) > MAX_XML:
        raise ValueError(f"its OME-XML has {len(xml)} characters, expected up to {MAX_XML}")
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ValueError("its OME-XML declares a document type, expected none")
    planes, files = 0, {}
    for element in ElementTree.fromstring(xml).iter():
        kind = str(element.tag).rpartition("}")[2]
        if kind == "Pixels":
            planes += math.prod(_count(element, f"Size{axis}") for axis in "ZCT")
        elif kind == "TiffData":
            counts = ("IFD", "NumPlanes", "PlaneCount", "FirstZ", "FirstC", "FirstT")
            planes += max(_count(element, name) for name in counts)
        elif kind.startswith("ModuloAlong") and "Start" in element.attrib:
            first, last = float(element.attrib["Start"]), float(element.attrib.get("End", "nan"))
            if not abs(last - first) / abs(float(element.get("Step", 1))) < MAX_PLANES:
                raise ValueError("its OME-XML lists too many labels")
        elif kind == "UUID" and "FileName" in element.attrib:
            name = element.attrib["FileName"]
            files[name] = path.with_name(_plain(name))
        if planes > MAX_PLANES:
            raise ValueError(f"its OME-XML lists more than {MAX_PLANES} planes")
    return [file for name, file in files.items() if name.lower() != path.name.lower()]


def check_sizes(series: TiffPageSeries, path: Path) -> None:
    """Check that what is read at once fits in memory, and fits what is stored.

    Raises
    ------
    DataError
        If it does not fit in memory.
    ValueError
        If a tile is too large, or strips unpack to more than the page says.
    """
    page: Any = series.keyframe
    dtype = np.dtype(series.dtype)
    check_memory(path, series.shape, dtype)
    tile = math.prod((page.tilelength, page.tilewidth, max(1, page.tiledepth))) * dtype.itemsize
    if page.is_tiled and tile * page.samplesperpixel > MAX_CHUNK:
        raise ValueError(f"a tile has {tile} bytes, expected up to {MAX_CHUNK}")
    check_pictures(series)
    if page.compression == _NONE:
        files = {p.parent.filehandle.path: p.parent.filehandle.size for p in series.pages if p}
        bits = math.prod(series.shape) * min(page.bitspersample, 8 * dtype.itemsize)
        check_packed(path, bits // 8, sum(files.values()))
    # The package imagecodecs unpacks into a buffer of the declared size; what replaces it doesn't.
    if importlib.util.find_spec("imagecodecs") is None:
        _check_strips(series, tile if page.is_tiled else series.keyframe.nbytes)


def check_other(path: Path) -> int:
    """Return the size of a file that OME-XML names; it must be a regular one, and no link."""
    if path.is_symlink():
        raise ValueError(f"its OME-XML names {path.name}, which is a link, expected a file")
    return check_regular(path)


def _check_strips(series: TiffPageSeries, largest: int) -> None:
    """Unpack large strips piece by piece, keeping nothing, and stop at the size of a page."""
    page: Any = series.keyframe
    if page.compression not in (_LZMA, *_DEFLATE):
        return
    limit = largest * max(1, page.samplesperpixel) + _SMALL_STRIP
    for frame in series.pages:
        if frame is None:
            continue
        file = frame.parent.filehandle
        for offset, count in zip(frame.dataoffsets, frame.databytecounts, strict=False):
            if page.compression == _LZMA or count > _SMALL_STRIP:
                file.seek(offset)
                if _unpacked(file.read(count), page.compression == _LZMA, limit) > limit:
                    raise ValueError(f"a strip unpacks to more than the {limit} bytes of a plane")


def _unpacked(packed: bytes, is_lzma: bool, limit: int) -> int:
    stream: Any = lzma.LZMADecompressor(memlimit=2**28) if is_lzma else zlib.decompressobj()
    total = 0
    while packed or is_lzma:
        total += len(stream.decompress(packed, 2**20))
        packed = b"" if is_lzma else stream.unconsumed_tail
        if stream.eof or total > limit or (is_lzma and stream.needs_input):
            break
    return total


def _plain(name: str) -> str:
    if not name or name in (".", "..") or set(name) & set("/\\:\0") or len(name) > 255:
        raise ValueError(f"its OME-XML names the file {name!r:.100}, expected one beside it")
    return name


def _count(element: ElementTree.Element, name: str) -> int:
    number = int(element.get(name, 1))
    if not 0 <= number <= MAX_PLANES:
        raise ValueError(f"its OME-XML has a {name} of {number}, expected up to {MAX_PLANES}")
    return number
