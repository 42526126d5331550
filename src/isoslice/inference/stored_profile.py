"""The slice profile that a model knows of its training stacks: found, stored, and used again.

A microscope or scanner blurs the next stack as it did the last. So a model may store the profile of
the stack that it learned from; stacks with planes as far apart are taken to have it, too, unless
another one is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np

from isoslice.data.missing import FOUND, Missing
from isoslice.data.profile import POINT, Profile
from isoslice.data.units import METRES, SYMBOLS, convert
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, SettingsError, warn
from isoslice.inference.asked_profile import Asked, as_text, profile_in_planes, told_of_file
from isoslice.inference.consistency import MAX_PLANES
from isoslice.inference.found_profile import FoundProfile, find_profile
from isoslice.inference.inspection import inspect
from isoslice.inference.options import PredictOptions
from isoslice.models.config import AnyConfig, ModelConfig, StoredProfile
from isoslice.runtime.progress import Progress

#: Relative difference of spacings that count as the same.
SAME_SPACING = 0.01
#: Most stacks whose profile is looked for, evenly among them: each takes seconds.
MOST_STACKS = 8
#: Standard errors by which stacks of one profile may differ.
APART = 2.0


class ChosenProfile(NamedTuple):
    """The profile of a stack that is restored.

    Attributes
    ----------
    asked
        By the user, or the model's own, in the stack's unit.
    told
        That it is the model's own, or why that is not used; empty where there is nothing to tell.
    """

    asked: Asked
    told: str = ""

    @property
    def blurred(self) -> bool:
        """Whether planes are, or may be, taken for more than points."""
        return self.asked != "point"


def choose_profile(options: PredictOptions, config: AnyConfig, volume: Volume) -> ChosenProfile:
    """Return the profile that was asked for; else the model's own, if the stack is like its own.

    Parameters
    ----------
    options
        Of the prediction.
    config
        Of the model.
    volume
        The stack, its coarse axis called Z.
    """
    if options.slice_profile is not None:
        return ChosenProfile(options.slice_profile)
    stored = config.slice_profile
    if stored is None or stored.profile is None or stored.profile == POINT:
        return ChosenProfile("point")
    known = f"the model knows a slice profile ({stored.told})"
    given = _in_unit(stored.profile, stored.unit, volume.unit)
    reason = _unlike(stored, volume)
    if given is not None and not reason:
        reason = _refused(options, config, given, volume)
    if given is None or reason:
        return ChosenProfile(
            "point",
            f"{known}, which is not used: {reason}; planes are taken for points, or as "
            "--slice-profile says",
        )
    return ChosenProfile(
        given, f"{known}, which is undone; --slice-profile point takes planes for points"
    )


def _unlike(stored: StoredProfile, volume: Volume) -> str:
    """Say how a stack differs from those of a profile; empty if it does not."""
    step = volume.spacing.get("Z")
    same = _ratio(stored.unit, volume.unit)
    if step is None or same is None:
        return f"the stack does not say how far its planes are apart, in {stored.unit or 'units'}"
    nearest = min((each * same for each in stored.spacings), key=lambda each: abs(each - step))
    if abs(nearest - step) <= SAME_SPACING * nearest:
        return ""
    unit = SYMBOLS.get(str(volume.unit), volume.unit or "units")
    return f"its planes are {nearest:.4g} {unit} apart, the stack's {step:.4g}"


def _refused(options: PredictOptions, config: AnyConfig, profile: Profile, volume: Volume) -> str:
    """Say why a profile cannot be undone with other options, or in a stack; empty if it can."""
    if volume.size("Z") > MAX_PLANES:
        return f"the stack has more than {MAX_PLANES:,} planes"
    told = isinstance(config, ModelConfig) and config.network.measured
    if options.estimates_errors and not told:
        return "the model's network is of an earlier version, which does not know its errors then"
    try:
        PredictOptions.model_validate({**options.model_dump(), "slice_profile": profile})
        profile_in_planes(profile, volume, 2.0)
    except SettingsError as error:
        return str(error)
    return ""


def _ratio(unit: str | None, into: str | None) -> float | None:
    """Return how long a unit is in another one; None where that is not known."""
    if unit == into:
        return 1.0
    if unit in METRES and into in METRES:
        return convert(1.0, str(unit), str(into))
    return None


def _in_unit(profile: Profile, unit: str | None, into: str | None) -> Profile | None:
    ratio = _ratio(unit, into)
    return None if ratio is None else profile if ratio == 1 else profile.scaled(ratio)


def profile_to_store(
    asked: Asked | Path | None,
    volumes: Sequence[Volume],
    config: AnyConfig,
    progress: Progress,
    missing: Missing = FOUND,
) -> StoredProfile | None:
    """Return what a model is to store of the profile of its training stacks.

    Parameters
    ----------
    asked
        As `Model.predict` takes it; nothing is stored of None and of points.
    volumes
        Training images, their coarse axis called Z. Those without planes along Z do not count.
    config
        Of the model.
    progress
        Hears what was found.
    missing
        Planes of the stacks that are missing.

    Raises
    ------
    DataError, SettingsError
        If the profile does not fit the stacks, or the model.
    """
    asked = PredictOptions.model_validate({"slice_profile": asked}).slice_profile
    if asked is None or asked == "point":
        return None
    if config.recipe != "isoslice":
        raise SettingsError(
            f"got slice profile {as_text(asked)} for a {config.recipe} model, which takes planes "
            "for points; leave it out, or train a model of the preset isoslice"
        )
    stacks = [volume for volume in volumes if volume.size("Z") > 1 and "Z" in volume.spacing]
    if not stacks or len({stack.unit for stack in stacks}) > 1:
        units = " and ".join(sorted({str(stack.unit) for stack in stacks})) or "none"
        raise SettingsError(
            f"got slice profile {as_text(asked)}, expected stacks to train on whose planes have a "
            f"spacing, all in one unit (got {units}); say the voxel size, for example "
            "--voxel-size 5,0.45,0.45mm, or leave it out"
        )
    stored = _found(stacks, config, missing) if asked == "auto" else _given(asked, stacks)
    progress.note(f"the model stores a slice profile: {stored.told}")
    return stored


def _given(asked: Asked, stacks: Sequence[Volume]) -> StoredProfile:
    """Return a profile that was given, in the stacks' unit."""
    found = [profile_in_planes(asked, stack, stack.spacing["Z"]) for stack in stacks]
    profile = found[0]
    if any(abs(each.width / profile.width - 1) > SAME_SPACING for each in found):
        raise SettingsError(
            f"got slice profile {as_text(asked)} for stacks with planes "
            f"{' and '.join(f'{step:.4g}' for step in _spacings(stacks))} apart, expected one "
            "width; give it, for example slab:5"
        )
    first = stacks[0]
    of_file = told_of_file(asked, profile, first, first.spacing["Z"])
    unit = SYMBOLS.get(str(first.unit), first.unit or "units")
    told = of_file or f"{profile.kind} of {profile.width:.4g} {unit}, as it was given"
    return StoredProfile(profile=profile, spacings=_spacings(stacks), unit=first.unit, told=told)


