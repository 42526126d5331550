"""Make the example that a package carries: a small stack, and the cover that shows it restored."""

from __future__ import annotations

import io
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from isoslice.data.volume import Volume
from isoslice.errors import DataError

#: Side of the example in pixels, fewest planes, and side of each half of the cover.
SIDE, FEWEST, COVER = 48, 3, 256
#: Smoothness of the invented texture in pixels.
GRAIN = 2.0

Floats = NDArray[np.float32]


def planes_for(factor: int) -> int:
    """Return how many planes make a volume about as deep as it is wide."""
    return max(FEWEST, math.ceil((SIDE - 1) / factor) + 1)


def invented_stack(channels: int, factor: int) -> Floats:
    """Make a stack (C, n, Y, X) of random texture, the same each time, intensities 0 to 255."""
    count = planes_for(factor)
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(channels, (count - 1) * factor + 1, SIDE, SIDE))
    smooth = gaussian_filter(noise, (0, GRAIN, GRAIN, GRAIN))[:, ::factor]
    low, high = smooth.min(), smooth.max()
    return np.asarray(np.rint(255 * (smooth - low) / (high - low)), np.float32)


def stack_from(sample: Volume, channels: int, factor: int) -> Floats:
    """Cut a stack (C, n, Y, X) out of the middle of a user's own.

    Raises
    ------
    DataError
        If it has other channels than the model, or a single plane.
    """
    if sample.size("C") != channels and channels > 1:
        raise DataError(
            f"{sample.source}: got {sample.size('C')} channel(s), expected the model's {channels}; "
            "give another stack as --sample, or leave it out"
        )
    if sample.size("Z") < 2:
        raise DataError(
            f"{sample.source}: got a single plane, expected a stack with at least two along Z; "
            "give another one as --sample, or leave it out"
        )
    sizes = planes_for(factor), SIDE, SIDE
    z, y, x = (_middle(sample.size(axis), size) for axis, size in zip("ZYX", sizes, strict=True))
    part = sample.read((0, slice(0, channels), z, y, x))
    if not np.isfinite(part).all():
        raise DataError(
            f"{sample.source}: got voxels in its middle that are not finite, expected numbers; "
            "give another stack as --sample, or leave it out"
        )
    return part.astype(np.float32)


def _middle(length: int, size: int) -> slice:
    start = max(0, (length - size) // 2)
    return slice(start, min(length, start + size))


def cover(stack: Floats, volume: Floats) -> bytes:
    """Draw an XZ slice of a stack (C, n, Y, X) beside that of its volume, as a PNG, 2 : 1."""
    import imageio.v3 as iio

    factor = (volume.shape[1] - 1) // (stack.shape[1] - 1)
    middle = stack.shape[2] // 2
    halves = [np.repeat(stack[0, :, middle], factor, axis=0), volume[0, :, middle]]
    low, high = np.percentile(stack[0], (0.1, 99.9))
    picture = np.zeros((COVER, 2 * COVER), np.uint8)
    for number, half in enumerate(halves):
        scaled = np.clip((half - low) / max(high - low, 1e-6), 0, 1)
        grey = np.rint(255 * scaled[: volume.shape[1]]).astype(np.uint8)
        times = max(1, COVER // max(grey.shape))
        drawn = grey.repeat(times, axis=0).repeat(times, axis=1)[:COVER, :COVER]
        top, left = (COVER - drawn.shape[0]) // 2, (COVER - drawn.shape[1]) // 2
        left += number * COVER
        picture[top : top + drawn.shape[0], left : left + drawn.shape[1]] = drawn
    encoded: bytes = iio.imwrite("<bytes>", picture, extension=".png", plugin="pillow")
    return encoded


def as_npy(tensor: NDArray[Any]) -> bytes:
    """Encode an array as ``.npy``."""
    file = io.BytesIO()
    np.save(file, tensor, allow_pickle=False)
    return file.getvalue()


def as_tiff(stack: Floats, spacing: float) -> bytes:
    """Encode a stack (C, n, Y, X) as an ImageJ TIFF, its planes `spacing` pixels apart."""
    import tifffile

    file = io.BytesIO()
    channels = len(stack) > 1
    data = stack.swapaxes(0, 1) if channels else stack[0]
    axes = "ZCYX" if channels else "ZYX"
    tifffile.imwrite(file, data, imagej=True, metadata={"axes": axes, "spacing": spacing})
    return file.getvalue()
