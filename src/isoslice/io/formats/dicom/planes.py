"""Planes of a DICOM file, described by its data elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from isoslice.errors import DataError
from isoslice.io.decode_errors import reading
from isoslice.io.formats.dicom.header import Elements, read_elements
from isoslice.io.formats.dicom.stacks import Plane, Point
from isoslice.io.limits import check_packed

_SEGMENTATION = "1.2.840.10008.5.1.4.1.1.66.4"
#: Elements of frames: see `Elements.of_frames`.
_IMAGE_ORIENTATION, _PIXEL_SPACING = (0x0020, 0x0037), (0x0028, 0x0030)
_SPACING_BETWEEN_SLICES, _EFFECTIVE_ECHO_TIME = (0x0018, 0x0088), (0x0018, 0x9082)
_SLICE_THICKNESS = (0x0018, 0x0050)
#: Largest compression ratio, of empty planes by JPEG and its relatives.
_MAX_RATIO = 2**16


def planes_of(path: Path) -> list[Plane]:
    """Return a file's planes; none if it holds no image.

    Raises
    ------
    DataError
        If it is damaged, or holds a segmentation or a mosaic.
    """
    with reading(path, "a DICOM file"):
        elements = read_elements(path)
        if elements.stored == 0:
            return []
        _check_kind(path, elements)
        return _frames(path, elements)


def _check_kind(path: Path, elements: Elements) -> None:
    """Refuse images that are not planes of intensities.

    Raises
    ------
    DataError
        For segmentations and mosaics.
    """
    if elements.text(0x0008, 0x0016) == _SEGMENTATION or elements.number(0x0028, 0x0100) == 1:
        raise DataError(
            f"{path}: got a segmentation, whose labels must not be interpolated, expected an "
            "image; give the image that it was made from"
        )
    if "MOSAIC" in elements.text(0x0008, 0x0008).split("\\"):
        raise DataError(
            f"{path}: got a mosaic, a whole volume in one picture, expected a plane a file; "
            "convert it with dcm2niix and give the .nii.gz"
        )


def _frames(path: Path, elements: Elements) -> list[Plane]:
    size = (
        elements.number(0x0028, 0x0010),
        elements.number(0x0028, 0x0011),
        elements.number(0x0028, 0x0002, 1),
    )
    bits = elements.number(0x0028, 0x0100)
    frames = int((elements.floats(0x0028, 0x0008) or [1.0])[0])
    if not (min(size) > 0 and bits in (8, 16, 32) and 0 < frames < 2**24):
        raise ValueError(f"it declares {frames} frames of the size {size} and {bits} bits")
    if elements.is_big_endian and bits == 32:
        raise ValueError("its 32-bit voxels are big-endian, which GDCM misreads; use dcmconv +te")
    declared = frames * size[0] * size[1] * size[2] * bits // 8
    if elements.is_native:
        # Subsampled colours (YBR 4:2:2) take about half.
        shared = 2 if "422" in elements.text(0x0028, 0x0004) else 1
        check_packed(path, declared, elements.stored * shared)
    check_packed(path, declared, elements.stored, _MAX_RATIO)
    _check_scaling(path, elements)
    series = elements.text(0x0020, 0x000E)
    # A file of several frames is a volume or a film by itself, a series of its own.
    own_series = elements.text(0x0008, 0x0018) if frames > 1 else ""
    return [
        Plane(
            path,
            frame,
            elements.text(0x0008, 0x0018),
            series + own_series,
            elements.text(0x0008, 0x103E) or series or path.name,
            size,
            bits,
            elements.number(0x0028, 0x0103) == 1,
            position,
            _directions(elements, frame, frames),
            _steps(elements, frame, frames),
            _positive(
                elements.floats(0x0018, 0x0088)
                or _of_frame(elements, _SPACING_BETWEEN_SLICES, frame, frames)
            ),
            (*_number(elements, 0x0020, 0x0100), *_number(elements, 0x0020, 0x0013), float(frame)),
            _positive(
                elements.floats(0x0018, 0x0081)
                or _of_frame(elements, _EFFECTIVE_ECHO_TIME, frame, frames)
            ),
            _positive(elements.floats(0x0018, 0x1063) or elements.floats(0x0020, 0x0110)),
            _window(elements),
            _positive(
                elements.floats(0x0018, 0x0050)
                or _of_frame(elements, _SLICE_THICKNESS, frame, frames)
            ),
        )
        for frame, position in enumerate(_positions(elements, frames))
    ]


def _check_scaling(path: Path, elements: Elements) -> None:
    """Refuse frames with different scales of intensity, which SimpleITK ignores.

    Raises
    ------
    DataError
        If slope or intercept differ between frames.
    """
    for group, element in ((0x0028, 0x1052), (0x0028, 0x1053)):
        if len({tuple(value) for value in elements.of_frames(group, element)}) > 1:
            raise DataError(
                f"{path}: got frames whose values are scaled each in its own way, expected one "
                "scale; convert it with dcm2niix and give the .nii.gz"
            )


def _of_frame(elements: Elements, tag: tuple[int, int], frame: int, frames: int) -> list[float]:
    """Return the numbers of an element that is stored once per frame, or once for all."""
    values = elements.of_frames(*tag)
    if len(values) == frames:
        return values[frame]
    return values[0] if len(values) == 1 else []


def _positions(elements: Elements, frames: int) -> list[Point | None]:
    """Return the position of every frame, None where unknown."""
    position = _finite(elements.floats(0x0020, 0x0032), 3)
    if frames == 1 and position:
        return [_point(position)]
    values = [_finite(value, 3) for value in elements.of_frames(0x0020, 0x0032)]
    if len(values) == frames and all(values):
        return [_point(value) for value in values]
    # A dose grid (RT Dose) has the offsets of its planes from the first one.
    offsets = _finite(elements.floats(0x3004, 0x000C), frames)
    directions = _directions(elements, 0, frames)
    if position and offsets and directions is not None:
        normal = np.cross(*directions)
        return [_point((np.array(position) + o * normal).tolist()) for o in offsets]
    return [None] * frames


def _directions(elements: Elements, frame: int, frames: int) -> tuple[Point, Point] | None:
    cosines = elements.floats(0x0020, 0x0037) or _of_frame(
        elements, _IMAGE_ORIENTATION, frame, frames
    )
    numbers = _finite(cosines, 6)
    if not numbers:
        return None
    x, y = np.array(numbers[:3]), np.array(numbers[3:])
    # Unit vectors, perpendicular up to rounding.
    if abs(np.dot(x, x) - 1) > 0.01 or abs(np.dot(y, y) - 1) > 0.01 or abs(np.dot(x, y)) > 0.01:
        return None
    return _point((x / np.linalg.norm(x)).tolist()), _point((y / np.linalg.norm(y)).tolist())


def _steps(elements: Elements, frame: int, frames: int) -> tuple[float, float] | None:
    """Return the spacing along Y and X, in the patient or else at the detector."""
    values = (
        elements.floats(0x0028, 0x0030)
        or _of_frame(elements, _PIXEL_SPACING, frame, frames)
        or elements.floats(0x0018, 0x1164)
    )
    numbers = _finite(values, 2)
    return (numbers[0], numbers[1]) if numbers and min(numbers) > 0 else None


def _window(elements: Elements) -> tuple[float, float] | None:
    center, width = elements.floats(0x0028, 0x1050), elements.floats(0x0028, 0x1051)
    if not (center and width and math.isfinite(center[0]) and 0 < width[0] < math.inf):
        return None
    return center[0] - width[0] / 2, center[0] + width[0] / 2


def _number(elements: Elements, group: int, element: int) -> tuple[float]:
    values = elements.floats(group, element)
    return (values[0] if values and math.isfinite(values[0]) else 0.0,)


def _positive(numbers: Sequence[float]) -> float | None:
    return numbers[0] if numbers and 0 < numbers[0] < math.inf else None


def _finite(numbers: Sequence[float], count: int) -> list[float]:
    """Return `numbers` if there are `count`, all below 1e9 in size, else an empty list."""
    fits = len(numbers) == count and all(abs(number) < 1e9 for number in numbers)
    return list(numbers) if fits else []


def _point(numbers: Sequence[float]) -> Point:
    x, y, z = numbers
    return float(x), float(y), float(z)
