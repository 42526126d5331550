"""Voxels as other libraries read them, to compare with what isoslice reads."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import Volume

Voxels = NDArray[Any]


def compare(path: Path, volume: Volume) -> str:
    """Say whether another library reads the same voxels: the same numbers, however they are laid.

    Numbers are compared sorted, so that orders of axes do not matter; shapes without those.
    """
    try:
        theirs = voxels(path)
    except LookupError as error:
        return f"yes ({error})"
    except Exception as error:
        return f"yes (not compared: {type(error).__name__})"
    ours = np.asarray(volume.data)
    if sorted(n for n in ours.shape if n > 1) != sorted(n for n in theirs.shape if n > 1):
        shape = "×".join(map(str, theirs.shape))
        return f"other shape elsewhere: {shape}"
    a, b = (np.sort(each.astype(np.float64), axis=None) for each in (ours, theirs))
    return "same" if np.allclose(a, b, rtol=1e-5, equal_nan=True) else "other voxels elsewhere"


def voxels(path: Path) -> Voxels:
    """Read the voxels of an image by the library of its format, without axes of length 1.

    Raises
    ------
    LookupError
        If there is no independent library for it here.
    """
    name = path.name.lower()
    if path.is_dir():
        return np.squeeze(_folder(path))
    if name.endswith((".tif", ".tiff", ".lsm")):
        return np.squeeze(_tiff(path))
    if name.endswith(".h5"):
        import h5py

        with h5py.File(path) as file:
            return np.squeeze(file["raw"][...])
    if name.endswith(".nd2"):
        import nd2

        return np.squeeze(nd2.imread(path))
    if name.endswith((".nii", ".nii.gz", ".hdr", ".mgz", ".mnc", ".par", ".head", ".img")):
        import nibabel

        return np.squeeze(np.asarray(nibabel.load(path).dataobj))  # type: ignore[attr-defined]
    if name.endswith((".mrc", ".map", ".rec", ".map.gz", ".map.bz2")):
        import mrcfile

        return np.squeeze(mrcfile.read(path))
    if name.endswith((".nrrd", ".nhdr", ".mha", ".mhd", ".dcm")):
        import SimpleITK

        return np.squeeze(SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))))
    if name.endswith((".png", ".jpg", ".bmp")):
        import imageio.v3 as iio

        return np.squeeze(iio.imread(path))
    if name.endswith(".npy"):
        return np.squeeze(np.load(path))
    raise LookupError("no other library here")


def _tiff(path: Path) -> Voxels:
    """Read a TIFF's first series; of a plane that names a companion file, all planes beside it."""
    import tifffile

    with tifffile.TiffFile(path) as tif:
        told = tif.pages.first.description or ""
    if "BinaryOnly" not in told:
        return np.asarray(tifffile.imread(path, series=0, level=0))
    stem = re.sub(r"\d+", "*", path.name)
    files = sorted(path.parent.glob(stem))
    return np.stack([tifffile.imread(file, key=0) for file in files])


def _folder(path: Path) -> Voxels:
    if any((path / mark).exists() for mark in ("zarr.json", ".zgroup", ".zattrs", ".zarray")):
        import zarr

        node: Any = zarr.open(path, mode="r")
        while not isinstance(node, zarr.Array):
            node = node["0"]
        return np.asarray(node[...])
    files = sorted(p for p in path.iterdir() if p.is_file() and not p.name.startswith("."))
    if files[0].suffix.lower() == ".dcm":
        import SimpleITK

        reader = SimpleITK.ImageSeriesReader()
        reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(path)))
        return np.asarray(SimpleITK.GetArrayFromImage(reader.Execute()))
    return np.stack([voxels(file) for file in files])
