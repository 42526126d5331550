"""TIFF files as other programs write them, in the cases that users report."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

#: Nine planes, all different.
STACK = np.random.default_rng(0).integers(0, 256, (9, 24, 32), dtype=np.uint8)
_SCHEMA = "http://www.openmicroscopy.org/Schemas/OME/2016-06"


def uuid(number: int) -> str:
    """Return an invented UUID."""
    return f"urn:uuid:{number:08d}-0000-4000-8000-000000000000"


def ome_xml(images: str, own: str | None = None) -> str:
    """Return OME-XML around some images."""
    attribute = f' UUID="{own}"' if own else ""
    return f'<?xml version="1.0"?><OME xmlns="{_SCHEMA}"{attribute}>{images}</OME>'


def ome_image(
    number: int,
    planes: str,
    shape: tuple[int, ...] = STACK.shape,
    sizes: str = 'SizeC="1" SizeT="1"',
    extra: str = "",
    kind: str = "uint8",
) -> str:
    """Return one image of ZYX or more, whose planes are `planes` (TiffData)."""
    z, y, x = shape
    return (
        f'<Image ID="Image:{number}" Name="Pos{number}"><Pixels ID="Pixels:{number}" '
        f'DimensionOrder="XYZCT" Type="{kind}" SizeX="{x}" SizeY="{y}" SizeZ="{z}" {sizes} '
        f'PhysicalSizeX="1" PhysicalSizeY="1" PhysicalSizeZ="4" {extra}>'
        f'<Channel ID="Channel:{number}:0" SamplesPerPixel="1"/>{planes}</Pixels></Image>'
    )


def tiff_data(name: str | None, own: str, planes: int = 9, first: int = 0) -> str:
    """Return TiffData of planes that lie in a file, one by one."""
    holder = "" if name is None else f'<UUID FileName="{name}">{own}</UUID>'
    return "".join(
        f'<TiffData FirstZ="{first + z}" IFD="{z}" PlaneCount="1">{holder}</TiffData>'
        for z in range(planes)
    )


def write_pages(path: Path, data: np.ndarray, xml: str | None, **options: Any) -> Path:
    """Write a page per plane, with a description."""
    with tifffile.TiffWriter(path) as tif:
        for number, plane in enumerate(data):
            description = None if number or xml is None else xml.encode()
            tif.write(plane, description=description, metadata=None, contiguous=False, **options)
    return path


def write_positions(folder: Path, count: int = 2, verbatim: bool = False) -> list[Path]:
    """Write an image a file, each with the XML of all; `verbatim` gives all the first's UUID."""
    names = [f"Pos{i}.ome.tif" for i in range(count)]
    images = "".join(ome_image(i, tiff_data(names[i], uuid(i))) for i in range(count))
    return [
        write_pages(folder / names[i], position(i), ome_xml(images, uuid(0 if verbatim else i)))
        for i in range(count)
    ]


def position(number: int) -> np.ndarray:
    """Return the voxels of one of `write_positions`."""
    return STACK + np.uint8(50 * number)


def write_micromanager(path: Path, uuid_of_file: str | None = None, named: str = "") -> Path:
    """Write an OME-TIFF as Micro-Manager does: file names in the XML, its own tag beside it."""
    xml = ome_xml(ome_image(0, tiff_data(named or path.name, uuid(7))), uuid_of_file)
    with tifffile.TiffWriter(path) as tif:
        for number, plane in enumerate(STACK):
            first: dict[str, Any] = {"description": xml.encode()}
            first["extratags"] = [(51123, 2, 0, json.dumps({"Slices": 9}), True)]
            tif.write(plane, metadata=None, contiguous=False, **({} if number else first))
    return path


def write_companion(folder: Path) -> tuple[list[Path], Path]:
    """Write a plane a file, and the companion file that describes them."""
    names = [f"multi-Z{z}.ome.tiff" for z in range(3)]
    planes = "".join(tiff_data(name, uuid(z), 1, z) for z, name in enumerate(names))
    companion = folder / "multi.companion.ome"
    companion.write_text(ome_xml(ome_image(0, planes, (3, *STACK.shape[1:]))), encoding="utf-8")
    only = '<BinaryOnly MetadataFile="multi.companion.ome" UUID="urn:uuid:c"/>'
    files = [
        write_pages(folder / name, STACK[z : z + 1], ome_xml(only, uuid(z)))
        for z, name in enumerate(names)
    ]
    return files, companion


def write_signed(path: Path, data: np.ndarray, axes: str = "ZYX", **meta: Any) -> Path:
    """Write int16 as Fiji does: unsigned, with a calibration function."""
    stored = (data.astype(np.int32) + 32768).astype(np.uint16)
    calibration = {"cf": 0, "c0": -32768, "c1": 1, "vunit": "gray value"}
    tifffile.imwrite(path, stored, imagej=True, metadata={"axes": axes, **calibration, **meta})
    return path


def write_lsm(path: Path, data: np.ndarray, interval: float = 0.0, positions: int = 1) -> Path:
    """Write an LSM file: (T, Z, C, Y, X) with a thumbnail after each plane.

    With several positions, T is theirs, slowest first: (positions * T, Z, C, Y, X).
    """
    channels, height, width = data.shape[2:]
    shades = b"".join(bytes((255 * (c == 0), 255 * (c == 1), 0, 0)) for c in range(channels))
    names = b"".join(struct.pack("<I", 4) + b"Ch%d\0" % c for c in range(channels))
    size, end = 24 + len(shades) + len(names), 24 + len(shades)
    colors = struct.pack("<6I", size, channels, channels, 24, end, 0) + shades + names
    with tifffile.TiffWriter(path) as tif:
        for number, plane in enumerate(data.reshape(-1, channels, height, width)):
            extra: list[Any] = []
            if number == 0:
                extra = [(34412, 1, 512, _lsm_info(data.shape, interval, positions), True)]
            tif.write(
                plane,
                photometric="rgb" if channels == 3 else "minisblack",
                planarconfig="separate" if channels > 1 else None,
                metadata=None,
                extratags=extra,
                contiguous=False,
            )
            thumb = np.zeros((3, 4, 4), np.uint8)
            tif.write(
                thumb, photometric="rgb", planarconfig="separate", metadata=None, subfiletype=1
            )
    content = bytearray(path.read_bytes())
    at = content.index(struct.pack("<I", 67127628))
    # The offset of the channels' colours: they are put at the end of the file.
    struct.pack_into("<I", content, at + _COLORS, len(content))
    path.write_bytes(bytes(content) + colors)
    return path


#: Where CZ_LSMINFO has the offset of the channels' colours.
_COLORS = 108
#: Where it has the number of positions.
_POSITIONS = 264


def _lsm_info(shape: tuple[int, ...], interval: float, positions: int) -> bytes:
    frames, planes, channels, height, width = shape
    frames //= positions
    info = struct.pack("<Ii", 67127628, 512)
    info += struct.pack("<5i", width, height, planes, channels, frames)
    info += struct.pack("<3i", 1, 4, 4)
    info += struct.pack("<6d", 0.5e-6, 0.25e-6, 2e-6, 1e-5, 2e-5, 3e-5)
    info += struct.pack("<HHI", 6 if frames > 1 else 0, 0, 0)
    info = info.ljust(_COLORS, b"\0") + struct.pack("<Id", 0, interval)
    info = info.ljust(_POSITIONS, b"\0") + struct.pack("<ii", positions, 1)
    return info.ljust(512, b"\0")
