"""The noise of measured planes, from what is left at their highest frequencies."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from isoslice.data.plane_spectra import hann

#: Side of a patch, and of parts of it, in pixels, and the least share of what a patch's window
#: shows in which something varies.
PATCH, PART, VARIED = 32, 8, 0.25
#: Lowest frequency, in cycles per pixel along Y and along X, at which noise is measured, and the
#: limits of the frequencies by which the smoothest patches are chosen: others, so that choosing
#: does not prefer what is low by chance.
CORNER, CHOOSE = 0.4, (0.25, 0.4)
#: Pixels of a plane beyond which patches do not overlap.
LARGE = 2**18
#: Share of patches that count: the smoothest ones.
SMOOTHEST = 0.25


def noise_level(planes: NDArray[np.float32]) -> float:
    """Estimate the standard deviation of white noise in planes (..., Y, X).

    The power spectrum of white noise is flat, that of structure falls off: it is least at the
    frequencies that are high along both Y and X. What is left of structure there is least in smooth
    patches; blank parts of patches do not count. White grain of the specimen's own
    counts as noise; `profile_estimate.noise_seen` tells them apart where planes are blurred.

    Returns
    -------
    In the planes' intensities; 0 where planes are smaller than a patch, or nothing varies.
    """
    y, x = planes.shape[-2:]
    if min(y, x) < PATCH:
        return 0.0
    powers = np.concatenate([_powers(plane) for plane in planes.reshape(-1, y, x)])
    if not len(powers):
        return 0.0
    count = max(1, round(SMOOTHEST * len(powers)))
    smooth = powers[np.argsort(powers[:, 0], kind="stable")[:count], 1]
    return float(np.sqrt(smooth.mean()))


def _powers(plane: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return power at the frequencies that choose patches and in the corner, (patches, 2)."""
    window = hann(PATCH)[:, None] * hann(PATCH)
    fy, fx = np.abs(np.fft.fftfreq(PATCH))[:, None], np.fft.rfftfreq(PATCH)
    lowest = np.minimum(fy, fx)
    corner, choose = lowest >= CORNER, (lowest >= CHOOSE[0]) & (lowest < CHOOSE[1])
    shown = (window**2).reshape(PATCH // PART, PART, PATCH // PART, PART).sum(axis=(1, 3))
    found = [np.zeros((0, 2))]
    step = PATCH if plane.size > LARGE else PATCH // 2
    varies, finite = _parts(plane)
    for row in range(0, plane.shape[0] - PATCH + 1, step):
        starts = range(0, plane.shape[1] - PATCH + 1, step)
        inside = slice(row // PART, (row + PATCH) // PART)
        varied = (_of_patches(varies[inside], step) * shown).sum(axis=(1, 2))
        use = (varied >= VARIED * shown.sum()) & _of_patches(finite[inside], step).all(axis=(1, 2))
        patches = np.stack([plane[row : row + PATCH, a : a + PATCH] for a in starts])[use]
        centred = patches - patches.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
        power = np.abs(np.fft.rfft2(centred * window)) ** 2 / varied[use, None, None]
        found.append(np.stack([power[:, choose].mean(1), power[:, corner].mean(1)], axis=1))
    return np.concatenate(found)


def _parts(plane: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Tell in which parts of a plane something varies, and which are finite."""
    y, x = (size // PART for size in plane.shape)
    parts = plane[: y * PART, : x * PART].reshape(y, PART, x, PART)
    # Rows first, which lie one after the other.
    most, least = parts.max(axis=1).max(axis=2), parts.min(axis=1).min(axis=2)
    return most > least, np.isfinite(most) & np.isfinite(least)


def _of_patches(parts: NDArray[np.bool_], step: int) -> NDArray[np.bool_]:
    """Return the parts of each of a row of patches, which begin `step` pixels apart: (n, y, x)."""
    windows = np.lib.stride_tricks.sliding_window_view(parts, PATCH // PART, axis=1)
    return np.ascontiguousarray(windows[:, :: step // PART].swapaxes(0, 1))
