"""Images in a Zarr folder or archive: one, series, wells of a plate, bare arrays."""

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

#: Most images in a folder or archive.
MAX_IMAGES = 20_000
#: Depth to which groups without OME-Zarr metadata are searched.
_MAX_DEPTH = 3
_LAYOUT_KEY, _LABEL_KEY = "bioformats2raw.layout", "image-label"


@dataclass(frozen=True)
class Node:
    """Metadata of a group or an array.

    Attributes
    ----------
    is_array
        Whether it is an array.
    attributes
        User attributes.
    array
        Metadata of an array's voxels; empty for a group.
    version
        Version of the Zarr format, 2 or 3.
    """

    is_array: bool
    attributes: Mapping[str, Any]
    array: Mapping[str, Any]
    version: int

    @property
    def ome(self) -> Mapping[str, Any]:
        """Attributes of OME-Zarr, wherever its version stores them."""
        if "ome" not in self.attributes:
            return self.attributes
        return as_object(self.attributes["ome"], "attribute ome")


@dataclass(frozen=True)
class ListedImage:
    """An image in the listing of a folder or archive.

    Attributes
    ----------
    path
        Path of its group or array within the root.
    entry
        Index in the group's multiscales; None for a bare array.
    series
        Its description.
    is_labels
        Whether its voxels are labels.
    """

    path: str
    entry: int | None
    series: Series
    is_labels: bool = False


def read_node(contents: Contents, path: str) -> Node | None:
    """Read the metadata of a group or an array, or return None where there is neither.

    Raises
    ------
    ValueError
        If the metadata are damaged.
    """
    prefix = f"{path}/" if path else ""

    def read(name: str) -> Mapping[str, Any] | None:
        content = contents.content(prefix + name, MAX_JSON)
        return None if content is None else as_object(parse_json(content), name)

    metadata = read("zarr.json")
    if metadata is not None:
        is_array = metadata.get("node_type") == "array"
        user = as_object(metadata.get("attributes"), "attributes")
        return Node(is_array, user, metadata if is_array else {}, 3)
    array, attributes, group = (read(name) for name in (".zarray", ".zattrs", ".zgroup"))
    if array is attributes is group is None:
        return None
    return Node(array is not None, attributes or {}, array or {}, 2)


def find_images(contents: Contents, root: Node) -> list[ListedImage]:
    """List the images of a folder or archive, in the order of its metadata.

    Images are listed by ``multiscales``, ``bioformats2raw.layout``, plates, wells and groups of
    labels; without any of these, all groups are searched for images and arrays.

    Raises
    ------
    ValueError
        If metadata are damaged, or list more than `MAX_IMAGES`.
    """
    if root.is_array:
        return [ListedImage("", None, _of_array(None, root))]
    if "multiscales" in root.ome:
        return list(_multiscales(contents, "", root, None))
    if "plate" in root.ome or "well" in root.ome or _LAYOUT_KEY in root.ome:
        paths = _listed(contents, root)
    elif "labels" in root.ome:
        labels = as_list(root.ome["labels"], "list of labels")
        paths = [(inner_path(label), None) for label in labels]
    else:
        searched = list(_searched(contents, "", root))
        # Bare arrays beside images of OME-Zarr are tables and the like.
        only_arrays = all(is_array for _, is_array in searched)
        paths = [(path, None) for path, is_array in searched if only_arrays or not is_array]
    images: list[ListedImage] = []
    for path, name in paths:
        images += _described(contents, path, name)
        if len(images) > MAX_IMAGES:
            raise ValueError(f"it lists more than {MAX_IMAGES} images")
    return images


def number_of(images: Sequence[ListedImage], requested: str | None) -> str | None:
    """Return a requested series with the path of an image replaced by its number."""
    paths = [image.path for image in images]
    named = any(image.series.name == requested for image in images)
    if requested is None or named or requested.isdecimal() or paths.count(requested) != 1:
        return requested
    return str(paths.index(requested))


def _listed(contents: Contents, root: Node) -> list[tuple[str, str | None]]:
    """Return paths and names of the images that the metadata list."""
    ome = root.ome
    ome_group = read_node(contents, "OME") if _LAYOUT_KEY in ome else None
    if ome_group is not None and "series" in ome_group.ome:
        paths = [inner_path(path) for path in as_list(ome_group.ome["series"], "list of series")]
    elif "plate" in ome:
        paths = _wells(contents, ome["plate"])
    elif "well" in ome:
        paths = _fields("", ome["well"])
    else:
        paths = sorted((c for c in contents.children("") if c.isdecimal()), key=int)
    names = _names(contents) if _LAYOUT_KEY in ome else []
    if len(names) != len(paths) or len(set(names)) != len(names):
        return [(path, None) for path in paths]
    return list(zip(paths, names, strict=True))


