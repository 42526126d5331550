"""What a TIFF may ask of the library that reads it, checked before the library believes it.

OME-XML names other files and counts planes that need not exist; strips may unpack to any size.
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

#: Kinds of TIFF that are not read by their own metadata: two name other files, one holds
#: expressions that are evaluated to arrays of any size.
UNUSED_KINDS: dict[str, Any] = {"is_mmstack": False, "is_ndtiff": False, "is_scanimage": False}
#: Planes that OME-XML may list; a table of them is made first.
MAX_PLANES = 2_000_000


def check_ome(xml: str) -> ElementTree.Element:
    """Parse OME-XML and check it before it is followed.

    Raises
    ------
    ValueError
        If it names a file elsewhere, declares entities, or more planes than `MAX_PLANES`.
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
    """Return a count that an element of OME-XML declares.

    Raises
    ------
    ValueError
        If it is no number from 0 to `MAX_PLANES`.
    """
    value = int(element.get(name, default))
    if not 0 <= value <= MAX_PLANES:
        raise ValueError(f"its OME-XML has a {name} of {value}, expected up to {MAX_PLANES}")
    return value


def check_sizes(
    pages: Sequence[Any], shape: Sequence[int], dtype: np.dtype[Any], path: Path
) -> None:
    """Check that what is read at once fits in memory, and fits what is stored.

    Parameters
    ----------
    pages
        Whose voxels are read, of the same shape and type; the first one tells these.
    shape, dtype
        Of all voxels.
    path
        The file, for messages.

    Raises
    ------
    DataError
        If it does not fit in memory, or is compressed in a way that is not read.
    ValueError
        If a tile is too large, or strips unpack to more than the page says.
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
    """Return the size of a file that OME-XML names; it must be a regular one, and no link."""
    if path.is_symlink():
        raise ValueError(f"its OME-XML names {path.name}, which is a link, expected a file")
    return check_regular(path)


def _check_plain(name: str) -> None:
    if not name or name in (".", "..") or set(name) & set("/\\:\0") or len(name) > 255:
        raise ValueError(f"its OME-XML names the file {name!r:.100}, expected one beside it")
