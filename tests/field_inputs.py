"""Files like those that people bring, each written by the library of its format."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import tifffile
from scipy.ndimage import gaussian_filter

#: A coarse stack: 9 planes of 64 x 64, unlike each other, four times as far apart as pixels.
NOISE = np.random.default_rng(0).normal(size=(9, 64, 64))
STACK = (128 + 300 * gaussian_filter(NOISE, (0, 2, 2))).clip(1, 255).astype(np.uint8)
#: Affine of a scanner whose rows run to the left and to the back.
LPS = np.array([[-0.7, 0, 0, 90], [0, -0.7, 0, 120], [0, 0, 2.8, -300], [0, 0, 0, 1.0]])


def imagej(path: Path, stack: np.ndarray = STACK, axes: str = "ZYX", **metadata: object) -> Path:
    """Write an ImageJ hyperstack of 4 x 1 x 1 µm."""
    told = {"axes": axes, "spacing": 4.0, "unit": "um", **metadata}
    tifffile.imwrite(path, stack, imagej=True, resolution=(1, 1), metadata=told)
    return path


def nifti(path: Path, stack: np.ndarray, affine: np.ndarray, unit: str = "mm") -> Path:
    """Write a NIfTI image of a stack (Z, Y, X), or (T, Z, Y, X)."""
    import nibabel

    image = nibabel.Nifti1Image(stack.transpose(np.r_[np.arange(stack.ndim)[::-1]]), affine)
    image.header.set_xyzt_units(unit, "sec")
    nibabel.save(image, path)
    return path


def positions(folder: Path) -> list[Path]:
    """Write two positions as OME-TIFF, each file with the XML of both."""
    names = ["Pos0.ome.tif", "Pos1.ome.tif"]
    pixels = (
        '<Image ID="Image:{0}" Name="position {0}"><Pixels ID="Pixels:{0}" DimensionOrder="XYZCT" '
        'Type="uint8" SizeX="64" SizeY="64" SizeZ="9" SizeC="1" SizeT="1" PhysicalSizeX="1" '
        'PhysicalSizeY="1" PhysicalSizeZ="4"><Channel ID="Channel:{0}:0"/>{1}</Pixels></Image>'
    )

    def planes(number: int) -> str:
        uuid = f"urn:uuid:0000000{number}-0000-4000-8000-000000000000"
        return "".join(
            f'<TiffData FirstZ="{z}" IFD="{z}" PlaneCount="1"><UUID FileName="{names[number]}">'
            f"{uuid}</UUID></TiffData>"
            for z in range(9)
        )

    paths = []
    for number, stack in enumerate((STACK, 255 - STACK)):
        head = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:0000000{number}-0000-4000-8000-000000000000">'
        )
        xml = head + pixels.format(0, planes(0)) + pixels.format(1, planes(1)) + "</OME>"
        paths.append(folder / names[number])
        with tifffile.TiffWriter(paths[-1]) as writer:
            for z, plane in enumerate(stack):
                told = None if z else xml
                writer.write(plane, description=told, metadata=None, contiguous=False)
    return paths


def two_series(path: Path) -> Path:
    """Write an OME-TIFF with an overview and a stack."""
    with tifffile.TiffWriter(path, ome=True) as writer:
        for stack, step, name in ((STACK[:2, :16, :16], 2, "overview"), (STACK, 1, "stack")):
            writer.write(
                stack,
                metadata={
                    "axes": "ZYX",
                    "PhysicalSizeX": step,
                    "PhysicalSizeY": step,
                    "PhysicalSizeZ": 4 * step,
                    "Name": name,
                },
            )
    return path


def planes(folder: Path, suffix: str = ".tif") -> Path:
    """Write the stack's planes as files whose numbers have no leading zeros."""
    import imageio.v3 as iio

    folder.mkdir()
    # Ten and more: their names do not sort as their numbers do.
    for z, plane in enumerate(STACK, start=3):
        if suffix == ".tif":
            tifffile.imwrite(folder / f"plane_{z}.tif", plane)
        else:
            iio.imwrite(folder / f"plane_{z}{suffix}", plane)
    return folder


def tile(path: Path) -> Path:
    """Write an OME-Zarr 0.4 tile with its place, time step, colour and window."""
    import zarr

    group = zarr.open_group(path, mode="w", zarr_format=2)
    group.create_array("0", data=np.stack([STACK, STACK])[:, None], chunks=(1, 1, 9, 64, 64))
    space = [{"name": n, "type": "space", "unit": "micrometer"} for n in "zyx"]
    axes = [{"name": "t", "type": "time", "unit": "second"}, {"name": "c", "type": "channel"}]
    group.attrs["multiscales"] = [
        {
            "version": "0.4",
            "axes": axes + space,
            "datasets": [
                {
                    "path": "0",
                    "coordinateTransformations": [
                        {"type": "scale", "scale": [30, 1, 4, 1, 1]},
                        {"type": "translation", "translation": [0, 0, 400, 1000, 2000]},
                    ],
                }
            ],
        }
    ]
    window = {"start": 10, "end": 240, "min": 0, "max": 255}
    group.attrs["omero"] = {
        "channels": [{"label": "GFP", "color": "00FF00", "active": True, "window": window}]
    }
    return path