def _found(stacks: Sequence[Volume], config: AnyConfig, missing: Missing) -> StoredProfile:
    """Return what stacks tell of their profile, each by itself."""
    which = sorted({round(i) for i in np.linspace(0, len(stacks) - 1, MOST_STACKS)})
    few = [stacks[i] for i in which]
    each = [_find(stack, config, missing if len(stacks) == 1 else FOUND) for stack in few]
    stored = StoredProfile(spacings=_spacings(stacks), unit=stacks[0].unit, told="")
    known = [found for found in each if found.estimate.told]
    if not known:
        warn(f"{each[0].message}; the model stores none", DoubtWarning)
        return stored.updated(told="the training stacks cannot tell")
    widths = np.array([found.estimate.fwhm * found.pixel for found in known])
    errors = np.array([found.estimate.fwhm_error * found.pixel for found in known])
    blurred = {found.estimate.sees_blur for found in known}
    pairs = combinations(zip(widths, errors, strict=True), 2)
    alike = all(abs(a - b) <= APART * np.hypot(ea, eb) for (a, ea), (b, eb) in pairs)
    unit = known[0].unit
    if len(blurred) > 1 or not alike:
        told = ", ".join(f"{w:.3g} ± {e:.3g}" for w, e in zip(widths, errors, strict=True))
        warn(
            f"training stacks show slice profiles of different widths (FWHM {told} {unit}); the "
            "model stores none: train on stacks of one kind, or say --slice-profile gaussian:FWHM",
            DoubtWarning,
        )
        return stored.updated(told=f"the training stacks differ: FWHM {told} {unit}")
    weights = 1 / np.square(errors)
    width, error = float(np.sum(weights * widths) / np.sum(weights)), float(np.sum(weights) ** -0.5)
    stack = "stack" if len(few) == 1 else f"{len(known)} of {len(few)} stacks"
    if not blurred.pop():
        told = f"no blur in excess of XY, by the training {stack}"
        return stored.updated(profile=POINT, error=error, told=told)
    told = f"FWHM {width:.3g} ± {error:.3g} {unit}, found from the training {stack}"
    return stored.updated(profile=Profile("gaussian", width), error=error, told=told)


def _find(stack: Volume, config: AnyConfig, missing: Missing) -> FoundProfile:
    inspection = inspect(stack, config, Progress(), missing)
    return find_profile(stack, 2, inspection)


def _spacings(stacks: Sequence[Volume]) -> tuple[float, ...]:
    return tuple(sorted({float(stack.spacing["Z"]) for stack in stacks}))
