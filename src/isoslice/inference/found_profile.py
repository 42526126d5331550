"""The slice profile and the noise of a stack that is to be restored, found from the stack alone."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from isoslice.data.box import Region
from isoslice.data.noise_range import OTHER_NOISE
from isoslice.data.plane_spectra import cubes_of
from isoslice.data.profile import POINT, Profile
from isoslice.data.profile_estimate import ProfileEstimate, Reader, estimate_from, noise_seen
from isoslice.data.units import SYMBOLS
from isoslice.data.volume import Volume
from isoslice.inference.inspection import Inspection

EVERY = slice(None)
#: How the message of a stack that cannot tell begins.
CANNOT_TELL = "cannot tell"
#: Planes of a narrower profile, in spacings, see too little of each other to tell grain from noise.
NARROW = 0.25
#: Planes of a profile narrower than this, in spacings, hardly tell: grain of a slab of one spacing
#: is as white along Z as noise. Noise then counts as this share of what single planes show, at
#: least: 0.03 dB less without noise, 0.2 more with 3%, up to 1.3 where noise was taken for grain
#: (means of networks that are told, over the planes that five of them learned from).
UNCERTAIN, LEAST_SHARE = 0.4, 0.75


@dataclass(frozen=True)
class FoundProfile:
    """What a stack tells of its slice profile.

    Attributes
    ----------
    estimate
        Lengths in XY pixels.
    pixel, unit
        Size of an XY pixel, and its unit.
    """

    estimate: ProfileEstimate
    pixel: float
    unit: str

    @property
    def message(self) -> str:
        """What was found, in plain words."""
        found = self.estimate
        if not found.told:
            return (
                f"{CANNOT_TELL} the slice profile from the stack alone ({found.why_not}); if you "
                "know what a plane sees along Z, say it with --slice-profile slab:WIDTH or "
                "gaussian:FWHM"
            )
        fwhm, error = self.length(found.fwhm), self.length(found.fwhm_error)
        if not found.sees_blur:
            most = self.length(found.fwhm + 2 * found.fwhm_error)
            return f"the stack alone shows no blur along Z in excess of XY (FWHM at most {most})"
        return (
            f"the stack alone shows a slice profile of FWHM {fwhm} ± {error}, or a slab of "
            f"{self.length(found.slab)}"
        )

    def length(self, pixels: float) -> str:
        """Write a length in XY pixels in the stack's unit."""
        return f"{pixels * self.pixel:.3g} {SYMBOLS.get(self.unit, self.unit)}"

    def compared(self, asked: str, given: Profile, factor: float) -> str:
        """Compare with a profile that is given in output planes, `factor` a measured one."""
        found = self.estimate
        if not found.told:
            return ""
        deviation = given.deviation / factor * found.ratio
        apart = abs(deviation - found.deviation) / found.error
        if apart <= 2:
            return f"{asked} agrees with it"
        wider = "wider" if deviation > found.deviation else "narrower"
        return f"{asked} is {wider} than that by {apart:.1f} standard errors: check the width"

    def profile(self, factor: float) -> Profile:
        """Return the profile in output planes; a point where none is seen or told."""
        if not self.estimate.sees_blur:
            return POINT
        return Profile("gaussian", self.estimate.fwhm / self.estimate.ratio * factor)


def find_profile(volume: Volume, factor: float, inspection: Inspection) -> FoundProfile:
    """Estimate the profile of a stack, its coarse axis called Z."""
    time, shape, _ = _filled(volume, inspection)
    ratio = ratio_of(volume, factor)
    if volume.z_positions is not None:
        estimate = ProfileEstimate(0.0, math.inf, ratio, 0.0, "evenly spaced planes")
    else:
        estimate = estimate_from(_reader(volume, inspection, time), shape, ratio)
    y, x = (volume.spacing.get(axis) for axis in "YX")
    size = math.sqrt(y * x) if y and x else 1.0
    return FoundProfile(estimate, size, (volume.unit or "units") if y and x else "pixels")


def ratio_of(volume: Volume, factor: float) -> float:
    """Return the spacing of planes in XY pixels; the factor where it is not known."""
    z, y, x = (volume.spacing.get(axis) for axis in "ZYX")
    return max(1.0, z / math.sqrt(y * x)) if z and y and x else float(factor)


def less_grain(
    levels: tuple[float, ...],
    volume: Volume,
    factor: float,
    inspection: Inspection,
    profile: Profile,
    learned: tuple[float, ...] | None = None,
) -> tuple[float, ...]:
    """Reduce noise levels of channels to what planes do not see of each other's grain.

    Parameters
    ----------
    levels
        Read from single planes, with the specimen's own grain.
    profile
        In output planes.
    learned
        The same levels of the images that the model learned from, if known; those of one channel
        stand for all. Grain is in these, too: what is beyond them is noise.
    """
    if volume.z_positions is not None or profile.deviation < NARROW * factor:
        return levels
    time, shape, _ = _filled(volume, inspection)
    ratio = ratio_of(volume, factor)
    read = _reader(volume, inspection, time)
    parts = [read(region) for region in cubes_of(shape, ratio)]
    deviation = profile.deviation / factor * ratio
    grains = levels if learned is None else learned * (len(levels) // len(learned))
    left = []
    for channel, (level, grain) in enumerate(zip(levels, grains, strict=True)):
        seen = noise_seen([part[channel] for part in parts], ratio, deviation)
        if seen is not None and profile.deviation < UNCERTAIN * factor:
            added = math.sqrt(level**2 - grain**2) if level > grain * OTHER_NOISE else 0.0
            seen = max(seen, LEAST_SHARE * level, added)
        left.append(level if seen is None else min(level, seen))
    return tuple(left)


def tells_of_detail(volume: Volume, factor: float, inspection: Inspection) -> bool:
    """Whether planes are enough to tell what their profile takes from them; see `lost_detail`."""
    return bool(cubes_of(_filled(volume, inspection)[1], ratio_of(volume, factor)))


def _filled(volume: Volume, inspection: Inspection) -> tuple[int, tuple[int, int, int], int]:
    """Return a time point, the shape of its planes that hold something, and the first of them."""
    time, run = inspection.survey.filled_run
    return time, (run.stop - run.start, volume.size("Y"), volume.size("X")), run.start


def _reader(volume: Volume, inspection: Inspection, time: int) -> Reader:
    start = _filled(volume, inspection)[2]

    def read(region: Region) -> NDArray[np.float32]:
        z, y, x = region
        inside = slice(start + z.start, start + z.stop)
        return inspection.normalization.apply(volume.read((time, EVERY, inside, y, x)))

    return read
