"""Images in OME-XML: metadata, and the files and pages of their planes."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display, Metadata
from isoslice.data.time_units import time_name
from isoslice.data.units import common_unit, convert, unit_name
from isoslice.io.formats.ome_optics import optics_of_xml
from isoslice.io.formats.ome_positions import PlanePosition, plane_positions
from isoslice.io.formats.text_numbers import known, number, positive
from isoslice.io.formats.tiff.limits import MAX_PLANES, count
from isoslice.io.notes import Note, find_note

#: Colour that old versions of Bio-Formats write for none.
_NO_COLOR = -(2**31)


class Holder(NamedTuple):
    """A file as named in OME-XML; all None stands for the file that holds the XML."""

    name: str | None
    uuid: str | None


@dataclass(frozen=True)
class OmeImage:
    """One image of an OME-XML.

    Attributes
    ----------
    name
        Name, or None.
    axes, shape
        Axes before Y and X, slowest first, and their lengths; ``Q`` for axes outside TCZYX.
    size
        Height and width in pixels.
    samples
        Colour samples per pixel.
    dtype
        As in the XML.
    holders
        Files that hold its planes.
    places
        Index in `holders` and page of each plane, shape (planes, 2); -1 where the XML has none.
    spacing, unit, channel_names, note, metadata, z_positions
        As of `Raw`.
    """

    name: str | None
    axes: str
    shape: tuple[int, ...]
    size: tuple[int, int]
    samples: int
    dtype: str
    holders: tuple[Holder, ...]
    places: NDArray[np.int64]
    spacing: dict[str, float]
    unit: str | None
    channel_names: tuple[str, ...] | None
    note: Note | None
    metadata: Metadata
    z_positions: tuple[float, ...] | None


def ome_images(root: ElementTree.Element) -> list[OmeImage]:
    """Return the images of OME-XML that are stored in TIFF files, in its order.

    Raises
    ------
    ValueError
        If the XML is inconsistent.
    """
    images = []
    for element in root.findall("{*}Image"):
        pixels = element.find("{*}Pixels")
        if pixels is not None and pixels.find("{*}TiffData") is not None:
            images.append(_image(root, element, pixels))
    return images


def _image(
    root: ElementTree.Element, image: ElementTree.Element, pixels: ElementTree.Element
) -> OmeImage:
    order = pixels.get("DimensionOrder", "XYZCT")
    if len(order) != 5 or order[:2] != "XY" or set(order) != set("XYZCT"):
        raise ValueError(f"its OME-XML has the dimension order {order!r:.20}")
    sizes = {axis: count(pixels, f"Size{axis}") for axis in "XYZCT"}
    channels = pixels.findall("{*}Channel")
    sample_counts = {count(channel, "SamplesPerPixel") for channel in channels}
    samples = max(sample_counts, default=1)
    if len(sample_counts) > 1 or samples < 1 or sizes["C"] % samples:
        raise ValueError("its OME-XML has channels of different samples, expected the same")
    sizes["C"] //= samples
    axes = order[:1:-1]
    shape = tuple(sizes[axis] for axis in axes)
    if 0 in shape:
        raise ValueError("its OME-XML has a size of 0")
    holders, places = _places(pixels, axes, shape, samples)
    axes, shape = _modulo(root, image, axes, shape)
    names = tuple(channel.get("Name") or "" for channel in channels)
    spacing, unit, metadata = _calibration(pixels, channels)
    z_positions = None
    if shape[axes.index("Z")] == sizes["Z"]:  # else an axis of two
        step, z_positions = plane_positions(_plane_positions(pixels), sizes, spacing, unit)
        if step is not None and (z_positions is not None or "Z" not in spacing):
            spacing["Z"] = step
    return OmeImage(
        image.get("Name"),
        axes,
        shape,
        (sizes["Y"], sizes["X"]),
        samples,
        pixels.get("Type", pixels.get("PixelType", "")),
        holders,
        places,
        spacing,
        unit,
        names if names and all(names) else None,
        find_note(image.findtext("{*}Description")),
        replace(metadata, optics=optics_of_xml(root, image, channels)),
        z_positions,
    )


def _places(
    pixels: ElementTree.Element, axes: str, shape: tuple[int, ...], samples: int
) -> tuple[tuple[Holder, ...], NDArray[np.int64]]:
    """Return the files, and the file index and page of each plane."""
    total = math.prod(shape)
    places = np.full((total, 2), -1, np.int64)
    holders: dict[Holder, int] = {}
    listed = 0
    for data in pixels.findall("{*}TiffData"):
        first = {axis: count(data, f"First{axis}", 0) for axis in axes}
        if first["C"] >= shape[axes.index("C")] and samples > 1:
            first["C"] //= samples  # some programs count samples here, some channels
        if any(first[axis] >= n for axis, n in zip(axes, shape, strict=True)):
            continue  # left over from before the image was cropped
        start = int(np.ravel_multi_index([first[axis] for axis in axes], shape))
        rest = total - start
        planes = count(data, "NumPlanes", 1 if "IFD" in data.attrib else rest)
        planes = min(count(data, "PlaneCount", planes), rest)
        uuid = data.find("{*}UUID")
        holder = Holder(None, None)
        if uuid is not None:
            holder = Holder(uuid.get("FileName"), (uuid.text or "").strip() or None)
        page = count(data, "IFD", 0)
        listed += planes
        if listed > 2 * MAX_PLANES:
            raise ValueError(f"its OME-XML lists planes more than {2 * MAX_PLANES} times")
        places[start : start + planes, 0] = holders.setdefault(holder, len(holders))
        places[start : start + planes, 1] = np.arange(page, page + planes)
    return tuple(holders), places


def _modulo(
    root: ElementTree.Element, image: ElementTree.Element, axes: str, shape: tuple[int, ...]
) -> tuple[str, tuple[int, ...]]:
    """Split axes that combine two, such as planes at several angles (OME's modulo annotations)."""
    wanted = {ref.get("ID") for ref in image.findall("{*}AnnotationRef")}
    annotations = [a for a in root.iterfind("{*}StructuredAnnotations/*") if a.get("ID") in wanted]
    names, lengths = list(axes), list(shape)
    for modulo in (element for a in annotations for element in a.iter()):
        axis = str(modulo.tag)[-1]
        if not str(modulo.tag).rpartition("}")[2].startswith("ModuloAlong") or axis not in "ZCT":
            continue
        labels = len(modulo.findall("{*}Label"))
        if "Start" in modulo.attrib:
            start, step = (float(modulo.get(k, d)) for k, d in (("Start", "0"), ("Step", "1")))
            labels = math.floor((float(modulo.get("End", "nan")) - start) / step + 1e-9) + 1
        at = names.index(axis)
        if labels < 1 or lengths[at] % labels:
            raise ValueError(f"its OME-XML divides {lengths[at]} places along {axis} by {labels}")
        names.insert(at + 1, "Q")
        lengths[at] //= labels
        lengths.insert(at + 1, labels)
    return "".join(names), tuple(lengths)


def _calibration(
    pixels: ElementTree.Element, channels: list[ElementTree.Element]
) -> tuple[dict[str, float], str | None, Metadata]:
    spacing: dict[str, float] = {}
    units: dict[str, str] = {}
    for axis in "ZYX":
        step = positive(pixels.get(f"PhysicalSize{axis}"))
        # The schema's default unit is the micrometre.
        unit = unit_name(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        if step is not None and unit is not None:
            spacing[axis], units[axis] = step, unit
    spacing, common = common_unit(spacing, units)
    origin, common = _position(pixels, common)
    displays = tuple(Display(_color(channel.get("Color"))) for channel in channels)
    step = positive(pixels.get("TimeIncrement"))
    time = time_name(pixels.get("TimeIncrementUnit", "s"))
    timed = step is not None and time is not None
    metadata = Metadata(
        origin,
        None,
        step if timed else None,
        time if timed else None,
        displays if any(display.color for display in displays) else None,
    )
    return spacing, common, metadata


def _position(pixels: ElementTree.Element, unit: str | None) -> tuple[dict[str, float], str | None]:
    """Return the position of the first plane and its unit: `unit` unless that is None.

    Positions in the schema's default unit, the reference frame, are ignored.
    """
    for plane in pixels.findall("{*}Plane"):
        if any(count(plane, f"The{axis}", 0) for axis in "ZCT"):
            continue
        positions: dict[str, float | None] = {}
        for axis in "XYZ":
            position = number(plane.get(f"Position{axis}"))
            own_unit = unit_name(plane.get(f"Position{axis}Unit"))
            if position is not None and own_unit is not None:
                unit = unit or own_unit
                positions[axis] = convert(position, own_unit, unit)
        return known(positions), unit
    return {}, unit


def _plane_positions(pixels: ElementTree.Element) -> Iterator[PlanePosition]:
    for plane in pixels.iterfind("{*}Plane[@PositionZ]"):
        try:
            time, channel, z = (count(plane, f"The{axis}", 0) for axis in "TCZ")
        except ValueError:
            time, channel, z = -1, -1, -1  # none of the image's: positions say nothing
        place, unit = plane.get("PositionZ"), plane.get("PositionZUnit")
        yield PlanePosition(time, channel, z, place, unit)


def _color(text: str | None) -> str | None:
    """Return RRGGBB for OME's colour, a signed integer of red, green, blue and alpha."""
    if text is None or not re.fullmatch(r"\s*-?\d{1,10}\s*", text) or int(text) == _NO_COLOR:
        return None
    return f"{(int(text) >> 8) & 0xFFFFFF:06X}"
