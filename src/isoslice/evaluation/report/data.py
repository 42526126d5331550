"""A report as data: what it says and shows, and nothing about how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isoslice.data.volume import VoxelSize
from isoslice.errors import DataError
from isoslice.evaluation.report.crop import Crop
from isoslice.evaluation.report.svg import Line

#: What a volume is. `input`, `linear`, `restored`, `sample` and `truth` share one window of
#: intensities; `uncertainty` and `error` share one of their own, from 0, in colours.
Role = Literal["input", "linear", "restored", "sample", "truth", "uncertainty", "error"]
COLOURED = ("uncertainty", "error")
#: How the page makes a volume of others: the measured planes of one, each as thick as its spacing;
#: linear interpolation between these planes; the absolute difference of two.
Operation = Literal["nearest", "linear", "difference"]


@dataclass(frozen=True)
class Made:
    """A volume that the page makes of others, so that it need not carry it.

    Attributes
    ----------
    by
        How, see `Operation`.
    of
        Names of the volumes it is made of: two for a difference, else one.
    """

    by: Operation
    of: tuple[str, ...]


@dataclass(frozen=True)
class Shown:
    """One volume of a report.

    Attributes
    ----------
    name
        Its label, unlike the others'.
    role
        What it is.
    voxels
        Shape (Z, Y, X), finite.
    made
        How the page makes it of others; None if the page has to carry its voxels.
    """

    name: str
    role: Role
    voxels: NDArray[Any]
    made: Made | None = None


@dataclass(frozen=True)
class Scene:
    """Volumes of the same place, on one output grid.

    Attributes
    ----------
    volumes
        In the order they are shown.
    voxel_size
        Spacing along Z, Y and X.
    unit
        Symbol of the unit, such as ``nm``; ``voxels`` where none is known.
    box, whole
        Which part of a volume of which shape (Z, Y, X) this is.
    factor
        Output planes per measured plane: those at multiples of it in the whole volume are
        measured. None where unknown.
    lost
        Planes at such multiples, counted in the whole volume, that were not measured: lost ones.
    band
        What a line of the uncertainty's profile is around the restored one, as words.
    """

    volumes: tuple[Shown, ...]
    voxel_size: VoxelSize
    unit: str
    box: Crop
    whole: tuple[int, int, int]
    factor: int | None = None
    band: str = "± 1 standard deviation"
    lost: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        """Check that volumes have names of their own and fill the box."""
        names = [volume.name for volume in self.volumes]
        if not names or len(set(names)) < len(names):
            raise DataError(f"got volumes named {names}, expected one or more, each a name")
        for volume in self.volumes:
            if volume.voxels.shape != self.box.shape:
                raise DataError(
                    f"{volume.name}: got shape {volume.voxels.shape}, expected that of the part "
                    f"shown, {self.box.shape}; cut it to the same box"
                )
            if volume.made and not set(volume.made.of) < set(names):
                raise DataError(f"{volume.name}: got {volume.made.of}, expected names of {names}")

    @property
    def known(self) -> tuple[int, ...]:
        """Measured planes, counted within the part shown; none where the factor is unknown."""
        if self.factor is None:
            return ()
        start, depth = self.box.start[0], self.box.shape[0]
        measured = set(range(-start % self.factor, depth, self.factor))
        return tuple(sorted(measured - {z - start for z in self.lost}))

    def kind(self, volume: Shown) -> str:
        """Role of a volume, and which of those with it this is: ``restored``, ``restored-2``."""
        alike = [other.name for other in self.volumes if other.role == volume.role]
        number = alike.index(volume.name) + 1
        return volume.role if number == 1 else f"{volume.role}-{number}"

    def first(self, *roles: Role) -> Shown | None:
        """Return the first volume of the first of these roles that any has."""
        return next((v for role in roles for v in self.volumes if v.role == role), None)

    def cut(self, box: Crop) -> Scene:
        """Return a smaller part, `box` counted in the whole volume."""
        inside = tuple(
            slice(new - old, new - old + n)
            for new, old, n in zip(box.start, self.box.start, box.shape, strict=True)
        )
        volumes = tuple(
            Shown(v.name, v.role, np.ascontiguousarray(v.voxels[inside]), v.made)
            for v in self.volumes
        )
        return replace(self, volumes=volumes, box=box)


@dataclass(frozen=True)
class Plot:
    """Curves over a common x axis; labels with units."""

    lines: tuple[Line, ...]
    x_label: str
    y_label: str


@dataclass(frozen=True)
class Table:
    """Numbers as text: the first column names the row.

    Attributes
    ----------
    title, caption
        Heading, and what the reader must know.
    columns
        Heading of each column, the first one's included.
    rows
        One text for each column.
    plot
        The same as curves, drawn above.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    plot: Plot | None = None


@dataclass(frozen=True)
class Advice:
    """One thing to know, in plain words: a short title, a few sentences."""

    title: str
    text: str


@dataclass(frozen=True)
class Picture:
    """A finished picture: PNG bytes, and what it shows for those who can't see it."""

    title: str
    png: bytes
    alt: str


@dataclass(frozen=True)
class Report:
    """One page.

    Attributes
    ----------
    title, kind, summary
        Heading; what made it, such as ``predict``; one sentence under the heading.
    facts
        A few names and values worth seeing first.
    warning
        What must not be missed.
    advice
        What this is, and where to doubt it.
    scene
        The volumes, or None.
    tables, pictures
        In the order they are shown.
    provenance
        How everything was made; values may be nested.
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
