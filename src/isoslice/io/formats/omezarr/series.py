"""Which images a Zarr folder or archive holds: one, series, wells of a plate, bare arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

import numpy as np

from isoslice.errors import DataError
from isoslice.io.formats.omezarr.axes import axis_letter, listed_axes
from isoslice.io.formats.omezarr.contents import Contents, inner_path
from isoslice.io.formats.omezarr.json_values import as_list, as_object, as_objects
from isoslice.io.limits import MAX_JSON, MAX_XML, parse_json
from isoslice.io.series import Series

#: Images that are listed.
MAX_IMAGES = 20_000
#: Groups without metadata of OME-Zarr are looked through so deep.
_DEEPEST = 3
LAYOUT, LABEL = "bioformats2raw.layout", "image-label"


@dataclass(frozen=True)
class Node:
    """A group or an array, as its metadata have it.

    Attributes
    ----------
    is_array
        Which of the two.
    attributes
        All of them.
    array
        What is said of an array's voxels; empty for a group.
    version
        Of the Zarr format, 2 or 3.
    """

    is_array: bool
    attributes: Mapping[str, Any]
    array: Mapping[str, Any]
    version: int

    @property
    def ome(self) -> Mapping[str, Any]:
        """The attributes that OME-Zarr defines, wherever its version has them."""
        if "ome" not in self.attributes:
            return self.attributes
        return as_object(self.attributes["ome"], "attribute ome")


@dataclass(frozen=True)
class ListedImage:
    """One image.

    Attributes
    ----------
    path
        Of its group or array, within the root.
    entry
        Which of the group's multiscales; None for a bare array.
    series
        What is known of it.
    is_labels
        Whether its voxels are numbers of objects.
    """

    path: str
    entry: int | None
    series: Series
    is_labels: bool = False


def read_node(contents: Contents, place: str) -> Node | None:
    """Read the metadata of a group or an array, or return None where there is neither.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    start = f"{place}/" if place else ""

    def read(name: str) -> Mapping[str, Any] | None:
        content = contents.content(start + name, MAX_JSON)
        return None if content is None else as_object(parse_json(content), name)

    metadata = read("zarr.json")
    if metadata is not None:
        is_array = metadata.get("node_type") == "array"
        attributes = as_object(metadata.get("attributes"), "attributes")
        return Node(is_array, attributes, metadata if is_array else {}, 3)
    array, said, group = (read(name) for name in (".zarray", ".zattrs", ".zgroup"))
    if array is said is group is None:
        return None
    return Node(array is not None, said or {}, array or {}, 2)


def find_images(contents: Contents, root: Node) -> list[ListedImage]:
    """List the images of a folder or archive, in the order of its metadata.

    Those of `multiscales`, of ``bioformats2raw.layout``, of plates and wells, of a group of labels;
    where there are none of these, all images and arrays that are found in it.

    Raises
    ------
    ValueError
        If metadata are damaged, or list more than `MAX_IMAGES`.
    """
    if root.is_array:
        return [ListedImage("", None, _of_array(None, root))]
    if "multiscales" in root.ome:
        return list(_multiscales(contents, "", root, None))
    if "plate" in root.ome or "well" in root.ome or LAYOUT in root.ome:
        places = _listed(contents, root)
    elif "labels" in root.ome:
        labels = as_list(root.ome["labels"], "list of labels")
        places = [(inner_path(label), None) for label in labels]
    else:
        searched = list(_searched(contents, "", root))
        # Beside images of OME-Zarr, bare arrays are tables and such.
        bare = all(is_array for _, is_array in searched)
        places = [(place, None) for place, is_array in searched if bare or not is_array]
    images: list[ListedImage] = []
    for place, name in places:
        images += _described(contents, place, name)
        if len(images) > MAX_IMAGES:
            raise ValueError(f"it lists more than {MAX_IMAGES} images")
    return images


def number_of(images: Sequence[ListedImage], asked: str | None) -> str | None:
    """Replace the path of an image by its number, so that it can be asked for by that too."""
    paths = [image.path for image in images]
    named = any(image.series.name == asked for image in images)
    if asked is None or named or asked.isdecimal() or paths.count(asked) != 1:
        return asked
    return str(paths.index(asked))


def _listed(contents: Contents, root: Node) -> list[tuple[str, str | None]]:
    """Return the paths of images that metadata list, with their names."""
    ome = root.ome
    beside = read_node(contents, "OME") if LAYOUT in ome else None
    if beside is not None and "series" in beside.ome:
        paths = [inner_path(path) for path in as_list(beside.ome["series"], "list of series")]
    elif "plate" in ome:
        paths = _wells(contents, ome["plate"])
    elif "well" in ome:
        paths = _fields("", ome["well"])
    else:
        paths = sorted((c for c in contents.children("") if c.isdecimal()), key=int)
    names = _names(contents) if LAYOUT in ome else []
    if len(names) != len(paths) or len(set(names)) != len(names):
        return [(path, None) for path in paths]
    return list(zip(paths, names, strict=True))


