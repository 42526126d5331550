"""BigDataViewer: HDF5 with a volume per time point and view set-up, and XML with metadata."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from isoslice.data.units import unit_name
from isoslice.errors import DataError
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.formats.hdf5.grid import Grid
from isoslice.io.formats.hdf5.integrity import (
    MAX_OBJECTS,
    Stored,
    image_type,
    member,
    names,
    open_hdf5,
)
from isoslice.io.lazy_array import LazyArray
from isoslice.io.limits import MAX_XML, check_regular, read_small
from isoslice.io.series import Series, choose_series

_TIME_GROUP, _SETUP_GROUP = re.compile(r"t\d{5,}"), re.compile(r"s\d{2,}")


@dataclass(frozen=True)
class Setup:
    """One view set-up: an image of one channel, angle and tile.

    Attributes
    ----------
    number
        As in the names of groups.
    name
        As in the XML, or None.
    spacing, unit
        Voxel size, where known.
    channel
        Number and name of its channel.
    others
        Its angle, tile and the like, shared by the set-ups of one image.
    """

    number: int
    name: str | None = None
    spacing: dict[str, float] = field(default_factory=dict)
    unit: str | None = None
    channel: tuple[int, str | None] | None = None
    others: tuple[tuple[str, str], ...] = ()


def is_bdv(file: Any) -> bool:
    """Whether an HDF5 file has BigDataViewer's groups."""
    listed = names(file)
    setups = [name for name in listed if _SETUP_GROUP.fullmatch(name)]
    return any(_TIME_GROUP.fullmatch(name) for name in listed) and any(
        member(file, f"{setup}/resolutions") is not None for setup in setups
    )


def read_bdv_xml(path: Path, series: str | None = None) -> Raw:
    """Read the HDF5 file beside BigDataViewer's XML file.

    Raises
    ------
    DataError
        If it is other XML, or names another kind of file or one in another folder.
    """
    with reading(path, "BigDataViewer's XML"):
        root = _parse(path)
        if root.tag != "SpimData":
            raise DataError(
                f"{path}: got XML that is not BigDataViewer's, expected a SpimData element; give "
                "the image file itself"
            )
        loader = root.find("SequenceDescription/ImageLoader")
        kind = "" if loader is None else loader.get("format", "")
        if kind != "bdv.hdf5":
            raise DataError(
                f"{path}: got a BigDataViewer project whose images are {kind[:40]!r}, expected "
                "bdv.hdf5; export it as HDF5, or give the image file itself"
            )
        voxels = path.with_name(_plain(_text(loader, "hdf5")))
        if voxels.is_symlink():
            raise ValueError(f"it names {voxels.name}, which is a link, expected a file")
        if not voxels.exists():
            raise DataError(
                f"{path}: names {voxels.name}, which is not beside it, expected the HDF5 file "
                "there; copy both into one folder"
            )
        check_regular(voxels)
        setups = _setups(root)
    with reading(voxels, "an HDF5 file"):
        return _read(voxels, open_hdf5(voxels), series, setups)


def read_bdv(path: Path, file: Any, series: str | None = None) -> Raw:
    """Read BigDataViewer's HDF5 file, with the XML file of the same name where there is one.

    Raises
    ------
    DataError
        If a volume is missing.
    """
    beside = path.with_suffix(".xml")
    setups = None
    if beside.is_file() and not beside.is_symlink():
        with reading(beside, "BigDataViewer's XML"):
            root = _parse(beside)
            if root.tag == "SpimData":
                setups = _setups(root)
    return _read(path, file, series, setups)


def _read(path: Path, file: Any, series: str | None, setups: Sequence[Setup] | None) -> Raw:
    times = sorted(name for name in names(file) if _TIME_GROUP.fullmatch(name))
    if not times:
        raise ValueError("it holds no time point")
    if setups is None:
        setups = [
            Setup(int(name[1:])) for name in sorted(names(file)) if _SETUP_GROUP.fullmatch(name)
        ]
    if not setups:
        raise ValueError("it lists no set-up")
    groups = _grouped(file, times[0], setups, path)
    listed, grids = [], []
    for group in groups:
        # The first time point stands for all; only the chosen image is checked further.
        first = _volume(file, times[0], group[0], path)
        shape = (len(times), len(group), *first.shape)
        kept = [i for i, n in enumerate(shape) if n > 1 or i > 1]
        name = group[0].name or f"set-up {group[0].number}"
        axes = "".join("TCZYX"[i] for i in kept)
        listed.append(Series(name, axes, tuple(shape[i] for i in kept), str(first.dtype)))
        grids.append(kept)
    chosen = choose_series(path, listed, series)
    group, kept = groups[chosen], grids[chosen]
    grid = Grid([[_volume(file, time, setup, path) for setup in group] for time in times])
    channels = [setup.channel[1] if setup.channel else None for setup in group]
    known = tuple(str(name) for name in channels if name)
    return Raw(
        LazyArray(grid, kept),
        listed[chosen].axes,
        group[0].spacing,
        group[0].unit,
        known if len(known) == len(group) and len(group) > 1 else None,
        series=tuple(listed),
        chosen=chosen,
    )


