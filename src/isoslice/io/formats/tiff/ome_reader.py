"""Reading images of an OME-TIFF from all files that hold their planes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from isoslice.io.decoded import Raw
from isoslice.io.formats.tiff.files import Opened, find_holders, nothing_here, own_holders
from isoslice.io.formats.tiff.integrity import TruncatedTiffError, check_chain
from isoslice.io.formats.tiff.limits import UNUSED_KINDS, check_other
from isoslice.io.formats.tiff.noted import with_noted
from isoslice.io.formats.tiff.ome import OmeImage, ome_images
from isoslice.io.formats.tiff.ome_xml import Source, followed
from isoslice.io.formats.tiff.pages import PlaneReader
from isoslice.io.notes import noted_axes
from isoslice.io.series import Series, choose_series

if TYPE_CHECKING:
    from tifffile import TiffFile

#: NumPy's names of OME's voxel types, where they differ.
_DTYPES = {"float": "float32", "double": "float64", "bit": "bool"}


class OpenedOme(NamedTuple):
    """The opened file with its OME-XML.

    Attributes
    ----------
    path
        The file.
    source
        The OME-XML in it.
    tif
        The file, open; None for a companion file.
    """

    path: Path
    source: Source
    tif: TiffFile | None


def read_ome(ome: OpenedOme, requested: str | None) -> Raw | None:
    """Read an image, whose planes may lie in several files.

    Only images of the OME-XML with planes in the opened file can be chosen.

    Returns
    -------
    None if the OME-XML describes no image in TIFF files.

    Raises
    ------
    DataError
        If no image has planes in the opened file, or files or planes are missing.
    """
    path, source, tif = ome
    xml = followed(source)
    images = ome_images(xml.root)
    if not images:
        return None
    pages = 0 if tif is None else len(tif.pages)
    opened = Opened(path, pages, source.uuid, xml.path, xml.uuid)
    owned = own_holders(images, opened)
    here = [i for i in images if tif is None or any(h in owned for h in i.holders)]
    if not here:
        raise nothing_here(images, opened)
    listed: tuple[Series, ...] = ()
    chosen = 0
    if len(here) > 1 or requested is not None:
        listed = tuple(_listed(image) for image in here)
        chosen = choose_series(path, listed, requested)
    image = here[chosen]
    if (missing := int((image.places[:, 0] < 0).sum())) > 0:
        raise TruncatedTiffError(f"{missing} of {len(image.places)} planes are missing")
    data, axes = _voxels(image, find_holders(image, owned, opened), ome)
    if image.note is not None and "S" not in axes and set(axes) <= set("TCZYX"):
        # TIFF loses axes of length 1, which the note has.
        shape, axes = noted_axes(data.shape, axes, image.note["axes"])
        data = data.reshape(shape)
    return Raw(
        data,
        axes,
        image.spacing,
        image.unit,
        image.channel_names,
        image.note,
        with_noted(image.metadata, image.note),
        listed,
        chosen,
        z_positions=image.z_positions,
    )


def _voxels(image: OmeImage, files: Mapping[int, Path], ome: OpenedOme) -> tuple[Any, str]:
    """Return the voxels and their axes, without axes of length 1 other than Y and X."""
    import tifffile

    reader = PlaneReader(image.shape, ome.path)
    by_file: dict[Path, list[int]] = {}
    for number, holder in enumerate(image.places[:, 0].tolist()):
        by_file.setdefault(files[holder], []).append(number)
    for path, numbers in by_file.items():
        pages = image.places[numbers, 1].tolist()
        if ome.tif is not None and path == ome.path:
            reader.add(ome.tif, numbers, pages)
            continue
        with path.open("rb") as stream:
            check_chain(stream, check_other(path))
        with tifffile.TiffFile(path, **UNUSED_KINDS) as tif:
            reader.add(tif, numbers, pages)
    page_shape, page_axes = reader.page
    sizes = dict(zip(page_axes, page_shape, strict=True))
    size = sizes["Y"], sizes["X"]
    if size != image.size or sizes.get("S", 1) != image.samples:
        raise ValueError(
            f"its planes have {size[0]} x {size[1]} pixels of {sizes.get('S', 1)} samples, "
            f"expected {image.size[0]} x {image.size[1]} of {image.samples} as in its OME-XML"
        )
    data = reader.voxels()
    axes = image.axes + page_axes
    kept = [i for i, n in enumerate(data.shape) if n > 1 or axes[i] in "YX"]
    return data.reshape([data.shape[i] for i in kept]), "".join(axes[i] for i in kept)


def _listed(image: OmeImage) -> Series:
    kept = [i for i, n in enumerate(image.shape) if n > 1]
    axes = "".join(image.axes[i] for i in kept) + "YX"
    shape = (*(image.shape[i] for i in kept), *image.size)
    if image.samples > 1:
        axes, shape = axes + "S", (*shape, image.samples)
    return Series(image.name, axes, shape, _DTYPES.get(image.dtype, image.dtype))
