"""Choose the slices shown first, and the places to check."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from isoslice.evaluation.figures import choose_view
from isoslice.evaluation.report.data import Scene

#: Most places listed, and the side in voxels of the neighbourhood that each is the mean of.
MAX_PLACES, NEIGHBOURHOOD_SIDE = 4, 9


@dataclass(frozen=True)
class Viewpoint:
    """A voxel (z, y, x) of the part shown, and the mean value around it."""

    at: tuple[int, int, int]
    value: float


def first_place(scene: Scene) -> tuple[int, int, int]:
    """Choose the first voxel (z, y, x): slices with the most structure, between measured planes."""
    reference = scene.first("truth", "restored", "sample", "linear", "input") or scene.volumes[0]
    # choose_view counts from a measured plane, with which the part shown need not begin.
    first = scene.known[0] if scene.known else 0
    view = choose_view(reference.voxels[first:], scene.factor or 1, crop=max(scene.box.shape))
    z = first + view.z
    if scene.factor is None and len(scene.known) > 1:
        midway = [(below + above) // 2 for below, above in pairwise(scene.known)]
        z = max(midway, key=lambda plane: float(reference.voxels[plane].var(dtype=np.float64)))
    return z, view.y, view.x


def doubtful_places(scene: Scene) -> tuple[str, tuple[Viewpoint, ...]]:
    """Find the places to look at first: the least certain, the most wrong, or the most invented.

    Returns
    -------
    A description, and the places, highest values first, none near another.
    """
    for role, words in (
        ("uncertainty", "where the model is least certain"),
        ("error", "where the restored volume is furthest from the truth"),
    ):
        volume = scene.first(role)  # type: ignore[arg-type]
        if volume is not None:
            return words, _peaks(volume.voxels.astype(np.float32))
    ours, linear = scene.first("restored", "sample"), scene.first("linear")
    if ours is None or linear is None:
        return "", ()
    change = np.abs(ours.voxels.astype(np.float32) - linear.voxels.astype(np.float32))
    return "where the model added most to linear interpolation", _peaks(change)


def _peaks(values: NDArray[np.float32]) -> tuple[Viewpoint, ...]:
    side = min(NEIGHBOURHOOD_SIDE, *values.shape)
    left = _box_means(values, side)
    peaks: list[Viewpoint] = []
    while len(peaks) < MAX_PLACES:
        at = np.unravel_index(int(left.argmax()), left.shape)
        value = float(left[at])
        if not value > 1e-6:
            break
        z, y, x = (int(i) + side // 2 for i in at)
        peaks.append(Viewpoint((z, y, x), value))
        reach = [max(2 * NEIGHBOURHOOD_SIDE, n // 6) for n in values.shape]
        near = tuple(slice(max(0, i - r), i + r + 1) for i, r in zip(at, reach, strict=True))
        left[near] = -np.inf
    return tuple(peaks)


def _box_means(values: NDArray[np.float32], side: int) -> NDArray[np.float64]:
    """Average over each cube of `side` that lies inside, at the index of its first voxel."""
    means = values.astype(np.float64)
    for axis in range(3):
        total = np.insert(means.cumsum(axis), 0, 0, axis)
        count = total.shape[axis]
        ends = total.take(range(side, count), axis), total.take(range(count - side), axis)
        means = (ends[0] - ends[1]) / side
    return means
