"""Reading DICOM, a folder of planes or one file, through SimpleITK (an extra)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.metadata import Display, Metadata
from isoslice.errors import DataError, warn
from isoslice.io.decode_errors import reading
from isoslice.io.decoded import Raw
from isoslice.io.extras import require
from isoslice.io.formats.dicom.folders import folders_below
from isoslice.io.formats.dicom.header import dicom_files
from isoslice.io.formats.dicom.planes import planes_of
from isoslice.io.formats.dicom.stacks import Plane, Stack, ordered, stacks_of
from isoslice.io.limits import check_memory
from isoslice.io.orientation import orientation_of
from isoslice.io.series import Series, choose_series


def read_dicom(path: Path, series: str | None = None) -> Raw:
    """Read a series: of a folder the largest by default, of a file the one it belongs to.

    Planes are sorted by position, which gives the spacing along Z, and where they are unevenly
    spaced their places; that is told. A single file is read with the
    files of its series beside it. Intensities are rescaled (to Hounsfield units and the like);
    integers stay integers. Planes at the same position are time points, or channels if their echo
    times differ.

    Raises
    ------
    DataError
        If SimpleITK is not installed, a file is damaged, or planes are not of one volume.
    """
    sitk = require("SimpleITK", "SimpleITK", "a DICOM file", path=path)
    planes = _planes(path)
    stacks = stacks_of(_unique(planes))
    listed = [_listed(stack) for stack in stacks]
    largest = max(range(len(stacks)), key=lambda number: len(stacks[number]))
    chosen = choose_series(path, listed, series, largest)
    stack = ordered(stacks[chosen], str(path))
    data, axes = _voxels(path, sitk, stack)
    return _described(data, axes, stack, tuple(listed), chosen)


def _unique(planes: Sequence[Plane]) -> list[Plane]:
    """Drop planes of copied files."""
    kept: dict[object, Plane] = {}
    for plane in planes:
        kept.setdefault((plane.instance or plane.path, plane.frame), plane)
    return list(kept.values())


def _planes(path: Path) -> list[Plane]:
    """Return the planes of a folder, or of a file and its series beside it."""
    if not path.is_dir():
        planes = planes_of(path)
        if not planes:
            raise DataError(
                f"{path}: got a DICOM file without an image, expected one with pixels; "
                + _where(path.parent, "give the files or the folder of the images")
            )
        if len(planes) > 1:
            return planes
        series_uid = planes[0].series
        beside = [p for inner in dicom_files(path.parent) if inner != path for p in _sibling(inner)]
        rest = [plane for plane in beside if plane.series == series_uid]
        if rest and series_uid:
            warn(f"{path}: is one of {1 + len(rest)} planes of its series, read all of them")
            planes += rest
        return planes
    planes = [plane for inner in dicom_files(path) for plane in planes_of(inner)]
    if not planes:
        raise DataError(
            f"{path}: got a folder whose DICOM files hold no image, expected planes; "
            + _where(path, "give the folder that holds them")
        )
    return planes


def _where(folder: Path, otherwise: str) -> str:
    """Advise to read one of the folders below, where any holds DICOM files."""
    below = folders_below(folder)
    return f"give one of the folders below, {below}" if below else otherwise


def _sibling(path: Path) -> list[Plane]:
    """Return the planes of a file beside the given one; none if it is damaged."""
    try:
        return planes_of(path)
    except DataError:
        return []


def _listed(planes: Sequence[Plane]) -> Series:
    """Describe a stack before it is read."""
    first = planes[0]
    rows, columns, samples = first.size
    kind = ("int" if first.signed else "uint") + str(first.bits)
    shape = (len(planes), rows, columns) + ((samples,) if samples > 1 else ())
    return Series(first.name, "ZYXC"[: len(shape)], shape, kind)


def _voxels(path: Path, sitk: ModuleType, stack: Stack) -> tuple[NDArray[Any], str]:
    """Decode a stack to (T or C, Z, Y, X, S), without axes of length 1 before Y, and its axes."""
    first = stack.first
    count, depth = len(stack.planes), len(stack.planes[0])
    planes = [plane for repeat in stack.planes for plane in repeat]
    check_memory(path, (count * depth, *first.size), np.float32 if first.bits > 8 else np.int16)
    files: dict[Path, list[int]] = {}
    for index, plane in enumerate(planes):
        files.setdefault(plane.path, []).append(index)
    data: NDArray[Any] | None = None
    for file, indices in files.items():
        with reading(file, "a DICOM image"):
            decoded = _decoded(sitk, file, planes[indices[0]])
            if data is None:
                data = np.zeros((len(planes), *decoded.shape[1:]), decoded.dtype)
            if decoded.shape[1:] != data.shape[1:]:
                raise ValueError(f"its planes have the shape {decoded.shape[1:]}, unlike others")
            kind = np.result_type(data, decoded)
            data = data.astype(kind, copy=False)
            for index in indices:
                data[index] = decoded[planes[index].frame]
    assert data is not None
    axes = "ZYX"
    if depth > 1 or count > 1:
        data = data.reshape(count, depth, *data.shape[1:])
        axes = (stack.repeats or "T") + axes
        kept = [i for i in (0, 1) if data.shape[i] > 1]
        axes = "".join(axes[i] for i in kept) + axes[2:]
        data = data.reshape(*[data.shape[i] for i in kept], *data.shape[2:])
    else:
        data, axes = data[0], "YX"
    return _narrowed(data, first.bits), axes + "S" * (data.ndim - len(axes))


def _decoded(sitk: ModuleType, path: Path, plane: Plane) -> NDArray[Any]:
    """Decode a file: frames, rows, columns, and samples where there are several."""
    before = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        reader = sitk.ImageFileReader()
        reader.SetImageIO("GDCMImageIO")
        reader.SetFileName(str(path))
        reader.ReadImageInformation()
        size = [int(n) for n in reader.GetSize()]
        if size[:2] != [plane.size[1], plane.size[0]] or reader.GetNumberOfComponents() > 4:
            raise ValueError(f"SimpleITK finds the size {size}, unlike its header")
        image = reader.Execute()
    except RuntimeError as error:
        # The message follows the last of these; before it are paths of SimpleITK's build.
        raise ValueError(str(error).rpartition("ITK ERROR: ")[2]) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(before)
    voxels: NDArray[Any] = sitk.GetArrayFromImage(image)
    if voxels.dtype == np.float64:  # rescaled by a fraction
        voxels = voxels.astype(np.float32)
    if image.GetDimension() == 2:
        voxels = voxels[None]
    if plane.frame >= len(voxels):
        raise ValueError(f"SimpleITK finds {len(voxels)} frames, fewer than its header declares")
    return voxels


def _narrowed(data: NDArray[Any], bits: int) -> NDArray[Any]:
    """Narrow integers that rescaling widened but that fit into 16 bits."""
    if data.dtype.kind in "iu" and data.dtype.itemsize == 4 and bits <= 16:
        for kind in (np.int16, np.uint16):
            if np.iinfo(kind).min <= data.min() and data.max() <= np.iinfo(kind).max:
                return data.astype(kind)
    return data


def _described(
    data: NDArray[Any], axes: str, stack: Stack, listed: tuple[Series, ...], chosen: int
) -> Raw:
    first = stack.first
    spacing: dict[str, float] = {}
    if first.steps is not None:
        spacing |= {"Y": first.steps[0], "X": first.steps[1]}
    if "Z" in axes:
        step = math.hypot(*stack.step) if stack.step is not None else first.between
        if step:
            spacing["Z"] = step
    orientation = None
    if first.directions is not None and first.position is not None and first.steps is not None:
        x, y = (np.array(direction) for direction in first.directions)
        z = np.cross(x, y) if stack.step is None else np.array(stack.step)
        rows = [x * first.steps[1], y * first.steps[0], z]
        orientation = orientation_of(rows, first.position)
    windows = {plane.window for repeat in stack.planes for plane in repeat}
    displays = None
    if len(windows) == 1 and first.window is not None and not set("CS") & set(axes):
        displays = (Display(window=first.window),)
    names = None
    if stack.repeats == "C":
        names = tuple(f"TE {repeat[0].echo:g} ms" for repeat in stack.planes)
    step = first.time_step if "T" in axes else None
    thicknesses = {plane.thickness for repeat in stack.planes for plane in repeat}
    metadata = Metadata(
        {},
        orientation,
        step,
        "millisecond" if step else None,
        displays,
        slice_thickness=first.thickness if len(thicknesses) == 1 else None,
    )
    unit = "millimeter" if spacing or orientation else None
    places = stack.z_positions if "Z" in axes else None
    return Raw(data, axes, spacing, unit, names, None, metadata, listed, chosen, z_positions=places)
