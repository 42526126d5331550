"""Limits of a TIFF, checked before tifffile reads it.

OME-XML may name any file and declare any number of planes; strips may unpack to any size.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isoslice.io.formats.tiff.codecs import NONE, check_codec, check_strips_unpack
from isoslice.io.limits import MAX_CHUNK, MAX_XML, check_memory, check_packed, check_regular

#: tifffile's readers of metadata that are switched off: two follow names of other files, one
#: evaluates expressions to arrays of any size.
UNUSED_KINDS: dict[str, Any] = {"is_mmstack": False, "is_ndtiff": False, "is_scanimage": False}
#: Most planes in OME-XML, of which a table is made.
MAX_PLANES = 2_000_000


def check_ome(xml: str) -> ElementTree.Element:
    """Parse and check OME-XML.

    Raises
    ------
    ValueError
        If it names a file in another folder, declares entities, or more planes than `MAX_PLANES`.
    """
    if len(xml) > MAX_XML:
        raise ValueError(f"its OME-XML has {len(xml)} characters, expected up to {MAX_XML}")
    if "<!DOCTYPE" in xml or "<!ENTITY" in xml:
        raise ValueError("its OME-XML declares a document type, expected none")
    planes = 0
    root = ElementTree.fromstring(xml)
    for element in root.iter():
        kind = str(element.tag).rpartition("}")[2]
        if kind == "Pixels":
            planes += math.prod(count(element, f"Size{axis}") for axis in "ZCT")
        elif kind == "UUID" and "FileName" in element.attrib:
            _check_plain(element.attrib["FileName"])
        elif kind == "BinaryOnly":
            _check_plain(element.get("MetadataFile", ""))
        if planes > MAX_PLANES:
            raise ValueError(f"its OME-XML lists more than {MAX_PLANES} planes")
    return root


def count(element: ElementTree.Element, name: str, default: int = 1) -> int:
    """Return the integer in an attribute of an OME-XML element.

    Raises
    ------
    ValueError
        If it is no integer from 0 to `MAX_PLANES`.
    """
    value = int(element.get(name, default))
    if not 0 <= value <= MAX_PLANES:
        raise ValueError(f"its OME-XML has a {name} of {value}, expected up to {MAX_PLANES}")
    return value


def check_sizes(
    pages: Sequence[Any], shape: Sequence[int], dtype: np.dtype[Any], path: Path
) -> None:
    """Check that the voxels of pages fit in memory, and are not larger than the file allows.

    Parameters
    ----------
    pages
        Pages of the same layout.
    shape, dtype
        Of all their voxels.
    path
        The file, for messages.

    Raises
    ------
    DataError
        If they do not fit in memory, or the compression is not supported.
    ValueError
        If a tile is too large, or strips unpack to more than the page declares.
    """
    page = pages[0].keyframe
    check_memory(path, shape, dtype)
    check_codec(page, path)
    if not isinstance(page.bitspersample, int):
        raise ValueError(f"its samples have {page.bitspersample} bits, expected one number")
    tile = math.prod((page.tilelength, page.tilewidth, max(1, page.tiledepth))) * dtype.itemsize
    if page.is_tiled and tile * page.samplesperpixel > MAX_CHUNK:
        raise ValueError(f"a tile has {tile} bytes, expected up to {MAX_CHUNK}")
    if page.compression == NONE:
        files = {p.parent.filehandle.path: p.parent.filehandle.size for p in pages}
        bits = math.prod(shape) * min(page.bitspersample, 8 * dtype.itemsize)
        check_packed(path, bits // 8, sum(files.values()))
    check_strips_unpack(pages, tile if page.is_tiled else page.nbytes)


def check_other(path: Path) -> int:
    """Return the size of a file that OME-XML names; refuse links and devices."""
    if path.is_symlink():
        raise ValueError(f"its OME-XML names {path.name}, which is a link, expected a file")
    return check_regular(path)


def _check_plain(name: str) -> None:
    if not name or name in (".", "..") or set(name) & set("/\\:\0") or len(name) > 255:
        raise ValueError(f"its OME-XML names the file {name!r:.100}, expected one beside it")
