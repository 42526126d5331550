"""What a restoration is to be, settled before the first voxel: all that voxels depend on."""

from __future__ import annotations

from typing import Annotated, Literal, cast

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from isoslice import __version__
from isoslice.data.frames import Frame, frames_of
from isoslice.data.grid import PlaneGrid, even_grid
from isoslice.data.measurement import Measurement
from isoslice.data.noise_range import noise_levels
from isoslice.data.normalization import Normalization
from isoslice.data.planes import OTHER_ROWS
from isoslice.data.profile import POINT, Profile
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, SettingsError, warn
from isoslice.inference.asked_profile import profile_in_planes, told_of_file
from isoslice.inference.consistency import MAX_PLANES, damping_of
from isoslice.inference.found_profile import (
    CANNOT_TELL,
    find_profile,
    less_grain,
    ratio_of,
    tells_of_detail,
)
from isoslice.inference.inspection import Inspection, some_planes
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.stack import Stack
from isoslice.inference.stack_units import FrameUnits, in_units, units_of_stack
from isoslice.inference.stored_profile import ChosenProfile, choose_profile
from isoslice.models.config import AnyConfig, ModelConfig
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.progress import Progress

#: What is said of intervals that may be too narrow.
UNKNOWN_DETAIL = (
    "intervals may be far too narrow: planes are too few or too small to tell how much detail "
    "their slice profile averages away (5 planes of 24 x 24 pixels at least)"
)


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
        Output planes per measured plane, rounded where that is no integer, at least 2.
    ratio, step, positions
        Output planes per measured plane, not rounded, the spacing of output planes in the stack's
        unit, and where planes lie among them: see `OutputSpacing`. Of planes that are `factor`
        apart, no positions are listed.
    along
        The axis that is coarse.
    separate
        Whether each channel is restored by itself.
    normalization
        Of the stack's intensities, per channel.
    lost
        Planes that were lost, of each time point and channel.
    reasons
        Why each of them is taken as lost.
    profile, noise, damping
        Slice profile of the planes, in output planes; unless they are points, the deviation of
        their noise in normalised intensities, and what it damps, of each channel.
    profile_from
        What the stack alone, a file or the model told of it, if it was asked.
    pixels
        Distance of output planes in XY pixels; 1 where it is not known.
    units
        Of what is restored at once, see `stack_units`; none unless they are measured.
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
    ratio: Annotated[float, Field(gt=1)]
    step: float | None = None
    positions: tuple[float, ...] = ()
    along: Literal["Z", "Y", "X"]
    separate: bool
    normalization: Normalization
    lost: tuple[tuple[tuple[int, ...], ...], ...]
    reasons: tuple[tuple[tuple[str, ...], ...], ...] = ()
    profile: Profile = POINT
    profile_from: str = ""
    noise: tuple[float, ...] = ()
    damping: tuple[float, ...] = ()
    pixels: float = 1.0
    units: tuple[FrameUnits, ...] = ()
    doubts: tuple[str, ...] = ()

    def measurement(self, frame: Frame) -> Measurement:
        """Return how a frame's planes were measured."""
        places = tuple(map(float, frame.grid.known))
        noise, damping = (each[frame.channels] or (0.0,) for each in (self.noise, self.damping))
        return Measurement(
            places, frame.grid.depth, self.profile, noise, damping, pixels=self.pixels
        )

    def units_of(self, frame: Frame) -> FrameUnits:
        """Return the units that a frame is restored in; None for those of the model."""
        if not self.units:
            return None
        return self.units[frame.channels.start if self.separate else 0]

    def frames(self, volume: Volume) -> list[Frame]:
        """List what is restored at once: time points, or each channel of them.

        `volume` is the stack, its coarse axis called Z.
        """
        places = self.positions or even_grid(volume.size("Z"), self.factor).known
        return frames_of(
            volume.size("T"),
            volume.size("C"),
            places,
            self.lost,
            self.separate,
            self.options.seed,
        )


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
    DataError, SettingsError
        If a slice profile does not fit the stack, or its file holds none.
    """
    spacing, ratio = stack.spacing, stack.spacing.ratio
    pixels = ratio_of(stack.volume, ratio) / ratio
    _tell_of_rows(model.config, pixels, progress or Progress())
    chosen = choose_profile(options, model.config, stack.volume)
    profile, profile_from = _profile_of(chosen, stack, inspection, progress or Progress())
    if chosen.asked == "auto" and profile_from.startswith(CANNOT_TELL):
        doubts = (*doubts, profile_from)
    unsure = options.estimates_errors and profile != POINT
    if unsure and not tells_of_detail(stack.volume, ratio, inspection):
        warn(UNKNOWN_DETAIL, DoubtWarning)
        doubts = (*doubts, UNKNOWN_DETAIL)
    noise: tuple[float, ...] = ()
    damping: tuple[float, ...] = ()
    whole = PlaneGrid(spacing.positions).is_whole
    points = whole and profile == POINT and not options.denoise
    if not points and not isinstance(model.config, ModelConfig):
        raise SettingsError(
            f"got planes between output planes, {ratio:.4g} apart, for a {model.config.recipe} "
            f"model, expected each to be one of the output's; give --factor {stack.factor}, say "
            "--positions even, or use a model of the preset isoslice"
        )
    units = units_of_stack(model.config, stack.volume, inspection)
    normalization = inspection.normalization
    if profile == POINT and isinstance(model.config, ModelConfig):
        normalization = normalization.bounded(inspection.survey)  # blur lowers peaks by any factor
    if not points and isinstance(model.config, ModelConfig):
        _check_told(model.config, stack.volume, options)
        noise, damping = _noise(stack, inspection, model, profile, units)
    return Plan(
        source=stack.volume.source,
        model=model.fingerprint,
        recipe=model.config.recipe,
        options=options,
        factor=stack.factor,
        ratio=spacing.ratio,
        pixels=pixels,
        units=units,
        step=spacing.step,
        positions=() if spacing.is_even else spacing.positions,
        along=cast("Literal['Z', 'Y', 'X']", stack.along),
        separate=stack.separate,
        normalization=normalization,
        lost=inspection.lost,
        reasons=inspection.reasons,
        profile=profile,
        profile_from=profile_from,
        noise=noise,
        damping=damping,
        doubts=doubts,
    )


def _tell_of_rows(config: AnyConfig, pixels: float, progress: Progress) -> None:
    """Tell that a model learned from rows of another spacing than planes are restored at."""
    if not isinstance(config, ModelConfig):
        return
    rows, wanted = config.training.row_spacing, max(1.0, pixels)
    if not 1 / OTHER_ROWS < wanted / rows < OTHER_ROWS:
        progress.note(
            f"the model learned from rows {rows:.3g} pixels apart, planes are restored "
            f"{wanted:.3g} pixels apart: a model that is trained for it is more accurate (train "
            "--spacing, or predict without a model)"
        )


def _profile_of(
    chosen: ChosenProfile, stack: Stack, inspection: Inspection, progress: Progress
) -> tuple[Profile, str]:
    """Return a stack's profile in output planes, and where it is from; tell the user."""
    volume, ratio = stack.volume, stack.spacing.ratio
    if chosen.asked == "auto":
        found = find_profile(volume, ratio, inspection)
        if found.estimate.told:
            progress.note(found.message)
        else:
            warn(f"{found.message}; planes are taken for points", DoubtWarning)
        return found.profile(ratio), found.message
    profile = profile_in_planes(chosen.asked, volume, ratio)
    told = chosen.told or told_of_file(chosen.asked, profile, volume, ratio)
    if told:
        progress.note(told)
    return profile, told if chosen.blurred else ""