def _wells(contents: Contents, plate: object) -> list[str]:
    paths: list[str] = []
    for well in as_objects(as_object(plate, "plate").get("wells"), "list of wells"):
        place = inner_path(well.get("path"))
        node = read_node(contents, place)
        if node is not None:
            paths += _fields(f"{place}/", node.ome.get("well"))
        if len(paths) > MAX_IMAGES:
            raise ValueError(f"it lists more than {MAX_IMAGES} images")
    return paths


def _fields(start: str, well: object) -> list[str]:
    images = as_objects(as_object(well, "well").get("images"), "list of images")
    return [start + inner_path(image.get("path")) for image in images]


def _names(contents: Contents) -> list[str]:
    """Return the names of images in the OME-XML that bioformats2raw leaves."""
    content = contents.content("OME/METADATA.ome.xml", MAX_XML)
    if content is None:
        return []
    text = content.decode("utf-8", errors="replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("its OME-XML declares a document type, expected none")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError:
        return []  # it has names only
    images = [e for e in root if str(e.tag).rpartition("}")[2] == "Image"]
    names = [str(image.get("Name") or "") for image in images]
    return names if all(names) else []


def _searched(
    contents: Contents, place: str, node: Node, depth: int = 0
) -> Iterator[tuple[str, bool]]:
    """Look for images, and arrays of two dimensions or more, where no metadata say where they are.

    Yields the path of each, and whether it is a bare array.
    """
    if node.is_array:
        shape = node.array.get("shape")
        if isinstance(shape, list) and len(shape) > 1:
            yield place, True
        return
    if "multiscales" in node.ome:
        yield place, False
        return
    if depth == _DEEPEST:
        return
    children = contents.children(place)
    for child in sorted(children, key=lambda name: (not name.isdecimal(), len(name), name)):
        inner = f"{place}/{child}" if place else child
        try:
            inner_node = read_node(contents, inner)
        except (DataError, ValueError):
            inner_node = None  # whatever it is, no image that can be read
        if inner_node is not None:
            yield from _searched(contents, inner, inner_node, depth + 1)


def _described(contents: Contents, place: str, name: str | None) -> list[ListedImage]:
    """Describe the images of a group, or a bare array; that it is damaged is told when read."""
    try:
        node = read_node(contents, place)
        if node is not None and node.is_array:
            return [ListedImage(place, None, _of_array(name or place, node))]
        if node is not None and "multiscales" in node.ome:
            return list(_multiscales(contents, place, node, name or place))
    except (DataError, ValueError):
        pass
    return [ListedImage(place, 0, Series(name or place, "", (), "not readable"))]


def _multiscales(
    contents: Contents, place: str, node: Node, name: str | None
) -> Iterator[ListedImage]:
    entries = as_objects(node.ome.get("multiscales"), "list of multiscales")
    if not entries:
        raise ValueError("its list of multiscales is empty, expected an image")
    for number, entry in enumerate(entries[:MAX_IMAGES]):
        own = entry.get("name")
        called = str(own) if isinstance(own, str) and own else None
        if name is not None:
            called = name if len(entries) == 1 else f"{name}/{called or number}"
        yield ListedImage(
            place, number, _of_entry(contents, place, entry, called), LABEL in node.ome
        )


def _of_entry(contents: Contents, place: str, entry: Mapping[str, Any], name: str | None) -> Series:
    axes = "".join(axis_letter(axis) for axis in listed_axes(entry))
    datasets = as_objects(entry.get("datasets"), "list of datasets")
    node = None
    if datasets:
        inner = inner_path(datasets[0].get("path"))
        node = read_node(contents, f"{place}/{inner}" if place else inner)
    return _series(name, axes, {} if node is None else node.array)


def _of_array(name: str | None, node: Node) -> Series:
    axes = "".join(axis_letter(axis) for axis in dimension_names(node))
    return _series(name, axes, node.array)


def dimension_names(node: Node) -> list[str]:
    """Return the names that a bare array's metadata give its dimensions; ``?`` for none."""
    shape = as_list(node.array.get("shape"), "shape")
    said = node.array.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")  # xarray
    names = as_list(said, "list of dimension names")
    return [str(name or "?") for name in names or [None] * len(shape)]


def _series(name: str | None, axes: str, array: Mapping[str, Any]) -> Series:
    shape = as_list(array.get("shape"), "shape")
    dtype = array.get("dtype", array.get("data_type"))
    try:
        kind = np.dtype(str(dtype)).name
    except (TypeError, ValueError, SyntaxError):
        kind = f"{dtype:.20}" if isinstance(dtype, str) else "unknown"
    return Series(name, axes, tuple(n for n in shape if isinstance(n, int)), kind)
