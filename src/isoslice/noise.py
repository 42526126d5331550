"""Noise as a pure function of (seed, channel, voxel position).

Every piece of a volume sees the same noise however the volume is cut, on every machine: each
voxel's value comes from integer hashing of its own coordinates, not from a stream.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def _mix(x: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Scramble 64-bit integers (the finaliser of SplitMix64, Steele et al. 2014), in place."""
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        x ^= x >> np.uint64(shift)
        x *= np.uint64(factor)
    x ^= x >> np.uint64(31)
    return x


def noise_block(
    seed: int, shape: tuple[int, int, int, int], origin: tuple[int, int, int, int] = (0, 0, 0, 0)
) -> NDArray[np.float32]:
    """Draw standard normal noise for one block of a volume.

    Parameters
    ----------
    seed
        Any non-negative integer below 2^63.
    shape, origin
        Size and position of the block in the volume, both (C, Z, Y, X).

    Returns
    -------
    Shape `shape`, float32. A block cut from a larger one equals the same block asked for alone.
    """
    key = _mix(np.array([seed], dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    for start, length in zip(origin[:3], shape[:3], strict=True):
        steps = np.arange(start, start + length, dtype=np.uint64)
        key = _mix(key[..., None] * np.uint64(0x9E3779B97F4A7C15) + steps + np.uint64(1))
    key = key[0]
    noise = np.empty(shape, dtype=np.float32)
    columns = np.arange(origin[3], origin[3] + shape[3], dtype=np.uint64)
    columns = _mix((columns + np.uint64(1)) * np.uint64(0xD1B54A32D192ED03))
    for c in range(shape[0]):
        for z in range(shape[1]):
            bits = _mix(key[c, z][:, None] + columns)
            # Box-Muller on the two halves; the half step keeps the logarithm finite.
            radius = ((bits >> np.uint64(32)).astype(np.float32) + 0.5) * np.float32(2**-32)
            angle = (bits & np.uint64(0xFFFFFFFF)).astype(np.float32) * np.float32(2**-32)
            radius = np.minimum(radius, np.float32(1 - 2**-24))
            noise[c, z] = np.sqrt(-2 * np.log(radius)) * np.cos(np.float32(2 * np.pi) * angle)
    return noise
