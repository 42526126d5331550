"""The measured planes of a restored volume, as its record tells them: where they lie, and how."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.frames import fill_along_z
from isoslice.data.grid import PlaneGrid, planes_around
from isoslice.data.interpolation import interpolate
from isoslice.data.recorded import are_points, recorded_grid, recorded_lost
from isoslice.data.volume import Volume
from isoslice.evaluation.report.crop import Crop
from isoslice.evaluation.report.data import Derived, Layer
from isoslice.evaluation.report.parts import finite, reader


@dataclass(frozen=True)
class Planes:
    """Measured planes of one channel at one time point.

    Attributes
    ----------
    numbers, lost
        In the stack: those that there are, and those that were lost.
    grid
        Where those that there are lie among the output planes.
    points
        Whether they are output planes, unchanged.
    ratio
        Output planes per measured plane: the median.
    factor
        The same where every so many-th output plane is a measured one, lost ones too; else None.
    depth
        Number of output planes.
    """

    numbers: tuple[int, ...]
    lost: tuple[int, ...]
    grid: PlaneGrid
    points: bool
    ratio: float
    factor: int | None
    depth: int

    @property
    def marked(self) -> tuple[int, ...]:
        """Output planes that are measured ones, or next to them."""
        return tuple(sorted(set(self.grid.nearest)))

    @property
    def furthest(self) -> int:
        """Largest distance of an output plane to a measured one, in planes."""
        return int(self.grid.distances.max())


def planes_of(restored: Volume, count: int, time: int, channel: int) -> Planes:
    """Return the planes of a stack of `count` that a channel was restored from.

    Raises
    ------
    DataError
        If it was made from another number of planes.
    """
    made = restored.provenance or {}
    whole = recorded_grid(made, count)
    lost = tuple(z for z in recorded_lost(made, time, channel) if z < count - 1)
    numbers = tuple(z for z in range(count) if z not in lost)
    ratio = float(np.median(np.diff(whole.known)))
    even = whole.is_whole and bool((np.diff(whole.known) == ratio).all())
    return Planes(
        numbers,
        lost,
        PlaneGrid(tuple(whole.known[z] for z in numbers)),
        are_points(made),
        ratio,
        int(ratio) if even and whole.known[0] == 0 else None,
        whole.depth,
    )


def measured_and_linear(
    source: Volume,
    numbers: Sequence[int],
    grid: PlaneGrid,
    box: Crop,
    time: int,
    channel: int,
    name: str | None = None,
) -> tuple[Layer, ...]:
    """Interpolate measured planes by nearest neighbour and linearly, in the part shown.

    Planes just outside the part are read too, so that its first and last ones are right.

    Parameters
    ----------
    source, numbers
        The volume that has the planes, and their numbers in it.
    grid
        Where they lie among the output planes.
    box
        The part.
    time, channel
        Of the source.
    name
        Of the layer with the same planes, every k-th one of the part, from which the page then
        computes these.
    """
    first, last, around = planes_around(grid, box.start[0], behind(box))
    begin = int(np.floor(grid.known[first]))
    kept = numbers[first : last + 1]
    _, y, x = box.slices
    read = reader(source, time, channel)(slice(kept[0], kept[-1] + 1), y, x)
    planes = finite(fill_along_z(read[[z - kept[0] for z in kept]]))
    inside = slice(box.start[0] - begin, behind(box) - begin)
    volumes = []
    for role, method in (("input", "nearest"), ("linear", "linear")):
        filled = interpolate(planes, around, method)[inside]  # type: ignore[arg-type]
        derived = None if name is None else Derived(method, (name,))  # type: ignore[arg-type]
        volumes.append(Layer(role.capitalize(), role, filled, derived))  # type: ignore[arg-type]
    return tuple(volumes)


def behind(box: Crop) -> int:
    """Return the index of the plane behind the last one of a box."""
    return box.start[0] + box.shape[0]


def check_planes(
    stack: Volume, ours: NDArray[Any], box: Crop, planes: Planes, time: int, channel: int
) -> str:
    """Compare the measured planes of the part shown with the input's, and describe the result."""
    inside = [
        (number, int(z) - box.start[0])
        for number, z in zip(planes.numbers, planes.grid.known, strict=True)
        if box.start[0] <= z < behind(box)
    ]
    _, y, x = box.slices
    differ, nan = 0, ours.dtype.kind == "f"
    if inside:
        first = inside[0][0]
        measured = reader(stack, time, channel)(slice(first, inside[-1][0] + 1), y, x)
        differ = sum(
            not np.array_equal(measured[number - first], ours[row], equal_nan=nan)
            for number, row in inside
        )
    if differ:
        return (
            f"Attention: {differ} of the {len(inside)} measured planes of the part shown differ "
            "from the input."
        )
    return (
        f"Checked: the {len(inside)} measured planes of the part shown equal the input, bit for "
        "bit."
    )
