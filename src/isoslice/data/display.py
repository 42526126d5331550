"""Display colours of stimulated Raman histology: equalised channels, as in the MSDSR paper.

For pictures only: each image is equalised by itself, so colours of two images cannot be compared,
nor metrics computed from them, except those that the paper did compute so (its slice FIDs).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from isoslice.errors import DataError, SettingsError

#: Bits of the three channels' histograms (difference, CH2, CH3) in the paper's released code.
SRH_BITS = (7.5, 8.0, 8.0)


def histogram_equalize(
    image: NDArray[np.floating], bits: Sequence[float] | None = None
) -> NDArray[np.uint8]:
    """Equalise each channel's histogram, as the code released with MSDSR (arXiv 2404.09425) does.

    A channel's range is divided into ``floor(2**bits)`` bins. The lowest, the background, counts as
    empty; the cumulative sum of the others, scaled to the number of bins less one, is the new
    brightness at the bins' lower edges, interpolated linearly and truncated to an integer.

    Parameters
    ----------
    image
        Shape (C, H, W), finite, of any real type; converted to float32.
    bits
        One number from 1 to 8 per channel; by default `SRH_BITS` for three channels, else 8 each.
        The brightest value of a channel is ``floor(2**bits) - 1``.

    Returns
    -------
    Shape (H, W, C), uint8. A constant channel becomes 0.

    Raises
    ------
    DataError
        If the image is empty, not (C, H, W), or not finite.
    SettingsError
        If `bits` are not one per channel, or out of range.
    """
    values = np.asarray(image)
    if values.ndim != 3 or values.size == 0:
        raise DataError(
            f"got an image of shape {values.shape}, expected (C, H, W); pass one image at a time, "
            "channels first"
        )
    values = values.astype(np.float32)
    if not np.isfinite(values).all():
        raise DataError("got an image with NaN or infinity, expected finite values; replace them")
    channels = len(values)
    if bits is None:
        bits = SRH_BITS if channels == len(SRH_BITS) else (8.0,) * channels
    if len(bits) != channels or not all(1 <= b <= 8 for b in bits):
        raise SettingsError(
            f"got {tuple(bits)} bits for {channels} channel(s), expected one number from 1 to 8 "
            "per channel"
        )
    return np.stack([_equalize(v, b) for v, b in zip(values, bits, strict=True)], axis=-1)


def srh_colours(image: NDArray[np.floating]) -> NDArray[np.uint8]:
    """Compute display colours of an SRH image, as in MSDSR's figures and FIDs.

    Parameters
    ----------
    image
        Shape (3, H, W), in [0, 1]: CH3 - CH2, CH2 and CH3, as `isoslice.io.srh.srh_channels` gives
        them.

    Returns
    -------
    Shape (H, W, 3), uint8: the three channels, equalised with 7.5, 8 and 8 bits, as red, green
    and blue.

    Raises
    ------
    DataError
        If the image hasn't three channels, or is not finite.
    """
    if np.ndim(image) != 3 or len(image) != 3:
        raise DataError(
            f"got an image of shape {np.shape(image)}, expected (3, H, W) with the channels "
            "CH3-CH2, CH2 and CH3; make them with isoslice.io.srh.srh_channels"
        )
    return histogram_equalize(image, SRH_BITS)


def _equalize(channel: NDArray[np.float32], bits: float) -> NDArray[np.uint8]:
    bins = int(np.floor(2.0**bits))
    low, high = float(channel.min()), float(channel.max())
    if low == high:
        return np.zeros(channel.shape, np.uint8)
    # Bins narrower than float32 resolves, or a span beyond its range, need float64; all other
    # channels keep float32 edges, as in the released code.
    span = high - low
    with np.errstate(over="ignore"):  # of the largest number it is infinite
        finest = 2 * bins * float(np.spacing(np.float32(max(abs(low), abs(high)))))
    fits = finest <= span <= np.finfo(np.float32).max
    counts, edges = np.histogram(channel if fits else channel.astype(np.float64), bins)
    counts[0] = 0
    total = counts.cumsum()
    brightness = (bins - 1) * total / total[-1]
    equalised: NDArray[np.float64] = np.interp(channel, edges[:-1], brightness)
    return equalised.astype(np.uint8)
