"""Where voxels lie, between formats: directions in LPS (DICOM, ITK) and matrices in RAS (NIfTI)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from isoslice.data.metadata import Matrix, Metadata, Orientation, as_matrix
from isoslice.data.units import METRES, convert
from isoslice.data.volume import Volume
from isoslice.io.metadata_json import metadata_from_json
from isoslice.io.notes import Note

#: LPS coordinates rise to the patient's left and back, RAS ones to the right and front.
LPS = (-1.0, -1.0, 1.0)
RAS = (1.0, 1.0, 1.0)
_ROUNDED = 1e-5


def usable(matrix: ArrayLike) -> Matrix | None:
    """Return a 4 x 4 matrix if it maps voxels to places: finite, and not flat; else None."""
    values = np.asarray(matrix, np.float64)
    if values.shape != (4, 4) or not np.isfinite(values).all() or np.abs(values).max() > 1e30:
        return None
    lengths = np.linalg.norm(values[:3, :3], axis=0)
    if not lengths.all() or abs(np.linalg.det(values[:3, :3] / lengths)) < 1e-6:
        return None
    values[3] = 0, 0, 0, 1
    return as_matrix(values.tolist())


def orientation_of(
    steps: ArrayLike, first: Sequence[float], signs: Sequence[float] = LPS, code: int = 1
) -> Orientation | None:
    """Return the orientation of voxels whose places a file gives by steps.

    Parameters
    ----------
    steps
        Steps from voxel to voxel along X, Y and Z, one row each.
    first
        Place of the first voxel's centre.
    signs
        What turns their coordinates into RAS.
    code
        NIfTI's code of the space.

    Returns
    -------
    Orientation or None
        With a qform too where steps are perpendicular, as a qform has no shear. None where steps
        are not finite or lie in a plane.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(steps, np.float64).T
    matrix[:3, 3] = first
    matrix[:3] *= np.asarray(signs)[:, None]
    affine = usable(matrix)
    if affine is None:
        return None
    if _perpendicular(matrix[:3, :3]):
        return Orientation(affine, affine, code, code)
    return Orientation(affine, None, code, 0)


def placed(volume: Volume, ratio: float, signs: Sequence[float]) -> NDArray[np.float64]:
    """Return the matrix (4, 4) that a format stores of a volume, lengths times `ratio`.

    Steps are as long as the spacing where it is known: there are files whose matrix tells another
    one. Without an orientation, axes point along the space's own, from the origin where known.
    """
    orientation = volume.metadata.orientation
    matrix = np.eye(4)
    if orientation is not None and orientation.affine is not None:
        matrix[:] = orientation.affine
        matrix[:3] *= np.asarray(signs)[:, None]
        for axis, length in steps_of(orientation).items():
            step = volume.spacing.get(axis, length)
            if not math.isclose(step, length, rel_tol=1e-4):
                matrix[:3, "XYZ".index(axis)] *= step / length
    else:
        for index, axis in enumerate("XYZ"):
            matrix[index, index] = volume.spacing.get(axis, 1.0 / ratio)
            matrix[index, 3] = volume.metadata.origin.get(axis, 0.0)
    matrix[:3] *= ratio
    return matrix


def told_place(
    orientation: Orientation | None, unit: str | None, note: Note | None, signs: Sequence[float]
) -> Metadata:
    """Tell an orientation from axes that `placed` wrote because the format demands some.

    Parameters
    ----------
    orientation
        What the file says, lengths in `unit`.
    unit
        The file's unit.
    note
        What isoslice noted in the file, if it wrote it.
    signs
        Those that `placed` got.

    Returns
    -------
    Metadata
        An orientation or an origin, in `unit`.
    """
    if note is None or orientation is None or orientation.affine is None:
        return Metadata(orientation=orientation)
    noted = metadata_from_json(note.get("metadata"))
    matrix = np.array(orientation.affine) * [[s] for s in (*signs, 1.0)]
    straight = np.abs(matrix[:3, :3] - np.diag(np.diag(matrix)[:3])).max() == 0
    if noted.orientation is not None or not straight or (np.diag(matrix) <= 0).any():
        return Metadata(orientation=orientation)
    known = note["unit"] in METRES and unit in METRES
    ratio = convert(1.0, str(note["unit"]), str(unit)) if known else 1.0
    origin = {}
    for index, axis in enumerate("XYZ"):
        place, exact = float(matrix[index, 3]), noted.origin.get(axis, 0.0) * ratio
        rounded = math.isclose(place, exact, rel_tol=_ROUNDED, abs_tol=_ROUNDED)
        if not rounded and axis not in noted.origin:
            return Metadata(orientation=orientation)  # somebody moved it since
        if axis in noted.origin:
            origin[axis] = exact if rounded else place
    return Metadata(origin=origin)


def told_time(step: float | None, unit: str | None, note: Note | None) -> tuple[Any, Any]:
    """Return a file's time between frames; None where the note says the same and its unit too.

    Programs that know no time write 1 without a unit.
    """
    if step is None or unit is not None:
        return step, unit
    noted = None if note is None else metadata_from_json(note.get("metadata")).time_step
    if step == 1.0 or (noted is not None and math.isclose(step, noted, rel_tol=_ROUNDED)):
        return None, None
    return step, None


def told(
    orientation: Orientation | None,
    unit: str | None,
    note: Note | None,
    signs: Sequence[float],
    time: tuple[float | None, str | None],
) -> Metadata:
    """Tell place, as `told_place` does, and time: a step and its unit, as `told_time` does."""
    place = told_place(orientation, unit, note, signs)
    return Metadata(place.origin, place.orientation, *told_time(*time, note))


def steps_of(orientation: Orientation | None) -> Mapping[str, float]:
    """Return the spacing along X, Y and Z that a matrix tells; empty without one."""
    if orientation is None or orientation.affine is None:
        return {}
    lengths = np.linalg.norm(np.array(orientation.affine)[:3, :3], axis=0)
    return {axis: float(n) for axis, n in zip("XYZ", lengths, strict=True)}


def _perpendicular(steps: NDArray[np.float64]) -> bool:
    unit = steps / np.linalg.norm(steps, axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() < 1e-4)
