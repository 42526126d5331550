"""A volume cut into blocks that do not show, each of a size that memory allows.

Each block is restored by itself, from what is around it. Passes over XZ and YZ slices see a finite
neighbourhood, noise depends on a voxel's place in the whole volume, and slices begin where the
network's coarsest level does; so a wide enough halo gives a block the voxels that the whole volume
would have. docs/scaling.md says how wide, and why not slab by slab.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Literal, NamedTuple

from isoslice.errors import SettingsError

#: A part of an array (..., Z, Y, X).
Place = tuple[slice, slice, slice]
#: Direction of slices.
Plane = Literal["XZ", "YZ"]

#: Z, Y and X.
Triple = tuple[int, int, int]


class Reach(NamedTuple):
    """How far a voxel of a slice is seen to matter, in voxels."""

    z: int
    #: Along Y or X, whichever the slice has.
    lateral: int


class Box(NamedTuple):
    """Part of a volume: along Z, Y and X from `start` up to `stop`, which is left out."""

    start: Triple
    stop: Triple

    @property
    def shape(self) -> Triple:
        """Length along Z, Y and X."""
        z, y, x = (b - a for a, b in zip(self.start, self.stop, strict=True))
        return z, y, x

    @property
    def size(self) -> int:
        """Number of voxels."""
        return math.prod(self.shape)

    def slices(self, origin: Triple = (0, 0, 0)) -> tuple[slice, slice, slice]:
        """Index an array (..., Z, Y, X) whose first voxel lies at `origin`."""
        z, y, x = (
            slice(a - o, b - o) for a, b, o in zip(self.start, self.stop, origin, strict=True)
        )
        return z, y, x


def whole(shape: Triple) -> Box:
    """Return all of a volume."""
    return Box((0, 0, 0), shape)


def box_of(place: Place) -> Box:
    """Return the box that slices with a start and a stop name."""
    return Box(_triple([s.start for s in place]), _triple([s.stop for s in place]))


def span(boxes: Iterable[Box]) -> Box:
    """Return the smallest box that holds all of them."""
    starts, stops = zip(*boxes, strict=True)
    low, high = (
        tuple(pick(values) for values in zip(*edges, strict=True))
        for pick, edges in ((min, starts), (max, stops))
    )
    return Box(_triple(low), _triple(high))


def cores(shape: Triple, size: Triple) -> Iterator[Box]:
    """Cut a volume into boxes of `size`, smaller at its far ends; X fastest."""
    ranges = (
        [(a, min(a + step, whole)) for a in range(0, whole, step)]
        for whole, step in zip(shape, size, strict=True)
    )
    for spans in itertools.product(*ranges):
        (z, y, x) = spans
        yield Box((z[0], y[0], x[0]), (z[1], y[1], x[1]))


def widened(core: Box, shape: Triple, halo: Triple, stride: Triple = (1, 1, 1)) -> Box:
    """Widen a box by `halo`, then to multiples of `stride`; a volume's ends stay ends."""
    edges = zip(core.start, core.stop, shape, halo, stride, strict=True)
    spans = [
        (
            max(0, (start - wide) // step * step),
            min(whole, -(-(stop + wide) // step) * step),
        )
        for start, stop, whole, wide, step in edges
    ]
    low, high = zip(*spans, strict=True)
    return Box(_triple(low), _triple(high))


def pass_boxes(
    core: Box, shape: Triple, planes: Sequence[Plane], first: int, reach: Reach, stride: int
) -> list[Box]:
    """Say what each pass over slices has to look at, for the last one to be right in `core`.

    A slice's voxel depends on what is within `reach` of it. So the last pass takes the slices
    through the core alone, each a little longer than that; the one before takes those through all
    that; and so on.

    Parameters
    ----------
    core
        What is wanted.
    shape
        Of the volume, (Z, Y, X).
    planes
        Direction of each pass's slices, in their order.
    first
        How many of them, at the beginning, do not look at one another's result.
    reach
        How far influence goes.
    stride
        Slices begin and end at multiples of this, or where the volume does.

    Returns
    -------
    As many as `planes`, each inside the one before (of the `first` ones, the one they are for).
    """
    boxes, needed = [], core
    for number, plane in reversed(list(enumerate(planes))):
        halo = (reach.z, 0, reach.lateral) if plane == "XZ" else (reach.z, reach.lateral, 0)
        step = (stride, 1, stride) if plane == "XZ" else (stride, stride, 1)
        boxes.append(widened(needed, shape, halo, step))
        if number >= first:
            needed = boxes[-1]
    return boxes[::-1]


def block_count(shape: Triple, size: Triple) -> int:
    """Say how many blocks a volume has."""
    return math.prod(-(-whole // step) for whole, step in zip(shape, size, strict=True))


def nth_core(index: int, shape: Triple, size: Triple) -> Box:
    """Return one of `cores` without listing them."""
    counts = [-(-whole // step) for whole, step in zip(shape, size, strict=True)]
    z, rest = divmod(index, counts[1] * counts[2])
    y, x = divmod(rest, counts[2])
    start = (z * size[0], y * size[1], x * size[2])
    stop = [min(a + step, whole) for a, step, whole in zip(start, size, shape, strict=True)]
    return Box(start, _triple(stop))


def core_size(
    shape: Triple,
    boxes_of: Callable[[Box], Sequence[Box]],
    voxels: int,
    multiple: int,
    source: str = "volume",
) -> Triple:
    """Choose the size of blocks: where the least work is repeated.

    Parameters
    ----------
    shape
        Of the volume, (Z, Y, X).
    boxes_of
        What passes look at for a block, see `pass_boxes`.
    voxels
        Largest window, which holds all that a block's passes look at.
    multiple
        Cores are multiples of this, or as long as the volume.
    source
        Name for messages.

    Raises
    ------
    SettingsError
        If even the smallest block needs more voxels.
    """
    best: tuple[float, int, Triple] | None = None
    least = 0
    for lengths in itertools.product(*(_lengths(whole, multiple) for whole in shape)):
        size = _triple(lengths)
        boxes = boxes_of(_middle(shape, size))
        needed = span(boxes).size
        if needed > voxels:
            least = min(least or needed, needed)
            continue
        # As if all blocks were in the middle; fewer blocks where that is the same.
        work = sum(box.size for box in boxes) / math.prod(size)
        candidate = (round(work, 4), block_count(shape, size), size)
        best = candidate if best is None else min(best, candidate)
    if best is None:
        raise SettingsError(
            f"{source}: got memory for blocks of {voxels:,} voxels, expected at least {least:,}; "
            "give more with --memory"
        )
    return best[2]


def _middle(shape: Triple, size: Triple) -> Box:
    """Return a block of `size` as far from the volume's ends as blocks get."""
    start = [
        (whole // step // 2) * step if step < whole else 0
        for whole, step in zip(shape, size, strict=True)
    ]
    stop = [min(a + step, whole) for a, step, whole in zip(start, size, shape, strict=True)]
    return Box(_triple(start), _triple(stop))


def _lengths(whole: int, multiple: int) -> list[int]:
    """List what a core may measure along an axis: pieces as equal as multiples allow."""
    counts = [*range(1, 33), *(2**n for n in range(6, 20))]
    pieces = {-(-whole // count) for count in counts}
    return sorted({min(whole, -(-length // multiple) * multiple) for length in pieces})


def _triple(values: Sequence[int]) -> Triple:
    z, y, x = values
    return z, y, x
