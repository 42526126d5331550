"""Bring a composed volume into agreement with its planes, and tell how far it agrees."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Box
from isoslice.data.measurement import Measurement
from isoslice.inference.consistency import corrected, differences, window
from isoslice.inference.fields import FieldStore
from isoslice.inference.frame_work import FrameWork

Floats = NDArray[np.float64]
#: Composes a part of the volume, normalised, (C, z, y, x).
Compose = Callable[[Box], Tensor]

#: Least noise that differences are compared with, normalised: by so much, corrections that are
#: damped, and half precision, leave planes of less noise.
LEAST_NOISE = 5e-3


class PlaneErrors(NamedTuple):
    """Differences of measured planes from the volume seen as they were.

    Attributes
    ----------
    planes
        Their numbers among those that were restored from.
    squares
        Sums of squared differences, normalised, (C, planes).
    voxels
        Looked at in each plane.
    """

    planes: Sequence[int]
    squares: Floats
    voxels: int


def blurred(work: FrameWork) -> Measurement | None:
    """Return how the planes were measured, unless they are points."""
    measurement = work.measurement
    return None if measurement is None or measurement.is_points else measurement


def agreeing(work: FrameWork, box: Box, compose: Compose) -> tuple[Tensor, PlaneErrors | None]:
    """Compose a part that agrees with the planes, and tell how far it does.

    Returns
    -------
    volume
        Normalised, (C, z, y, x); on the host where planes are no points.
    errors
        Of the planes that lie in it; None of points, which agree.
    """
    measurement = blurred(work)
    if measurement is None:
        return compose(box), None
    z, y, x = box.slices()
    rows, seen, around = window(measurement, z)
    wide = Box((rows.start, *box.start[1:]), (rows.stop, *box.stop[1:]))
    planes = work.planes.read((seen, y, x))
    volume = corrected(compose(wide).cpu().numpy(), planes, around)
    places = np.asarray(measurement.positions[seen])
    inside = np.flatnonzero((places >= z.start) & (places < z.stop))
    missing = differences(volume, planes, around)[:, inside]
    errors = PlaneErrors(
        (inside + seen.start).tolist(), np.square(missing).sum(axis=2), missing.shape[2]
    )
    own = volume[:, z.start - rows.start : z.stop - rows.start]
    return torch.from_numpy(own), errors


def chi_squared(parts: Sequence[PlaneErrors], noise: Sequence[float], planes: int) -> Floats:
    """Return the mean squared difference of each plane over its noise's variance, (C, planes).

    The noise counts as no less than `LEAST_NOISE`.
    """
    channels = len(parts[0].squares)
    squares, count = np.zeros((channels, planes)), np.zeros(planes)
    for part in parts:
        numbers = list(part.planes)
        squares[:, numbers] += part.squares
        count[numbers] += part.voxels
    variance = np.square(np.maximum(_of_channels(noise, squares), LEAST_NOISE))
    result: Floats = squares / np.maximum(count, 1) / variance[:, None]
    return result


def write_errors(store: FieldStore, name: str, index: int, errors: PlaneErrors) -> Any:
    """Store the errors of a block."""
    numbers = [list(errors.planes), errors.squares.tolist(), errors.voxels]
    return store.write_numbers(name, numbers, index)


def read_errors(store: FieldStore, name: str) -> list[PlaneErrors]:
    """Read the errors of all blocks."""
    parts = (store.numbers(name, index) for index in range(store.layout.blocks))
    return [
        PlaneErrors(planes, np.asarray(squares, np.float64).reshape(-1, len(planes)), voxels)
        for planes, squares, voxels in parts
    ]


def _of_channels(noise: Sequence[float], of: NDArray[Any]) -> Floats:
    return np.broadcast_to(np.asarray(noise, np.float64), len(of))
