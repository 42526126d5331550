"""Stacks of DICOM planes: grouped, and sorted by position."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoslice.data.z_positions import rounding_of, spacing_of
from isoslice.errors import DataError, warn

Point = tuple[float, float, float]
#: Planes closer than this are at the same position.
_SAME_POSITION_MM = 1e-3
#: Relative deviation from a whole number of spacings up to which a gap is one of missing planes.
_GAP_TOLERANCE = 0.05
#: Relative deviation from the spacing beyond which a distance is counted as another.
_EVEN_SHARE = 0.01
#: Angle between the planes' normal and the step from plane to plane that is warned of.
_MAX_TILT_DEGREES = 0.5


@dataclass(frozen=True)
class Plane:
    """One plane: a file, or a frame of a file.

    Attributes
    ----------
    path, frame
        File, and index of the frame in it.
    instance
        SOP instance UID, the same in copies of the file.
    series
        UID of its series.
    name
        Description of the series.
    size
        Rows, columns, samples per voxel.
    bits, signed
        Type of a stored sample.
    position
        Centre of the first voxel in LPS in millimetres, or None.
    directions
        Unit vectors along its rows (X) and along its columns (Y), or None.
    steps
        Spacing along Y and X in millimetres, or None.
    between
        Spacing between planes in the file, used where positions are unknown.
    order
        Sort key of planes at the same position.
    echo
        Echo time in milliseconds, or None.
    time_step
        Milliseconds between time points, or None.
    window
        Intensities shown as black and as white, or None.
    thickness
        Of what it sees, in millimetres, or None.
    """

    path: Path
    frame: int
    instance: str
    series: str
    name: str
    size: tuple[int, int, int]
    bits: int
    signed: bool
    position: Point | None
    directions: tuple[Point, Point] | None
    steps: tuple[float, float] | None
    between: float | None
    order: tuple[float, ...]
    echo: float | None
    time_step: float | None
    window: tuple[float, float] | None
    thickness: float | None = None


@dataclass(frozen=True)
class Stack:
    """A sorted stack.

    Attributes
    ----------
    planes
        By time point or echo, then from the first plane to the last.
    repeats
        Axis of several planes at each position, ``"T"`` or ``"C"``; empty for one.
    step
        Vector from plane to plane in LPS in millimetres, the median where these are uneven; None
        where positions are unknown.
    z_positions
        Of the planes along `step`, where they are uneven; see `Volume`.
    """

    planes: tuple[tuple[Plane, ...], ...]
    repeats: str
    step: Point | None
    z_positions: tuple[float, ...] | None = None

    @property
    def first(self) -> Plane:
        """The first plane."""
        return self.planes[0][0]


def stacks_of(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Group planes into stacks of one series, size and direction.

    A series may hold several stacks, such as localizers in three directions.
    """
    groups: dict[object, list[Plane]] = {}
    for plane in planes:
        directions = plane.directions
        rounded = None if directions is None else np.round(np.ravel(directions), 2).tolist()
        steps = None if plane.steps is None else tuple(round(s, 4) for s in plane.steps)
        groups.setdefault((plane.series, plane.size, str(rounded), steps), []).append(plane)
    return list(groups.values())


