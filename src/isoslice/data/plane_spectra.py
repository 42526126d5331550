"""Power spectra of cubes of measured planes: along Z, and over distance from 0 within planes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.box import Region
from isoslice.data.subsampling import evenly_spaced

#: Planes of a cube; fewer where a stack has fewer, but no fewer than `LEAST_PLANES`.
PLANES, LEAST_PLANES = 8, 5
#: Limits of a cube's side in pixels, and the side below which planes are too small.
SIDES, LEAST_SIDE = (32, 128), 24
#: Most cubes that are looked at.
CUBES = 96
#: Lowest frequency of a ring, in cycles per side: below it are the mean and its leakage.
LOWEST = 1.5
#: Widest ring, in shares of its frequency, and the limits of the two outermost: corners of the
#: spectrum, where noise stands out most.
WIDEST, CORNERS = 0.15, (0.5, 0.6, 0.708)
#: Angle from an axis within which rows of that axis are looked at.
SECTOR = math.pi / 6

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class PlaneSpectra:
    """Power of cubes of planes, per voxel: that of white noise is its variance.

    Attributes
    ----------
    power
        Of each cube, by frequency along Z (0 to half a cycle per plane) and ring of frequencies
        within planes: (cubes, planes // 2 + 1, rings).
    rows
        Over all frequencies along Z, near the X axis and near the Y axis: (cubes, 2, rings).
    rings, edges
        Frequency of each ring in cycles per pixel, and the limits of them all.
    counts
        Frequencies that were averaged, as `power` without cubes.
    planes, side
        Of a cube.
    """

    power: Floats
    rows: Floats
    rings: Floats
    edges: Floats
    counts: Floats
    planes: int
    side: int


def hann(length: int) -> Floats:
    """Return a Hann window without its zeros."""
    return np.asarray(np.hanning(length + 2)[1:-1], np.float64)


def cubes_of(shape: tuple[int, int, int], ratio: float) -> list[Region]:
    """List cubes that overlap by half, spread over a stack (n, Y, X); none of too small a stack.

    Parameters
    ----------
    ratio
        Spacing of planes in pixels. Cubes are as wide as they are high, as far as `SIDES` and the
        stack allow.
    """
    planes = min(shape[0], PLANES)
    side = min(*shape[1:], max(SIDES[0], min(SIDES[1], round(planes * ratio))))
    if planes < LEAST_PLANES or side < LEAST_SIDE:
        return []
    sizes = planes, side, side
    starts = []
    for whole, part in zip(shape, sizes, strict=True):
        count = math.ceil(2 * (whole - part) / part) + 1
        starts.append(sorted(set(np.linspace(0, whole - part, count).round().astype(int).tolist())))
    corners = [(z, y, x) for z in starts[0] for y in starts[1] for x in starts[2]]
    return [
        tuple(slice(a, a + n) for a, n in zip(corners[i], sizes, strict=True))  # type: ignore[misc]
        for i in evenly_spaced(len(corners), CUBES)
    ]


def spectra_of(cubes: Sequence[NDArray[np.float32]]) -> PlaneSpectra | None:
    """Transform cubes (n, side, side) of one shape; None if nothing varies in any.

    Cubes with voxels that are not finite, and constant ones, are left out.
    """
    planes, side = cubes[0].shape[:2] if cubes else (0, 0)
    known = [c for c in cubes if np.isfinite(c).all() and np.ptp(c) > 0]
    if not known:
        return None
    window = hann(planes)[:, None, None] * hann(side)[:, None] * hann(side)
    y, x = np.abs(np.fft.fftfreq(side))[:, None], np.fft.rfftfreq(side)
    distance, angle = np.hypot(y, x), np.arctan2(y, x + 0 * y)
    edges = _edges(side)
    ring = np.digitize(distance, edges) - 1
    number, height = len(edges) - 1, planes // 2 + 1
    twice = np.where((x > 0) & (x < 0.5), 2.0, 1.0) + 0 * y
    inside = (ring >= 0) & (ring < number)
    sectors = [inside, inside & (angle < SECTOR), inside & (angle > math.pi / 2 - SECTOR)]
    sums = [np.bincount(ring[s], twice[s], number) for s in sectors]
    power, rows = np.zeros((len(known), height, number)), np.zeros((len(known), 2, number))
    for i, cube in enumerate(known):
        centred = cube - (cube * window).sum() / window.sum()
        whole = np.abs(np.fft.rfftn(centred * window)) ** 2 / (window**2).sum()
        half = (whole[:height] + whole[-np.arange(height)]) / 2
        for f in range(height):
            power[i, f] = np.bincount(ring[inside], (half[f] * twice)[inside], number) / sums[0]
        mean = whole.mean(0) * twice
        for j in (1, 2):
            total = np.bincount(ring[sectors[j]], mean[sectors[j]], number)
            rows[i, j - 1] = total / np.maximum(sums[j], 1)
    logs = np.bincount(ring[inside], (np.log(np.maximum(distance, 1e-9)) * twice)[inside], number)
    both = np.where((np.arange(height) > 0) & (2 * np.arange(height) < planes), 2.0, 1.0)
    rings, counts = np.exp(logs / sums[0]), np.outer(both, sums[0])
    return PlaneSpectra(power, rows, rings, edges, counts, planes, side)


def _edges(side: int) -> Floats:
    edges = [LOWEST / side]
    while edges[-1] < CORNERS[0]:
        edges.append(max(edges[-1] + 1 / side, edges[-1] * (1 + WIDEST)))
    # Every ring is as wide as frequencies are apart, and so has some.
    last = CORNERS[0] - (1 - 1e-9) / side
    return np.array([*(edge for edge in edges if edge <= last), *CORNERS])
