"""Metadata of an image beside axes and spacing: position, time, display, thickness and optics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

#: A 4 x 4 matrix, row by row.
Matrix = tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class Orientation:
    """Position of voxels in a scanner's or patient's space, as in NIfTI.

    Matrices map voxel indices (x, y, z, 1), named by the volume's axes, to coordinates that rise
    to the patient's right, front and head (RAS+), in the volume's unit. A code of 0 means that
    there is no such matrix; 1 is the scanner's space, 2 an aligned one, 3 Talairach's, 4 MNI's.
    """

    sform: Matrix | None = None
    qform: Matrix | None = None
    sform_code: int = 0
    qform_code: int = 0

    @property
    def affine(self) -> Matrix | None:
        """The matrix that programs use: the sform where there is one, else the qform."""
        if self.sform_code > 0 and self.sform is not None:
            return self.sform
        return self.qform if self.qform_code > 0 else None

    def scaled(self, steps: Mapping[str, float]) -> Orientation:
        """Multiply the spacing along X, Y and Z by `steps`; the first voxel keeps its position."""
        ratios = [steps.get(axis, 1.0) for axis in "XYZ"] + [1.0]

        def each(matrix: Matrix | None) -> Matrix | None:
            return None if matrix is None else _columns(matrix, ratios)

        return replace(self, sform=each(self.sform), qform=each(self.qform))

    def in_unit(self, ratio: float) -> Orientation:
        """Multiply all lengths by `ratio`: the same position in another unit."""

        def each(matrix: Matrix | None) -> Matrix | None:
            if matrix is None:
                return None
            rows = [tuple(value * ratio for value in row) for row in matrix[:3]]
            return as_matrix([*rows, matrix[3]])

        return replace(self, sform=each(self.sform), qform=each(self.qform))

    def renamed(self, names: Mapping[str, str]) -> Orientation:
        """Rename axes, as in ``{"Z": "X", "X": "Z"}``: columns of the matrices are permuted."""

        def each(matrix: Matrix | None) -> Matrix | None:
            if matrix is None:
                return None
            old = {new: before for before, new in names.items()}
            order = ["XYZ".index(old.get(axis, axis)) for axis in "XYZ"] + [3]
            return as_matrix([[row[i] for i in order] for row in matrix])

        return replace(self, sform=each(self.sform), qform=each(self.qform))


@dataclass(frozen=True)
class Display:
    """How a channel is shown.

    Attributes
    ----------
    color
        Colour of the brightest voxels, six hexadecimal digits RRGGBB, or None.
    window
        Intensities shown as black and as `color`, or None.
    lut
        Lookup table of 256 reds, 256 greens and 256 blues, where the colours are not a ramp from
        black to `color`.
    """

    color: str | None = None
    window: tuple[float, float] | None = None
    lut: bytes | None = None


#: Kinds of microscopes whose blur is known; ``other`` is one whose blur is not.
Microscope = Literal["widefield", "confocal", "other"]


@dataclass(frozen=True)
class Optics:
    """What a microscope's blur depends on, as far as it is known.

    Attributes
    ----------
    numerical_aperture
        Of the objective.
    refractive_index
        Of the medium between objective and specimen.
    emission
        Wavelength of each channel's light in nanometres, None where unknown; or None.
    microscope
        Its kind.
    """

    numerical_aperture: float | None = None
    refractive_index: float | None = None
    emission: tuple[float | None, ...] | None = None
    microscope: Microscope | None = None


@dataclass(frozen=True)
class Metadata:
    """Metadata beside axes, spacing and channel names.

    Attributes
    ----------
    origin
        Position of the first voxel's centre along those of Z, Y and X for which it is known, in
        the unit of the spacing: a stage or tile position.
    orientation
        Position of voxels in a scanner's space, or None.
    time_step, time_unit
        Time between frames, and its unit as OME spells it (``"second"``); None where unknown.
    displays
        One per channel, or None.
    time_start
        When the first frame was taken, in `time_unit`; None where unknown.
    slice_thickness
        Thickness of what a plane sees along Z, in the unit of the spacing; None where unknown.
    optics
        Of the microscope, or None.
    """

    origin: Mapping[str, float] = field(default_factory=dict)
    orientation: Orientation | None = None
    time_step: float | None = None
    time_unit: str | None = None
    displays: tuple[Display, ...] | None = None
    time_start: float | None = None
    slice_thickness: float | None = None
    optics: Optics | None = None

    def refined(self, axis: str, ratio: float) -> Metadata:
        """Return the metadata of a volume with `ratio` times the voxels along `axis`.

        The first plane is the first measured one, so the origin stays. How thick restored planes
        are is not known.
        """
        thickness = None if axis == "Z" else self.slice_thickness
        place = None if self.orientation is None else self.orientation.scaled({axis: 1 / ratio})
        return replace(self, orientation=place, slice_thickness=thickness)

    def renamed(self, names: Mapping[str, str]) -> Metadata:
        """Rename axes; see `Orientation.renamed`. A thickness is one along Z, or is dropped."""
        stays = names.get("Z", "Z") == "Z"
        return replace(
            self,
            slice_thickness=self.slice_thickness if stays else None,
            origin={names.get(axis, axis): position for axis, position in self.origin.items()},
            orientation=None if self.orientation is None else self.orientation.renamed(names),
        )

    def in_unit(self, ratio: float) -> Metadata:
        """Multiply all lengths by `ratio`: the same positions in another unit."""
        return replace(
            self,
            origin={axis: position * ratio for axis, position in self.origin.items()},
            orientation=None if self.orientation is None else self.orientation.in_unit(ratio),
            slice_thickness=None if self.slice_thickness is None else self.slice_thickness * ratio,
        )

    def of_channels(self, channels: Sequence[int]) -> Metadata:
        """Return the metadata of some channels."""
        return replace(
            self,
            displays=_of(self.displays, channels),
            optics=None
            if self.optics is None
            else replace(self.optics, emission=_of(self.optics.emission, channels)),
        )

    def with_channels(self, count: int) -> Metadata:
        """Drop what is known of each channel where it is not known of `count` of them."""
        emission = None if self.optics is None else self.optics.emission
        fits = [each is None or len(each) == count for each in (self.displays, emission)]
        return replace(
            self,
            displays=self.displays if fits[0] else None,
            optics=self.optics
            if self.optics is None or fits[1]
            else replace(self.optics, emission=None),
        )

    def later(self, frames: int) -> Metadata:
        """Return the metadata of an image that begins `frames` time points later."""
        if self.time_start is None or self.time_step is None:
            return self
        return replace(self, time_start=self.time_start + frames * self.time_step)


def _of(values: tuple[Any, ...] | None, channels: Sequence[int]) -> tuple[Any, ...] | None:
    """Return the values of some channels; None unless all are known."""
    if values is None or not all(0 <= c < len(values) for c in channels):
        return None
    return tuple(values[c] for c in channels)


def as_matrix(rows: Sequence[Sequence[float]]) -> Matrix:
    """Return a 4 x 4 matrix as tuples of plain numbers.

    Raises
    ------
    ValueError
        If it has another shape.
    """
    if len(rows) != 4 or any(len(row) != 4 for row in rows):
        raise ValueError("got a matrix of another shape, expected 4 x 4")
    return tuple((float(a), float(b), float(c), float(d)) for a, b, c, d in rows)


def _columns(matrix: Matrix, ratios: Sequence[float]) -> Matrix:
    return as_matrix([[v * r for v, r in zip(row, ratios, strict=True)] for row in matrix])
