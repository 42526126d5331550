"""Folders of DICOM files below a folder, and files that are DICOM but for their preamble."""

from __future__ import annotations

import os
from pathlib import Path

from isoslice.io.formats.dicom.header import dicom_files

#: As many folders are looked into, as deep, and as many are named.
_MAX_FOLDERS, _MAX_DEPTH, _NAMED = 500, 6, 3
#: Programs name the index of a disk or of an export so.
_INDEX = "DICOMDIR"
#: First elements of a data set without preamble: of group 0008, in either byte order.
_FIRST_GROUPS = (b"\x08\x00", b"\x00\x08")
_FIRST_ELEMENTS = (0x0000, 0x0001, 0x0005, 0x0008, 0x0012, 0x0016)


def folders_below(folder: Path) -> str:
    """Name the folders below that hold DICOM files, for a message; empty where there are none."""
    found = []
    for number, (path, inner, _) in enumerate(os.walk(folder)):
        if number >= _MAX_FOLDERS:
            break
        here = Path(path)
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        if len(here.relative_to(folder).parts) >= _MAX_DEPTH:
            inner.clear()
        if here != folder and (files := _images(here)):
            found.append(f"{here} ({files} {'file' if files == 1 else 'files'})")
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more


def lacks_preamble(folder: Path) -> bool:
    """Whether a folder's first file begins as a DICOM data set without its preamble."""
    try:
        files = (path for path in sorted(folder.iterdir()) if not path.name.startswith("."))
        first = next((path for path in files if path.is_file()), None)
        if first is None:
            return False
        with first.open("rb") as stream:
            start = stream.read(4)
    except OSError:  # reported when it is read
        return False
    order = "little" if start[:2] == _FIRST_GROUPS[0] else "big"
    element = int.from_bytes(start[2:], order)  # type: ignore[arg-type]
    return len(start) == 4 and start[:2] in _FIRST_GROUPS and element in _FIRST_ELEMENTS


def _images(folder: Path) -> int:
    """Count the DICOM files of a folder, without an index."""
    try:
        return sum(path.name.upper() != _INDEX for path in dicom_files(folder))
    except OSError:  # no permission: not ours to name
        return 0
