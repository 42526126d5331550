"""A report as data: its texts, volumes, tables and pictures, independent of layout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import VoxelSize
from isoslice.errors import DataError
from isoslice.evaluation.report.crop import Crop
from isoslice.evaluation.report.svg import Plot

#: Kind of a volume. `input`, `linear`, `restored`, `sample` and `truth` share one intensity window;
#: `uncertainty` and `error` share another, from 0, shown in colours.
Role = Literal["input", "linear", "restored", "sample", "truth", "uncertainty", "error"]
COLOURED = ("uncertainty", "error")
#: How the page computes a volume from others: nearest-neighbour or linear interpolation of the
#: measured planes of one; the absolute difference of two.
Operation = Literal["nearest", "linear", "difference"]


@dataclass(frozen=True)
class Derived:
    """How the page computes a volume from others, so that it need not embed its voxels.

    Attributes
    ----------
    by
        See `Operation`.
    of
        Names of the volumes used: two for a difference, else one.
    """

    by: Operation
    of: tuple[str, ...]


@dataclass(frozen=True)
class Layer:
    """One volume of a report.

    Attributes
    ----------
    name
        Its label, unique in the scene.
    role
        See `Role`.
    voxels
        Shape (Z, Y, X), finite.
    derived
        How the page computes it from others; None if its voxels are embedded.
    """

    name: str
    role: Role
    voxels: NDArray[Any]
    derived: Derived | None = None


@dataclass(frozen=True)
class Scene:
    """Volumes of the same region, on one output grid.

    Attributes
    ----------
    volumes
        In the order they are shown.
    voxel_size
        Spacing along Z, Y and X.
    unit
        Symbol of the unit, such as ``nm``; ``voxels`` where none is known.
    box, whole
        The part shown, and the shape (Z, Y, X) of the whole volume.
    factor
        Output planes per measured plane: those at multiples of it in the whole volume are
        measured. None where unknown, or where planes are not so even.
    lost
        Planes at such multiples, counted in the whole volume, that were lost in acquisition.
    band
        Label of the band around the restored profile, from the uncertainty.
    planes
        Planes marked as measured, counted in the whole volume, where there is no factor.
    ratio
        Output planes per measured plane there, about.
    points
        Whether planes that are marked were measured as they are; else measured planes, which are
        blurred, noisy or between output planes, lie there or nearby.
    towards
        Where Z, Y and X run to in a patient, such as ``("S", "P", "L")``; empty where unknown.
    """

    volumes: tuple[Layer, ...]
    voxel_size: VoxelSize
    unit: str
    box: Crop
    whole: tuple[int, int, int]
    factor: int | None = None
    band: str = "± 1 standard deviation"
    lost: tuple[int, ...] = ()
    planes: tuple[int, ...] = ()
    ratio: float | None = None
    points: bool = True
    towards: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check that volumes have unique names and fill the box."""
        names = [volume.name for volume in self.volumes]
        if not names or len(set(names)) < len(names):
            raise DataError(f"got volumes named {names}, expected one or more, each a name")
        for volume in self.volumes:
            if volume.voxels.shape != self.box.shape:
                raise DataError(
                    f"{volume.name}: got shape {volume.voxels.shape}, expected that of the part "
                    f"shown, {self.box.shape}; cut it to the same box"
                )
            if volume.derived and not set(volume.derived.of) < set(names):
                raise DataError(
                    f"{volume.name}: got {volume.derived.of}, expected names of {names}"
                )

    @property
    def known(self) -> tuple[int, ...]:
        """Measured planes, counted within the part shown; none where they are unknown."""
        start, depth = self.box.start[0], self.box.shape[0]
        if self.factor is None:
            return tuple(z - start for z in self.planes if start <= z < start + depth)
        measured = set(range(-start % self.factor, depth, self.factor))
        return tuple(sorted(measured - {z - start for z in self.lost}))

    @property
    def apart(self) -> float | None:
        """Output planes per measured plane, about; None where unknown."""
        return self.ratio if self.factor is None else self.factor

    def kind(self, volume: Layer) -> str:
        """Return the role of a volume, numbered from its second: ``restored``, ``restored-2``."""
        alike = [other.name for other in self.volumes if other.role == volume.role]
        number = alike.index(volume.name) + 1
        return volume.role if number == 1 else f"{volume.role}-{number}"

    def first(self, *roles: Role) -> Layer | None:
        """Return the first volume that has one of these roles, in their order; None if none has."""
        return next((v for role in roles for v in self.volumes if v.role == role), None)

    def cut(self, box: Crop) -> Scene:
        """Crop to `box`, counted in the whole volume."""
        inside = tuple(
            slice(new - old, new - old + n)
            for new, old, n in zip(box.start, self.box.start, box.shape, strict=True)
        )
        volumes = tuple(
            Layer(v.name, v.role, np.ascontiguousarray(v.voxels[inside]), v.derived)
            for v in self.volumes
        )
        return replace(self, volumes=volumes, box=box)


@dataclass(frozen=True)
class Table:
    """A table of texts; the first column names the row.

    Attributes
    ----------
    title, caption
        Heading, and notes for the reader.
    columns
        Heading of each column, the first one's included.
    rows
        One text for each column; without rows, only the plot is shown.
    plot
        Curves of the same numbers, drawn above.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    plot: Plot | None = None


@dataclass(frozen=True)
class Advice:
    """Advice to the reader: a short title, a few sentences."""

    title: str
    text: str


@dataclass(frozen=True)
class Picture:
    """A PNG picture, and its alternative text."""

    title: str
    png: bytes
    alt: str


@dataclass(frozen=True)
class Report:
    """One page.

    Attributes
    ----------
    title, kind, summary
        Heading; the command, such as ``predict``; one sentence under the heading.
    facts
        Names and values shown first.
    warning
        Shown prominently, with its line breaks.
    advice
        What this is, and where to doubt it.
    scene
        The volumes, or None.
    tables, pictures
        In the order they are shown.
    provenance
        How the volumes were made; values may be nested.
    """

    title: str
    kind: str
    summary: str
    facts: Mapping[str, str] = field(default_factory=dict)
    warning: str = ""
    advice: tuple[Advice, ...] = ()
    scene: Scene | None = None
    tables: tuple[Table, ...] = ()
    pictures: tuple[Picture, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
