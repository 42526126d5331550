"""Detail within planes that their slice profile averages away, put back by its power.

A plane that is blurred along Z is a mean of many sections: what changes from section to section,
grain most of all, is weaker in it than in any of them. With the spectrum S of a specimen that is
alike in all directions, the squared transform H^2 of the profile and the noise of planes, known
from cubes of planes (`isotropic_spectrum`), a plane and a section have the powers

    plane(q) = integral of S(sqrt(q^2 + u^2)) H(u)^2 du + noise^2
    section(q) = integral of S(sqrt(q^2 + u^2)) du

at a frequency q within planes. Planes multiplied by sqrt(section / plane) have the power of
sections. They are no sections, but as rough, and so show how well one is restored. What is put back
into noisy planes is in part noise, which lies everywhere: `gathered` takes it to where planes show
structure.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.isotropic_spectrum import SpectrumModel
from isoslice.data.plane_spectra import spectra_of
from isoslice.data.profile_estimate import VARIANTS, fit_variant

Floats = NDArray[np.float64]
#: Pixels that images are mirrored by at their edges before they are filtered, at most.
MARGIN = 16
#: Detail is fine that a Gaussian of this deviation removes, in pixels; the share of white noise
#: that is; and the side of the windows in which it is compared with the noise.
FINE, FINE_SHARE, WINDOW = 2.0, 0.9403, 9
#: Share of fine detail's power below which all of it may be noise.
DROWNED = 0.01


@dataclass(frozen=True)
class LostDetail:
    """How much weaker planes are than sections of the specimen.

    Attributes
    ----------
    frequencies
        Within planes, in cycles per pixel, rising from 0.
    gain
        Amplitude of a section over that of a plane, at each.
    """

    frequencies: Floats
    gain: Floats

    def put_back(self, image: NDArray[np.float32]) -> NDArray[np.float32]:
        """Give an image (Y, X) of a plane the power of a section, within its own range."""
        margin = [(min(MARGIN, n - 1),) * 2 for n in image.shape]
        padded = np.pad(image.astype(np.float64), margin, mode="reflect")
        y, x = np.fft.fftfreq(padded.shape[0])[:, None], np.fft.rfftfreq(padded.shape[1])
        gain = np.interp(np.hypot(y, x), self.frequencies, self.gain)
        sharp = np.fft.irfft2(np.fft.rfft2(padded) * gain, s=padded.shape)
        inside = tuple(slice(m, m + n) for (m, _), n in zip(margin, image.shape, strict=True))
        found: NDArray[np.float32] = sharp[inside].clip(image.min(), image.max()).astype(np.float32)
        return found


NOTHING_LOST = LostDetail(np.array([0.0, 1.0]), np.array([1.0, 1.0]))


def lost_detail(
    cubes: Sequence[NDArray[np.float32]], ratio: float, deviation: float
) -> LostDetail | None:
    """Find what planes of a known profile lack of a section's power.

    Parameters
    ----------
    cubes
        Of one channel, (n, side, side); see `plane_spectra.cubes_of`.
    ratio, deviation
        Spacing of planes, and deviation of their profile, in pixels.

    Returns
    -------
    None if nothing varies, or there are no cubes.
    """
    spectra = spectra_of(cubes)
    if spectra is None:
        return None
    model = SpectrumModel(spectra, ratio)
    fits = [(each, fit_variant(model, spectra.power, each, deviation)) for each in VARIANTS]
    gains = [model.lost(fit, each.tilt, deviation) for each, fit in fits]
    return LostDetail(
        np.concatenate([[0.0], spectra.rings]), np.concatenate([[1.0], np.median(gains, axis=0)])
    )


def put_back(lost: Sequence[LostDetail], image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Put back what each channel of an image (C, Y, X) lacks; the same image if that is nothing."""
    if not lost:
        return image
    return np.stack([each.put_back(channel) for each, channel in zip(lost, image, strict=True)])


def gathered(
    sharp: NDArray[np.float32], image: NDArray[np.float32], noise: Sequence[float]
) -> NDArray[np.float32]:
    """Take fine detail to where a plane shows more of it than its noise has.

    Parameters
    ----------
    sharp, image
        An image (C, Y, X) of a plane after `put_back`, and before.
    noise
        Deviation of the image's noise, of each channel.

    Returns
    -------
    `sharp` with as much fine detail in all, but less of it where there is nothing but noise; as it
    is where noise drowns everything, and without noise.
    """
    from scipy.ndimage import uniform_filter

    result = sharp.copy()
    for channel, plain, level in zip(result, image, noise, strict=True):
        fine = _fine(plain)
        power = uniform_filter(fine**2, WINDOW)
        structure = np.clip(power - level**2 * FINE_SHARE, 0, None)
        gain = np.sqrt(np.divide(structure, power, out=np.zeros_like(power), where=power > 0))
        detail = _fine(channel)
        moved = gain * detail
        before, after = float((detail**2).sum()), float((moved**2).sum())
        if after > DROWNED * before:
            channel += (moved * np.sqrt(before / after) - detail).astype(np.float32)
    return result


def _fine(image: NDArray[np.float32]) -> Floats:
    from scipy.ndimage import gaussian_filter

    smooth = gaussian_filter(image.astype(np.float64), FINE)
    return np.asarray(image - smooth, np.float64)
