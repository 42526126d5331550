"""What a restoration is to be, settled before the first voxel: all that voxels depend on."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from isoslice import __version__
from isoslice.data.frames import Frame, frames_of
from isoslice.data.noise_level import noise_level
from isoslice.data.normalization import Normalization
from isoslice.data.profile import POINT, Profile, parse_profile
from isoslice.data.subsampling import evenly_spaced
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.inspection import Inspection
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.stack import Stack
from isoslice.models.files.bundle import ModelBundle

#: Planes in which the noise is measured, and the side of what is looked at of each, in pixels.
NOISE_PLANES, SIDE = 8, 1024


class Plan(BaseModel):
    """A restoration of one stack by one model.

    Attributes
    ----------
    isoslice
        Version that made it.
    source
        The stack.
    model, recipe
        Fingerprint of the model, and its recipe.
    options
        Resolved.
    factor
        Output planes per measured plane.
    along
        The axis that is coarse.
    separate
        Whether each channel is restored by itself.
    normalization
        Of the stack's intensities, per channel.
    lost
        Planes that were lost, of each time point and channel.
    profile, noise
        Slice profile of the planes, in output planes; and the deviation of their noise, in
        normalised intensities, which is asked for only where they are blurred.
    doubts
        What was warned of.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    isoslice: str = __version__
    source: str
    model: str
    recipe: str
    options: ResolvedOptions
    factor: Annotated[int, Field(ge=2)]
    along: Literal["Z", "Y", "X"]
    separate: bool
    normalization: Normalization
    lost: tuple[tuple[tuple[int, ...], ...], ...]
    profile: Profile = POINT
    noise: Annotated[float, Field(ge=0)] = 0.0
    doubts: tuple[str, ...] = ()

    def frames(self, volume: Volume) -> list[Frame]:
        """List what is restored at once: time points, or each channel of them.

        `volume` is the stack, its coarse axis called Z.
        """
        shape = volume.size("T"), volume.size("C"), volume.size("Z")
        return frames_of(shape, self.factor, self.lost, self.separate, self.options.seed)


def plan_restoration(
    stack: Stack,
    inspection: Inspection,
    model: ModelBundle,
    options: ResolvedOptions,
    doubts: tuple[str, ...],
) -> Plan:
    """Settle everything; see `Plan`.

    Raises
    ------
    SettingsError
        If a slice profile has a length, but the stack no spacing of planes.
    """
    profile = _profile_in_planes(options.slice_profile, stack)
    return Plan(
        source=stack.volume.source,
        model=model.fingerprint,
        recipe=model.config.recipe,
        options=options,
        factor=stack.factor,
        along=cast("Literal['Z', 'Y', 'X']", stack.along),
        separate=stack.separate,
        normalization=inspection.normalization,
        lost=inspection.lost,
        profile=profile,
        noise=0.0 if profile == POINT else _noise(stack.volume, inspection),
        doubts=doubts,
    )


def _profile_in_planes(asked: str, stack: Stack) -> Profile:
    """Return the profile that was asked for, in output planes."""
    kind, width = parse_profile(asked)
    if kind == "point":
        return POINT
    if width is None:  # a slab from plane to plane
        return Profile(kind, float(stack.factor))
    spacing = stack.volume.spacing.get("Z")
    if spacing is None:
        raise SettingsError(
            f"got slice profile {asked} for a stack without spacing of its planes, expected both "
            "in one unit; say the voxel size, for example --voxel-size 5,0.45,0.45mm"
        )
    return Profile(kind, width).scaled(stack.factor / spacing)


def _noise(volume: Volume, inspection: Inspection) -> float:
    """Measure the noise in the middle of some planes, normalised; the mean of all channels."""
    time, run = inspection.survey.filled_run
    y, x = (
        slice(max(0, n // 2 - SIDE // 2), n // 2 + SIDE // 2)
        for n in (volume.size("Y"), volume.size("X"))
    )
    planes = [run.start + z for z in evenly_spaced(run.stop - run.start, NOISE_PLANES)]
    parts = [volume.read((time, slice(None), slice(z, z + 1), y, x)) for z in planes]
    scaled = inspection.normalization.apply(np.concatenate(parts, axis=1))
    return float(np.mean([noise_level(channel) for channel in scaled]))
