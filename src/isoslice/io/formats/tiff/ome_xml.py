"""OME-XML of a file: in the file itself, in another one, or in a companion file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from xml.etree import ElementTree

from isoslice.errors import DataError, warn
from isoslice.io.formats.tiff.integrity import check_chain
from isoslice.io.formats.tiff.limits import UNUSED_KINDS, check_ome, check_other
from isoslice.io.limits import MAX_XML, read_small

if TYPE_CHECKING:
    from tifffile import TiffFile

#: Suffix of files that hold only OME-XML.
COMPANION = ".companion.ome"


class Source(NamedTuple):
    """OME-XML, the file that holds it, and the UUID of that file."""

    root: ElementTree.Element
    path: Path
    uuid: str | None


def companion(path: Path) -> Source:
    """Read a companion file."""
    root = check_ome(read_small(path, MAX_XML).decode("utf-8-sig"))
    return Source(root, path, root.get("UUID"))


def own_xml(tif: TiffFile, path: Path) -> Source | None:
    """Return the OME-XML in a TIFF, or None if it has none."""
    text = tif.ome_metadata if tif.is_ome else None
    if not text:
        return None
    root = check_ome(text)
    return Source(root, path, root.get("UUID"))


def followed(source: Source) -> Source:
    """Return the OME-XML of the master or companion file that `source` refers to, else `source`.

    Raises
    ------
    DataError
        If that file is missing.
    ValueError
        If that file has no OME-XML.
    """
    reference = source.root.find("{*}BinaryOnly")
    if reference is None:
        return source
    name = reference.get("MetadataFile", "")
    other = source.path.with_name(name)
    if not (other.is_symlink() or other.exists()):
        raise DataError(
            f"{source.path}: got one file of an image whose OME-XML is in {name}, which cannot be "
            "found in its folder, expected both; put it beside this one under that name"
        )
    check_other(other)
    target = companion(other) if name.lower().endswith(".ome") else _of_tiff(other)
    if target is None or target.root.find("{*}BinaryOnly") is not None:
        raise ValueError(f"its OME-XML refers to {name}, which holds none")
    wanted = reference.get("UUID")
    if wanted and target.uuid and wanted != target.uuid:
        warn_of_uuid(source.path, name)
    return target


def warn_of_uuid(path: Path, name: str) -> None:
    """Warn that a file may not be the one that the OME-XML of another refers to."""
    warn(
        f"{path}: its OME-XML gives {name} another UUID than that file has; check that it is the "
        "one that belongs to it"
    )


def uuid_of(path: Path) -> str | None:
    """Return the UUID that a TIFF's OME-XML gives it, or None."""
    source = _of_tiff(path)
    return None if source is None else source.uuid


def _of_tiff(path: Path) -> Source | None:
    import tifffile

    with path.open("rb") as stream:
        check_chain(stream, check_other(path))
    with tifffile.TiffFile(path, **UNUSED_KINDS) as tif:
        return own_xml(tif, path)