def _grouped(file: Any, time: str, setups: Sequence[Setup], path: Path) -> list[list[Setup]]:
    """Group set-ups that are channels of one image: of the same angle, tile and size."""
    groups: dict[Any, list[Setup]] = {}
    for setup in setups:
        key: Any = setup.number
        if setup.channel is not None:
            volume = _volume(file, time, setup, path)
            key = (setup.others, volume.shape, str(volume.dtype))
        taken = groups.setdefault(key, [])
        if any(
            one.channel and setup.channel and one.channel[0] == setup.channel[0] for one in taken
        ):
            groups[setup.number] = [setup]
        else:
            taken.append(setup)
    return [
        sorted(group, key=lambda setup: (setup.channel or (0, None))[0])
        for group in groups.values()
    ]


def _volume(file: Any, time: str, setup: Setup, path: Path) -> Stored:
    cells = f"{time}/s{setup.number:02}/0/cells"
    dataset = member(file, cells)
    if dataset is None or not hasattr(dataset, "shape") or len(dataset.shape or ()) != 3:
        raise DataError(
            f"{path}: got no volume at {cells}, expected one for each time point and set-up; a "
            "file in several parts cannot be read, export it as one"
        )
    # Older versions store unsigned numbers with a signed type.
    return Stored(dataset, path, None, "u2" if image_type(dataset) == "int16" else None)


def _parse(path: Path) -> ElementTree.Element:
    content = read_small(path, MAX_XML)
    if b"<!DOCTYPE" in content or b"<!ENTITY" in content:
        raise ValueError("it declares a document type, expected none")
    return ElementTree.fromstring(content)


def _setups(root: ElementTree.Element) -> list[Setup]:
    dyes = {
        (_text(channel, "id")): _text(channel, "name")
        for channel in root.iterfind(".//ViewSetups/Attributes[@name='channel']/Channel")
    }
    setups = []
    for element in root.iterfind(".//ViewSetups/ViewSetup"):
        marks = {mark.tag: (mark.text or "").strip() for mark in element.findall("attributes/*")}
        channel = marks.pop("channel", "")
        size = element.find("voxelSize")
        spacing, unit = _size(size)
        setups.append(
            Setup(
                _whole(_text(element, "id")),
                _text(element, "name") or None,
                spacing,
                unit,
                (_whole(channel), dyes.get(channel) or None) if channel else None,
                tuple(sorted(marks.items())),
            )
        )
    if len(setups) > MAX_OBJECTS:
        raise ValueError(f"it lists {len(setups)} set-ups, expected up to {MAX_OBJECTS}")
    return setups


def _size(element: ElementTree.Element | None) -> tuple[dict[str, float], str | None]:
    unit = unit_name(_text(element, "unit"))
    steps = [float(part) for part in _text(element, "size").split()]
    if len(steps) != 3 or not all(0 < step < 1e12 for step in steps):
        return {}, None
    if unit is None and set(steps) == {1.0}:  # pixels
        return {}, None
    return dict(zip("XYZ", steps, strict=True)), unit


def _text(element: ElementTree.Element | None, name: str) -> str:
    return "" if element is None else (element.findtext(name) or "").strip()


def _whole(content: str) -> int:
    number = int(content)
    if not 0 <= number < MAX_OBJECTS:
        raise ValueError(f"it has the number {number}, expected up to {MAX_OBJECTS}")
    return number


def _plain(name: str) -> str:
    if not name or name in (".", "..") or set(name) & set("/\\:\0") or len(name) > 255:
        raise ValueError(f"it names the file {name!r:.100}, expected one beside it")
    return name