def _wells(contents: Contents, plate: object) -> list[str]:
    paths: list[str] = []
    for well in as_objects(as_object(plate, "plate").get("wells"), "list of wells"):
        path = inner_path(well.get("path"))
        node = read_node(contents, path)
        if node is not None:
            paths += _fields(f"{path}/", node.ome.get("well"))
        if len(paths) > MAX_IMAGES:
            raise ValueError(f"it lists more than {MAX_IMAGES} images")
    return paths


def _fields(start: str, well: object) -> list[str]:
    images = as_objects(as_object(well, "well").get("images"), "list of images")
    return [start + inner_path(image.get("path")) for image in images]


def _names(contents: Contents) -> list[str]:
    """Return the names of images in the OME-XML of bioformats2raw."""
    content = contents.content("OME/METADATA.ome.xml", MAX_XML)
    if content is None:
        return []
    text = content.decode("utf-8", errors="replace")
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("its OME-XML declares a document type, expected none")
    try:
        root = ElementTree.fromstring(text.encode())
    except ElementTree.ParseError:
        return []
    images = [e for e in root if str(e.tag).rpartition("}")[2] == "Image"]
    names = [str(image.get("Name") or "") for image in images]
    return names if all(names) else []


def _searched(
    contents: Contents, path: str, node: Node, depth: int = 0
) -> Iterator[tuple[str, bool]]:
    """Search groups for images, and for arrays of two or more dimensions.

    Yields the path of each, and whether it is a bare array.
    """
    if node.is_array:
        shape = node.array.get("shape")
        if isinstance(shape, list) and len(shape) > 1:
            yield path, True
        return
    if "multiscales" in node.ome:
        yield path, False
        return
    if depth == _MAX_DEPTH:
        return
    children = contents.children(path)
    for child in sorted(children, key=lambda name: (not name.isdecimal(), len(name), name)):
        inner = f"{path}/{child}" if path else child
        try:
            inner_node = read_node(contents, inner)
        except (DataError, ValueError):
            inner_node = None  # not a readable image
        if inner_node is not None:
            yield from _searched(contents, inner, inner_node, depth + 1)


def _described(contents: Contents, path: str, name: str | None) -> list[ListedImage]:
    """Describe the images of a group, or a bare array; damage is reported when it is read."""
    try:
        node = read_node(contents, path)
        if node is not None and node.is_array:
            return [ListedImage(path, None, _of_array(name or path, node))]
        if node is not None and "multiscales" in node.ome:
            return list(_multiscales(contents, path, node, name or path))
    except (DataError, ValueError):
        pass
    return [ListedImage(path, 0, Series(name or path, "", (), "not readable"))]


def _multiscales(
    contents: Contents, path: str, node: Node, name: str | None
) -> Iterator[ListedImage]:
    entries = as_objects(node.ome.get("multiscales"), "list of multiscales")
    if not entries:
        raise ValueError("its list of multiscales is empty, expected an image")
    for number, entry in enumerate(entries[:MAX_IMAGES]):
        entry_name = entry.get("name")
        called = str(entry_name) if isinstance(entry_name, str) and entry_name else None
        if name is not None:
            called = name if len(entries) == 1 else f"{name}/{called or number}"
        yield ListedImage(
            path, number, _of_entry(contents, path, entry, called), _LABEL_KEY in node.ome
        )


def _of_entry(contents: Contents, path: str, entry: Mapping[str, Any], name: str | None) -> Series:
    axes = "".join(axis_letter(axis) for axis in listed_axes(entry))
    datasets = as_objects(entry.get("datasets"), "list of datasets")
    node = None
    if datasets:
        inner = inner_path(datasets[0].get("path"))
        node = read_node(contents, f"{path}/{inner}" if path else inner)
    return _series(name, axes, {} if node is None else node.array)


def _of_array(name: str | None, node: Node) -> Series:
    axes = "".join(axis_letter(axis) for axis in dimension_names(node))
    return _series(name, axes, node.array)


def dimension_names(node: Node) -> list[str]:
    """Return the names of a bare array's dimensions, ``?`` for unnamed ones."""
    shape = as_list(node.array.get("shape"), "shape")
    listed = node.array.get("dimension_names") or node.attributes.get("_ARRAY_DIMENSIONS")  # xarray
    names = as_list(listed, "list of dimension names")
    return [str(name or "?") for name in names or [None] * len(shape)]


def _series(name: str | None, axes: str, array: Mapping[str, Any]) -> Series:
    shape = as_list(array.get("shape"), "shape")
    dtype = array.get("dtype", array.get("data_type"))
    try:
        kind = np.dtype(str(dtype)).name
    except (TypeError, ValueError, SyntaxError):
        kind = f"{dtype:.20}" if isinstance(dtype, str) else "unknown"
    return Series(name, axes, tuple(n for n in shape if isinstance(n, int)), kind)