def ordered(planes: Sequence[Plane], source: str) -> Stack:
    """Sort the planes of a stack by position.

    Parameters
    ----------
    planes
        As `stacks_of` returns them.
    source
        The file or folder, for messages.

    Raises
    ------
    DataError
        If there are more images at one place than at another.
    """
    first = planes[0]
    if first.directions is None or any(plane.position is None for plane in planes):
        by_number = sorted(planes, key=lambda plane: plane.order)
        one_file = len({plane.path for plane in planes}) == 1
        if len(planes) > 1 and one_file and first.between is None:
            return Stack(tuple((plane,) for plane in by_number), "T", None)  # a film
        return Stack((tuple(by_number),), "", None)
    normal = np.cross(*first.directions)
    offsets = [float(np.dot(normal, _point(plane))) for plane in planes]
    levels: list[list[Plane]] = []
    last = -math.inf
    for index in sorted(range(len(planes)), key=lambda i: (offsets[i], planes[i].order)):
        if offsets[index] - last > _SAME_POSITION_MM:
            levels.append([])
        levels[-1].append(planes[index])
        last = offsets[index]
    counts = {len(level) for level in levels}
    if len(counts) > 1:
        raise DataError(
            f"{source}: got from {min(counts)} to {max(counts)} images at a place, expected the "
            "same number at each of the "
            f"{len(levels)} places; give the files of one volume in a folder of their own"
        )
    heights = [float(np.dot(normal, _point(level[0]))) for level in levels]
    step, places = None, None
    if len(levels) > 1:
        whole = _point(levels[-1][0]) - _point(levels[0][0])
        _check_tilt(whole, normal, source)
        length = float(np.linalg.norm(whole))
        # Along the way from the first plane to the last, that planes of a tilted gantry take.
        along = np.subtract(heights, heights[0]) * (length / (heights[-1] - heights[0]))
        spacing, places = spacing_of(along.tolist(), _rounding(planes, normal))
        if places is not None:
            _tell_gaps(levels, heights, source)
        step = _vector(whole / length * spacing)
    repeats = ""
    if counts != {1}:
        echoes = [plane.echo for plane in levels[0]]
        repeats = "C" if None not in echoes and len(set(echoes)) == len(echoes) else "T"
        levels = [sorted(level, key=lambda p: _time_or_echo(p, repeats)) for level in levels]
        what = "channels, one an echo" if repeats == "C" else "time points, by their numbers"
        warn(f"{source}: holds {len(echoes)} images at each place, taken as {what}")
    return Stack(tuple(zip(*levels, strict=True)), repeats, step, places)


def _rounding(planes: Sequence[Plane], normal: NDArray[np.float64]) -> float:
    """Return to what positions along the normal may have been rounded: their last digits."""
    points = np.array([plane.position for plane in planes])
    digits = [rounding_of(column.tolist()) for column in points.T]
    return float(np.abs(normal) @ np.array(digits))


def _vector(numbers: NDArray[np.float64]) -> Point:
    x, y, z = numbers.tolist()
    return x, y, z


def _time_or_echo(plane: Plane, repeats: str) -> tuple[float, ...]:
    return (plane.echo or 0.0, *plane.order) if repeats == "C" else plane.order


def _point(plane: Plane) -> NDArray[np.float64]:
    return np.array(plane.position, np.float64)


def _tell_gaps(levels: Sequence[Sequence[Plane]], heights: Sequence[float], source: str) -> None:
    """Warn of planes that are unevenly spaced, naming the largest deviation."""
    gaps = np.diff(heights)
    # The median: gaps over missing planes are the minority.
    typical = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - typical)))
    ratio = float(gaps[worst]) / typical
    missing = round(ratio) >= 2 and abs(ratio - round(ratio)) < _GAP_TOLERANCE * ratio
    problem = f"{round(ratio) - 1} plane(s) missing" if missing else "an uneven distance"
    advice = ", or copy the missing files" if missing else ""
    others = int(np.count_nonzero(np.abs(gaps - typical) > _EVEN_SHARE * typical)) - 1
    more = f", and at {others} other place(s) distances differ, too" if others > 0 else ""
    warn(
        f"{source}: {problem} between {levels[worst][0].path.name} and "
        f"{levels[worst + 1][0].path.name} (at {heights[worst]:g} and {heights[worst + 1]:g} mm, "
        f"where most are {typical:g} mm apart){more}: planes are taken where the files say that "
        f"they lie; give other places with --positions{advice}"
    )


def _check_tilt(step: NDArray[np.float64], normal: NDArray[np.float64], source: str) -> None:
    """Warn where planes are sheared against each other."""
    lengths = float(np.linalg.norm(step)) * float(np.linalg.norm(normal))
    angle = math.degrees(math.acos(max(-1.0, min(1.0, float(np.dot(step, normal)) / lengths))))
    if angle > _MAX_TILT_DEGREES:
        warn(
            f"{source}: planes are shifted against each other (a tilt of {angle:.1f} degrees, as "
            "of a CT's gantry); the volume keeps that shear, which ITK (3D Slicer, ITK-SNAP) "
            "refuses in NIfTI and programs that know none show distorted: straighten the result "
            "(docs/reference/formats.md, DICOM)"
        )
