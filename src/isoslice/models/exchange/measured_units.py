"""Measure the units of a stack, as `inference.stack_units` does."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from isoslice.models.diffusion.plane_units import plane_units

#: Planes that are looked at; pixels of a side that are, and of longer ones, pieces of how many.
PLANES, WHOLE_SIDE, PIECES, PIECE = 8, 1024, 4, 256


def measured_units(
    planes: Tensor, factors: Sequence[int], even_share: float
) -> tuple[float | None, float] | None:
    """Measure units in pieces of some planes (C, n, Y, X), normalised; see `plane_units`."""
    some = planes[:, evenly_spaced(planes.shape[1], PLANES)]
    some = some[:, :, pieces(planes.shape[2])][..., pieces(planes.shape[3])]
    return plane_units(some.flatten(0, 1), factors, even_share)


def pieces(length: int) -> list[int]:
    """List the pixels along a side that are looked at: all, or evenly spaced pieces."""
    if length <= WHOLE_SIDE:
        return list(range(length))
    starts = evenly_spaced(length - PIECE + 1, PIECES)
    return [pixel for start in starts for pixel in range(start, start + PIECE)]


def evenly_spaced(length: int, count: int) -> list[int]:
    """List evenly spaced indices below `length`, the first and the last among them."""
    step = (length - 1) / max(1, min(count, length) - 1)
    return [round(index * step) for index in range(min(count, length))]
