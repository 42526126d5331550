"""What a restoration is to be, settled before the first voxel: all that voxels depend on."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from isoslice import __version__
from isoslice.data.frames import Frame, frames_of
from isoslice.data.measurement import Measurement
from isoslice.data.noise_level import noise_level
from isoslice.data.normalization import Normalization
from isoslice.data.profile import POINT, Profile, parse_profile
from isoslice.data.subsampling import evenly_spaced
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, SettingsError, warn
from isoslice.inference.consistency import MAX_PLANES, damping_of
from isoslice.inference.found_profile import find_profile, less_grain
from isoslice.inference.inspection import Inspection
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.stack import Stack
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.progress import Progress

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
    profile, noise, damping
        Slice profile of the planes, in output planes; where they are blurred, the deviation of
        their noise in normalised intensities, and what it damps, of each channel.
    profile_from
        What the stack alone told of it, if it was asked.
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
    profile_from: str = ""
    noise: tuple[float, ...] = ()
    damping: tuple[float, ...] = ()
    doubts: tuple[str, ...] = ()

    def measurement(self, frame: Frame) -> Measurement:
        """Return how a frame's planes were measured."""
        places = tuple(map(float, frame.grid.known))
        damping = self.damping[frame.channels] or (0.0,)
        return Measurement(places, frame.grid.depth, self.profile, damping)

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
    progress: Progress | None = None,
) -> Plan:
    """Settle everything; see `Plan`.

    Raises
    ------
    SettingsError
        If a slice profile does not fit the stack.
    """
    profile = profile_in_planes(options.slice_profile, stack.volume, stack.factor)
    profile_from = ""
    if options.slice_profile == "auto":
        found = find_profile(stack.volume, stack.factor, inspection)
        profile, profile_from = found.profile(stack.factor), found.message
        if found.estimate.told:
            (progress or Progress()).note(profile_from)
        else:
            warn(f"{profile_from}; planes are taken for points", DoubtWarning)
            doubts = (*doubts, profile_from)
    noise: tuple[float, ...] = ()
    damping: tuple[float, ...] = ()
    if profile != POINT and isinstance(model.config, ModelConfig):
        noise, damping = _noise(stack, inspection, model.config, profile)
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
        profile_from=profile_from,
        noise=noise,
        damping=damping,
        doubts=doubts,
    )


def profile_in_planes(asked: str, volume: Volume, factor: int) -> Profile:
    """Return the profile that was asked for, in output planes, for a volume coarse along Z.

    Raises
    ------
    SettingsError
        If it has a length, but the stack no spacing of planes; if it is longer than the stack;
        or if there are too many planes.
    """
    kind, width = parse_profile(asked)
    if kind == "point":
        return POINT
    count = volume.size("Z")
    if count > MAX_PLANES:
        raise SettingsError(
            f"got slice profile {asked} for {count:,} planes, expected {MAX_PLANES:,} at most; "
            "restore the stack in pieces, or without it"
        )
    if kind == "auto":  # until the stack is asked
        return POINT
    if width is None:  # a slab from plane to plane
        return Profile(kind, float(factor))
    spacing = volume.spacing.get("Z")
    if spacing is None:
        raise SettingsError(
            f"got slice profile {asked} for a stack without spacing of its planes, expected both "
            "in one unit; say the voxel size, for example --voxel-size 5,0.45,0.45mm"
        )
    if width > spacing * (count - 1):
        unit = volume.unit or "the stack's unit"
        raise SettingsError(
            f"got slice profile {asked}, {width / spacing:.3g} planes wide, for a stack of {count} "
            f"planes {spacing:g} {unit} apart, expected a blur that fits into it; give the width "
            "in that unit"
        )
    return Profile(kind, width).scaled(factor / spacing)


def _noise(
    stack: Stack, inspection: Inspection, config: ModelConfig, profile: Profile
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure the noise of each channel in the middle of some planes, and what it damps."""
    volume, (time, run) = stack.volume, inspection.survey.filled_run
    y, x = (
        slice(max(0, n // 2 - SIDE // 2), n // 2 + SIDE // 2)
        for n in (volume.size("Y"), volume.size("X"))
    )
    planes = [run.start + z for z in evenly_spaced(run.stop - run.start, NOISE_PLANES)]
    parts = [volume.read((time, slice(None), slice(z, z + 1), y, x)) for z in planes]
    scaled = inspection.normalization.apply(np.concatenate(parts, axis=1))
    noise = tuple(noise_level(channel) for channel in scaled)
    noise = less_grain(noise, volume, stack.factor, inspection, profile)
    damping = tuple(
        damping_of(level, np.nan_to_num(channel), config.sigma_data, config.softening)
        for level, channel in zip(noise, scaled, strict=True)
    )
    return noise, damping
