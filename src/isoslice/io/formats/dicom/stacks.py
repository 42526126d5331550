"""DICOM planes put in order: which belong together, where they lie, and whether one is missing."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, IsosliceWarning

Point = tuple[float, float, float]
#: Planes this near to each other, in millimetres, lie at one place.
_SAME = 1e-3
#: Gaps that differ more than this from the others are none of the same stack; than this, are told.
_UNEVEN, _ROUGH = 0.05, 0.01
#: Degrees between the planes' normal and the way from plane to plane.
_TILTED = 0.5


@dataclass(frozen=True)
class Plane:
    """One plane: a file, or a frame of one.

    Attributes
    ----------
    path, frame
        File, and number of the frame in it.
    instance
        UID of the file's content, the same in copies of it.
    series
        UID of its series.
    name
        What the series is called.
    size
        Rows, columns, samples a voxel.
    bits, signed
        Of a stored sample.
    position
        Centre of its first voxel in millimetres, in LPS, or None.
    directions
        Unit vectors along its rows (X) and along its columns (Y), or None.
    steps
        Distance between voxels along Y and along X in millimetres, or None.
    between
        Distance to the next plane as the file tells it, where positions do not.
    order
        What planes at the same place are ordered by.
    echo
        Echo time in milliseconds, or None.
    time_step
        Milliseconds between time points, or None.
    window
        Intensities shown as black and as white, or None.
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


@dataclass(frozen=True)
class Stack:
    """Planes in order.

    Attributes
    ----------
    planes
        By time point or echo, then from the first plane to the last.
    repeats
        ``"T"`` or ``"C"``: what there are several of at each place; empty for one.
    step
        From plane to plane in millimetres, in LPS; None where positions are not known.
    """

    planes: tuple[tuple[Plane, ...], ...]
    repeats: str
    step: Point | None

    @property
    def first(self) -> Plane:
        """The plane that lies first."""
        return self.planes[0][0]


def stacks_of(planes: Sequence[Plane]) -> list[list[Plane]]:
    """Sort planes into stacks: of one series, one size and one direction each.

    A series may hold several, as scouts do, which cut in three directions.
    """
    groups: dict[object, list[Plane]] = {}
    for plane in planes:
        directions = plane.directions
        turned = None if directions is None else np.round(np.ravel(directions), 2).tolist()
        steps = None if plane.steps is None else tuple(round(s, 4) for s in plane.steps)
        groups.setdefault((plane.series, plane.size, str(turned), steps), []).append(plane)
    return list(groups.values())


def ordered(planes: Sequence[Plane], source: str) -> Stack:
    """Put the planes of a stack in order.

    Parameters
    ----------
    planes
        As `stacks_of` returns them.
    source
        The file or folder, for messages.

    Raises
    ------
    DataError
        If planes are missing or lie unevenly.
    """
    first = planes[0]
    if first.directions is None or any(plane.position is None for plane in planes):
        queue = sorted(planes, key=lambda plane: plane.order)
        if len(queue) > 1 and len({plane.path for plane in queue}) == 1 and first.between is None:
            return Stack(tuple((plane,) for plane in queue), "T", None)  # a film
        return Stack((tuple(queue),), "", None)
    normal = np.cross(*first.directions)
    places = [float(np.dot(normal, _point(plane))) for plane in planes]
    levels: list[list[Plane]] = []
    last = -math.inf
    for index in sorted(range(len(planes)), key=lambda i: (places[i], planes[i].order)):
        if places[index] - last > _SAME:
            levels.append([])
        levels[-1].append(planes[index])
        last = places[index]
    counts = {len(level) for level in levels}
    if len(counts) > 1:
        raise DataError(
            f"{source}: got from {min(counts)} to {max(counts)} images at a place, expected the "
            "same number at each of the "
            f"{len(levels)} places; give the files of one volume in a folder of their own"
        )
    heights = [float(np.dot(normal, _point(level[0]))) for level in levels]
    _check_gaps(levels, heights, source)
    step = None
    if len(levels) > 1:
        way = (_point(levels[-1][0]) - _point(levels[0][0])) / (len(levels) - 1)
        _check_tilt(way, normal, source)
        step = (float(way[0]), float(way[1]), float(way[2]))
    repeats = ""
    if counts != {1}:
        echoes = [plane.echo for plane in levels[0]]
        repeats = "C" if None not in echoes and len(set(echoes)) == len(echoes) else "T"
        levels = [sorted(level, key=lambda p: _moment(p, repeats)) for level in levels]
        what = "channels, one an echo" if repeats == "C" else "time points, by their numbers"
        warnings.warn(
            f"{source}: holds {len(echoes)} images at each place, taken as {what}",
            IsosliceWarning,
            stacklevel=2,
        )
    return Stack(tuple(zip(*levels, strict=True)), repeats, step)


def _moment(plane: Plane, repeats: str) -> tuple[float, ...]:
    return (plane.echo or 0.0, *plane.order) if repeats == "C" else plane.order


def _point(plane: Plane) -> NDArray[np.float64]:
    return np.array(plane.position, np.float64)


def _check_gaps(levels: Sequence[Sequence[Plane]], heights: Sequence[float], source: str) -> None:
    """Raise or warn where planes do not lie evenly."""
    gaps = np.diff(heights)
    if len(gaps) < 2:
        return
    # Half of the gaps are at most this long: those over missing planes are the fewer.
    typical = float(np.median(gaps))
    worst = int(np.argmax(np.abs(gaps - typical)))
    error = abs(float(gaps[worst]) - typical) / typical
    if error > _UNEVEN:
        ratio = float(gaps[worst]) / typical
        missing = round(ratio) >= 2 and abs(ratio - round(ratio)) < _UNEVEN * ratio
        problem = f"{round(ratio) - 1} plane(s) missing" if missing else "an uneven distance"
        advice = "copy the missing files" if missing else "resample them evenly, as dcm2niix does"
        raise DataError(
            f"{source}: got {problem} between {levels[worst][0].path.name} and "
            f"{levels[worst + 1][0].path.name} (at {heights[worst]:g} and {heights[worst + 1]:g} "
            f"mm, where most are {typical:g} mm apart), expected evenly spaced planes; {advice}, "
            "or give the planes of one side in a folder of their own"
        )
    if error > _ROUGH:
        warnings.warn(
            f"{source}: distances between planes differ by up to {100 * error:.1f}%, taken as even",
            IsosliceWarning,
            stacklevel=2,
        )


def _check_tilt(way: NDArray[np.float64], normal: NDArray[np.float64], source: str) -> None:
    """Say where planes are shifted against each other."""
    lengths = float(np.linalg.norm(way)) * float(np.linalg.norm(normal))
    angle = math.degrees(math.acos(max(-1.0, min(1.0, float(np.dot(way, normal)) / lengths))))
    if angle > _TILTED:
        warnings.warn(
            f"{source}: planes are shifted against each other (a tilt of {angle:.1f} degrees, as "
            "of a CT's gantry); the volume keeps that shear, and programs that know none show it "
            "distorted",
            IsosliceWarning,
            stacklevel=2,
        )
