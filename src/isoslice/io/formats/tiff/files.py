"""Files that hold the planes of an OME-TIFF, identified by name and UUID.

Files may be renamed or copied, and some programs write the OME-XML of all files to each. Voxels of
another file must never be taken for those of the opened one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from isoslice.errors import DataError
from isoslice.io.formats.tiff.limits import check_other
from isoslice.io.formats.tiff.ome import Holder, OmeImage
from isoslice.io.formats.tiff.ome_xml import uuid_of, warn_of_uuid

#: Files that a message names.
_MAX_NAMED = 5


@dataclass(frozen=True)
class Opened:
    """The opened file, and the source of its OME-XML.

    Attributes
    ----------
    path
        The file.
    pages
        Number of image directories; 0 for a companion file.
    uuid
        UUID of the file, or None.
    xml
        The file that holds the OME-XML, this one or another.
    xml_uuid
        UUID of that file, or None.
    """

    path: Path
    pages: int
    uuid: str | None
    xml: Path
    xml_uuid: str | None


def own_holders(images: Iterable[OmeImage], opened: Opened) -> set[Holder]:
    """Return the entries of the OME-XML that stand for the opened file.

    It matches by name or by UUID, or is the only file that the OME-XML names.

    Raises
    ------
    DataError
        If its name and its UUID belong to two files.
    """
    images = list(images)
    holders = {holder for image in images for holder in image.holders}
    name, uuid = opened.path.name.casefold(), opened.uuid
    owned = set[Holder]()
    if opened.xml == opened.path:
        owned |= holders & {Holder(None, None)}
    named = {h for h in holders if h.name is not None and h.name.casefold() == name}
    known = {h for h in holders if h.uuid is not None and h.uuid == uuid}
    if known and not named:
        twin = _twin(known, opened, len(_names(holders)))
        if twin is not None:
            raise DataError(
                f"{opened.path}: got a file with the UUID of {twin}, which lies beside it, "
                f"expected one file of each; open {twin}, or move one of them elsewhere"
            )
        return owned | known
    if known and named != known:
        return owned | (named if _copied(known, opened) else _renamed(named, known, opened))
    if named:
        return owned | named
    if len(_names(holders)) == 1 and not owned and opened.xml == opened.path:
        (only,) = _names(holders)
        # It holds no planes if it has a UUID and the named file exists beside it.
        elsewhere = uuid is not None and _is_file(opened.path.with_name(only))
        if not elsewhere and max(_last_page(image) for image in images) < opened.pages:
            return holders
    return owned


def find_holders(image: OmeImage, owned: set[Holder], opened: Opened) -> Mapping[int, Path]:
    """Return the path of each holder of an image, by its index.

    Raises
    ------
    DataError
        If files are missing.
    ValueError
        If one is a link or a device.
    """
    used = {int(number) for number in set(image.places[:, 0].tolist()) if number >= 0}
    paths: dict[int, Path] = {}
    missing = []
    for number in sorted(used):
        holder = image.holders[number]
        if holder in owned:
            paths[number] = opened.path
            continue
        if holder.name is None and holder.uuid is not None:
            raise ValueError("its OME-XML names no file for some planes")
        path = opened.xml if holder.name is None else opened.path.with_name(holder.name)
        if path.is_symlink() or path.exists():
            check_other(path)
            _check_uuid(path, holder, opened)
            paths[number] = path
        else:
            missing.append(holder.name or path.name)
    if missing:
        raise DataError(
            f"{opened.path}: got an image whose planes lie in {len(used)} file(s), of which "
            f"{listed(missing)} cannot be found in its folder, expected all of them; put the "
            "missing ones beside it under these names"
        )
    return paths


def nothing_here(images: Iterable[OmeImage], opened: Opened) -> DataError:
    """Return the error that the opened file holds none of the images, naming those that do."""
    lines = []
    for number, image in enumerate(images):
        names = [h.name or opened.xml.name for h in image.holders]
        label = f" {image.name!r}" if image.name else ""
        lines.append(f"image {number}{label} in {listed(names)}")
    return DataError(
        f"{opened.path}: got a file that holds none of the images in its OME-XML, expected one of "
        f"them ({'; '.join(lines[:_MAX_NAMED])}{'; …' if len(lines) > _MAX_NAMED else ''}); open "
        "such a file, or give this one the name it had"
    )


def listed(names: Iterable[str]) -> str:
    """Format the first few of many names."""
    names = list(dict.fromkeys(names))
    more = len(names) - _MAX_NAMED
    return ", ".join(names[:_MAX_NAMED]) + (f" and {more} more" if more > 0 else "")


def _names(holders: Iterable[Holder]) -> set[str]:
    return {holder.name for holder in holders if holder.name is not None}


def _last_page(image: OmeImage) -> int:
    return int(image.places[:, 1].max(initial=-1))


def _twin(known: set[Holder], opened: Opened, files: int) -> str | None:
    """Return the name of another file with the same UUID beside the opened one, or None.

    Several files may have the same OME-XML and UUID, so a renamed one cannot be identified. If the
    OME-XML names a single file, a copy of it does no harm.
    """
    if files < 2:
        return None
    for holder in known:
        if holder.name is not None:
            path = opened.path.with_name(holder.name)
            if _is_file(path) and uuid_of(path) == opened.uuid:
                return holder.name
    return None


def _copied(known: set[Holder], opened: Opened) -> bool:
    """Whether the file has the OME-XML and UUID of another one, so that its name decides."""
    for holder in known:
        if holder.name is not None:
            path = opened.path.with_name(holder.name)
            if path.name.casefold() == opened.path.name.casefold():
                return True
            if _is_file(path) and uuid_of(path) == opened.uuid:
                return True
    return False


def _renamed(named: set[Holder], known: set[Holder], opened: Opened) -> set[Holder]:
    """Return the entries by UUID, if another file has the name that belongs to it."""
    for holder in known:
        if holder.name is not None and _is_file(opened.path.with_name(holder.name)):
            return known
    raise DataError(
        f"{opened.path}: got a file that has the name of one of the files in its OME-XML and the "
        f"UUID of another ({listed(_names(known))}), expected those of one; give it the name it had"
    )


def _check_uuid(path: Path, holder: Holder, opened: Opened) -> None:
    """Warn if a file has another UUID than expected; some programs write random ones."""
    uuid = uuid_of(path)
    if uuid is not None and holder.uuid is not None and uuid not in (holder.uuid, opened.xml_uuid):
        warn_of_uuid(opened.path, path.name)


def _is_file(path: Path) -> bool:
    return path.is_file() and not path.is_symlink()
