"""Orientation in files: directions in LPS (DICOM, ITK), affine matrices in RAS (NIfTI)."""

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
_ROUNDING = 1e-5


def valid_affine(matrix: ArrayLike) -> Matrix | None:
    """Return a 4 x 4 matrix if it is a valid affine: finite and not singular; else None."""
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
    """Return the orientation of voxels from the vectors between neighbours.

    Parameters
    ----------
    steps
        Vectors from voxel to voxel along X, Y and Z, one row each.
    first
        Position of the first voxel's centre.
    signs
        Signs that turn their coordinates into RAS.
    code
        NIfTI's code of the space.

    Returns
    -------
    Orientation or None
        With a qform where steps are perpendicular, as a qform has no shear. None where steps are
        not finite or lie in a plane.
    """
    matrix = np.eye(4)
    matrix[:3, :3] = np.asarray(steps, np.float64).T
    matrix[:3, 3] = first
    matrix[:3] *= np.asarray(signs)[:, None]
    affine = valid_affine(matrix)
    if affine is None:
        return None
    if _perpendicular(matrix[:3, :3]):
        return Orientation(affine, affine, code, code)
    return Orientation(affine, None, code, 0)


def stored_affine(volume: Volume, ratio: float, signs: Sequence[float]) -> NDArray[np.float64]:
    """Return the affine (4, 4) of a volume as a format stores it, lengths times `ratio`.

    Its columns are as long as the spacing where that is known: the matrices of some files differ.
    Without an orientation, the axes are those of the space, from the origin where known.
    """
    orientation = volume.metadata.orientation
    matrix = np.eye(4)
    if orientation is not None and orientation.affine is not None:
        matrix[:] = orientation.affine
        matrix[:3] *= np.asarray(signs)[:, None]
        for axis, length in spacing_of_affine(orientation).items():
            step = volume.spacing.get(axis, length)
            if not math.isclose(step, length, rel_tol=1e-4):
                matrix[:3, "XYZ".index(axis)] *= step / length
    else:
        for index, axis in enumerate("XYZ"):
            matrix[index, index] = volume.spacing.get(axis, 1.0 / ratio)
            matrix[index, 3] = volume.metadata.origin.get(axis, 0.0)
    matrix[:3] *= ratio
    return matrix


def position_of(
    orientation: Orientation | None, unit: str | None, note: Note | None, signs: Sequence[float]
) -> Metadata:
    """Tell a real orientation from one that `stored_affine` wrote as the format requires one.

    Parameters
    ----------
    orientation
        The file's, lengths in `unit`.
    unit
        The file's unit.
    note
        isoslice's note in the file, if there is one.
    signs
        As passed to `stored_affine`.

    Returns
    -------
    Metadata
        With an orientation or an origin, in `unit`.
    """
    if note is None or orientation is None or orientation.affine is None:
        return Metadata(orientation=orientation)
    noted = metadata_from_json(note.get("metadata"))
    matrix = np.array(orientation.affine) * [[s] for s in (*signs, 1.0)]
    diagonal = np.abs(matrix[:3, :3] - np.diag(np.diag(matrix)[:3])).max() == 0
    if noted.orientation is not None or not diagonal or (np.diag(matrix) <= 0).any():
        return Metadata(orientation=orientation)
    known = note["unit"] in METRES and unit in METRES
    ratio = convert(1.0, str(note["unit"]), str(unit)) if known else 1.0
    origin = {}
    for index, axis in enumerate("XYZ"):
        position, exact = float(matrix[index, 3]), noted.origin.get(axis, 0.0) * ratio
        rounded = math.isclose(position, exact, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
        if not rounded and axis not in noted.origin:
            return Metadata(orientation=orientation)  # another program moved it
        if axis in noted.origin:
            origin[axis] = exact if rounded else position
    return Metadata(origin=origin)


def time_step_of(step: float | None, unit: str | None, note: Note | None) -> tuple[Any, Any]:
    """Return a file's time between frames and its unit, None where unknown or as noted.

    Programs that know no time write 1 without a unit; the note has the unit too.
    """
    if step is None or unit is not None:
        return step, unit
    noted = None if note is None else metadata_from_json(note.get("metadata")).time_step
    if step == 1.0 or (noted is not None and math.isclose(step, noted, rel_tol=_ROUNDING)):
        return None, None
    return step, None


def metadata_of(
    orientation: Orientation | None,
    unit: str | None,
    note: Note | None,
    signs: Sequence[float],
    time: tuple[float | None, str | None],
) -> Metadata:
    """Return position and time of a file; see `position_of` and `time_step_of`."""
    position = position_of(orientation, unit, note, signs)
    return Metadata(position.origin, position.orientation, *time_step_of(*time, note))


def spacing_of_affine(orientation: Orientation | None) -> Mapping[str, float]:
    """Return the spacing along X, Y and Z by the affine; empty without one."""
    if orientation is None or orientation.affine is None:
        return {}
    lengths = np.linalg.norm(np.array(orientation.affine)[:3, :3], axis=0)
    return {axis: float(n) for axis, n in zip("XYZ", lengths, strict=True)}


def _perpendicular(steps: NDArray[np.float64]) -> bool:
    unit = steps / np.linalg.norm(steps, axis=0)
    return bool(np.abs(unit.T @ unit - np.eye(3)).max() < 1e-4)