def _check_told(config: ModelConfig, volume: Volume, options: ResolvedOptions) -> None:
    """Refuse planes that are no points where a model or the memory cannot do with them."""
    if options.denoise and not config.network.measured:
        raise SettingsError(
            "got denoise for a model of an earlier version, or one that was distilled from it, "
            "which keeps measured planes as they are; train one anew, or leave it out"
        )
    if options.estimates_errors and not config.network.measured:
        raise SettingsError(
            "got uncertainty or samples for planes that are blurred, noisy or unevenly spaced, and "
            "a model of an earlier version, which knows its errors between sharp planes alone; "
            "train one anew, or leave the uncertainty out"
        )
    if volume.size("Z") > MAX_PLANES:
        raise SettingsError(
            f"got {volume.size('Z'):,} planes that are blurred, noisy or unevenly spaced, expected "
            f"{MAX_PLANES:,} at most; restore the stack in pieces, or take them for points"
        )


def _noise(
    stack: Stack,
    inspection: Inspection,
    model: ModelBundle,
    profile: Profile,
    units: tuple[FrameUnits, ...],
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Measure the noise of each channel in some planes, and what it damps."""
    planes = some_planes(stack.volume, inspection.survey)
    scaled = inspection.normalization.apply(planes)
    levels, learned = noise_levels(scaled), _settings(model, None).noise
    noise = less_grain(levels, stack.volume, stack.spacing.ratio, inspection, profile, learned)
    each = np.repeat(np.arange(len(units) or 1), len(noise) // (len(units) or 1))
    damping = []
    for level, channel, group in zip(noise, scaled, each, strict=True):
        own = _settings(model, units[group] if units else None)
        damping.append(
            damping_of(
                level,
                np.nan_to_num(channel),
                own.sigma_data,
                own.softening,
                told=own.network.measured,
            )
        )
    return noise, tuple(damping)


def _settings(model: ModelBundle, units: FrameUnits) -> ModelConfig:
    """Return the settings of a model of isoslice's own recipe in some units."""
    config = in_units(model, units).config
    assert isinstance(config, ModelConfig)
    return config
