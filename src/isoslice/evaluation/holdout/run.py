"""Hide measured planes of a stack, restore them and compare: how far a model can be trusted.

`check` hides every other measured plane (`hide`), restores it by the model and by
interpolation, and scores both (`result`); from that it extrapolates the scores of the volume at
the user's factor (`extrapolation`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.coarse import coarse_axis, turned
from isoslice.data.frames import Lost, without_gaps
from isoslice.data.interpolation import Method
from isoslice.data.missing import parse_missing
from isoslice.data.normalization import Normalization
from isoslice.data.output_spacing import Wanted, output_spacing
from isoslice.data.profile import POINT, Profile
from isoslice.data.srh import srh_channels
from isoslice.data.volume import AXES, Volume, from_tczyx
from isoslice.data.z_positions import at_planes
from isoslice.errors import DataError
from isoslice.evaluation.holdout.extrapolation import (
    interpolation_errors,
    model_ratio,
    pick_crops,
    rows_fit,
)
from isoslice.evaluation.holdout.hide import check_planes, interpolate_hidden
from isoslice.evaluation.holdout.restore import Spaced, restored_planes
from isoslice.evaluation.holdout.result import (
    METHODS,
    ChannelCheck,
    Fidelity,
    binned,
    score_planes,
)
from isoslice.inference.asked_profile import Asked, as_text, profile_in_planes, told_of_file
from isoslice.inference.found_profile import find_profile
from isoslice.inference.inspection import Inspection, diagnose, inspect
from isoslice.inference.model import Model
from isoslice.inference.options import PredictOptions
from isoslice.inference.recipes import recipe_of
from isoslice.inference.rows import restore_rows
from isoslice.inference.stack import as_volume, check_stack, choose_spacing, restores_separately
from isoslice.inference.stack_units import FrameUnits, in_units, units_of_planes
from isoslice.inference.stored_profile import choose_profile
from isoslice.models.choices import Mode
from isoslice.models.config import ModelConfig
from isoslice.runtime.device import choose_device
from isoslice.runtime.progress import Progress

if TYPE_CHECKING:
    from isoslice.models.reliability.out_of_distribution import OodReference

INTERPOLATIONS: tuple[Method, ...] = ("linear", "cubic")
#: Most voxels that are restored in each of two rounds; of larger stacks the middle is checked.
MAX_VOXELS = 2**26


def check(
    stack: NDArray[Any] | Volume,
    model: Model | str | Path,
    axes: str | None = None,
    voxel_size: Sequence[float] | None = None,
    factor: int | None = None,
    *,
    mode: Mode | None = None,
    steps: int | None = None,
    seed: int = 0,
    device: str = "auto",
    familiar: OodReference | None = None,
    progress: Progress | None = None,
    along: str | None = None,
    missing: str | Sequence[int] | None = None,
    slice_profile: Asked | None = None,
) -> Fidelity:
    """Hide measured planes, restore them, and score how far the model can be trusted here.

    Parameters
    ----------
    stack, axes, voxel_size, factor
        As `Model.predict` takes them; at least three planes. `stack` may be opened lazily.
    model
        A model, or its folder.
    mode
        ``mean`` by default, the most accurate; ``sample`` scores one plausible volume. A model of
        the preset msdsr has only samples.
    steps, seed, device, progress, along, missing
        As `Model.predict` takes them.
    familiar
        Texture of the model's training images; by default the model's own record.
    slice_profile
        As `Model.predict` takes it. Hidden planes are compared with what they would see of the
        restored volume, and the profile with the one that the planes show.

    Returns
    -------
    Scores, maps of errors, warnings and a verdict.

    Raises
    ------
    DataError, SettingsError
        As `Model.predict`; also if there are fewer than three planes.

    Examples
    --------
    >>> import numpy as np
    >>> import isoslice
    >>> planes = np.random.default_rng(0).random((4, 40, 40), np.float32)
    >>> found = isoslice.check(planes, "pretrained", axes="ZYX", factor=2)
    >>> sorted(found.psnr)
    ['cubic', 'linear', 'model']
    >>> found.verdict.startswith("at hidden planes of this stack")
    True
    """
    progress, told = progress or Progress(), parse_missing(missing)
    model = model if isinstance(model, Model) else Model.load(model)
    config = model.config
    recipe = recipe_of(config)
    options = PredictOptions(
        mode=mode or recipe.most_accurate, steps=steps, seed=seed, slice_profile=slice_profile
    )
    mode = recipe.resolve(options).mode
    volume, along = _checkable(stack, axes, voxel_size, along)
    choose_device(device)
    separate = restores_separately(config, volume)
    if not config.srh:
        check_stack(volume, volume.size("C") if separate else config.network.channels)
    factor = choose_spacing(volume, Wanted(factor), progress, along).factor
    chosen = choose_profile(options, config, volume)
    profile = profile_in_planes(chosen.asked, volume, factor)
    notes = [*_notes_on_training(model, volume.source), *filter(None, [chosen.told])]
    told.check(count := volume.size("Z"), volume.source)
    volume = middle_of(volume, factor, notes)
    told = told.within((count - volume.size("Z")) // 2, volume.size("Z"))
    seen = srh_channels(volume) if config.srh else volume
    check_stack(seen, seen.size("C") if separate else config.network.channels)
    inspection = inspect(seen, config, progress, told)
    normalization, lost = inspection.normalization, inspection.lost
    found = find_profile(seen, factor, inspection)
    notes.append(found.message)
    if chosen.asked == "auto":
        profile = found.profile(factor)
    elif chosen.blurred:
        compared = found.compared(as_text(chosen.asked), profile, factor)
        told_of = told_of_file(chosen.asked, profile, volume, factor)
        notes.extend(filter(None, [told_of, compared]))
    spaced = _spaced(volume, factor, profile)
    seen = _filled(seen, inspection, notes, spaced)
    volume, planes = volume if config.srh else seen, seen.tczyx()
    doubts = diagnose(seen, factor, model, inspection, familiar, blurred=chosen.blurred)
    predict = partial(
        model.predict,
        mode=mode,
        steps=steps,
        seed=seed,
        device=device,
        missing=None if config.srh else "none",  # filled in already
    )
    restored = restored_planes(volume, spaced, predict, progress)
    if spaced.are_even_points:
        ratios = _ratios(model, planes, normalization, factor, mode, steps, device, notes)
    else:
        ratios = _no_ratios(spaced, planes.shape[1], notes)
    channels, maps, errors = _compare(seen, restored, ratios, notes, lost, spaced)
    return Fidelity(
        source=volume.source,
        model=model.fingerprint,
        recipe=config.recipe,
        mode=mode,
        factor=factor,
        voxel_size=seen.voxel_size,
        unit=seen.unit,
        channels=tuple(channels),
        doubts=doubts,
        notes=tuple(notes),
        error_map=maps,
        errors=errors,
        measured=planes,
        restored=restored,
        along=along,
        lost=lost,
        positions=spaced.positions,
        profile=profile,
    )


def _spaced(volume: Volume, factor: int, profile: Profile) -> Spaced:
    """Return where the planes that are checked lie."""
    found = output_spacing(volume, Wanted(factor))
    return Spaced(factor, () if found.is_even else found.positions, profile)


def _checkable(
    stack: NDArray[Any] | Volume,
    axes: str | None,
    voxel_size: Sequence[float] | None,
    along: str | None,
) -> tuple[Volume, str]:
    """Return a stack of enough planes, with its coarse axis called Z, and that axis's name."""
    volume = stack if isinstance(stack, Volume) and not axes and not voxel_size else None
    volume = volume or as_volume(stack, axes, voxel_size)
    along = coarse_axis(volume, along)
    volume = turned(volume, along)
    check_planes(volume.size("Z"), volume.source)
    return volume, along


def _filled(seen: Volume, inspection: Inspection, notes: list[str], spaced: Spaced) -> Volume:
    """Fill in lost planes and voxels without data."""
    normalization, lost = inspection.normalization, inspection.lost
    holes = inspection.survey.holes or any(own.padding for own in normalization.limits or ())
    if holes:
        notes.append("voxels without data were filled in from the planes around, and count as any")
    if not (holes or any(map(any, lost))):
        return seen
    planes = normalization.without_padding(seen.tczyx())
    planes = without_gaps(planes, lost, normalization.fill, spaced.positions or None)
    return replace(seen, data=from_tczyx(planes, seen.axes))


def _notes_on_training(model: Model, source: str) -> list[str]:
    """Note if the model's record names a file of this name."""
    sources, path = model.info.get("sources"), Path(source)
    if not (isinstance(sources, list) and path.suffix and path.name in sources):
        return []
    return [f"the model was trained on {path.name}, hidden planes included: scores are optimistic"]


def _compare(
    stack: Volume,
    restored: NDArray[Any],
    ratios: Mapping[str, NDArray[np.float64]],
    notes: list[str],
    lost: Lost,
    spaced: Spaced,
) -> tuple[list[ChannelCheck], NDArray[np.float32], NDArray[np.float32]]:
    """Score restored planes (T, C, n - 2, Y, X), and map their errors; see `Fidelity`."""
    planes = stack.tczyx()
    channels, maps = [], np.zeros((*planes.shape[:2], *planes.shape[3:]), np.float32)
    errors = []
    for t, c in np.ndindex(planes.shape[:2]):
        name = stack.channel_names[c] if stack.channel_names else None
        if np.ptp(planes[t, c]) == 0:
            notes.append(f"channel {name or c}, time point {t} is constant and was not scored")
            errors.append(binned(np.zeros_like(planes[t, c, 1:-1], np.float32)))
            continue
        if len(lost[t][c]) == len(planes[t, c]) - 2:
            notes.append(f"channel {name or c}, time point {t}: all planes to hide were lost")
            errors.append(np.full_like(binned(np.zeros_like(planes[t, c, 1:-1], "f4")), np.nan))
            continue
        made = {"model": restored[t, c]}
        places = spaced.positions or None
        made |= {m: interpolate_hidden(planes[t, c], m, places) for m in INTERPOLATIONS}
        ratio = {method: float(values[c]) for method, values in ratios.items()}
        channels.append(score_planes(t, c, name, planes[t, c], made, ratio, lost[t][c]))
        square = np.square(np.subtract(made["model"], planes[t, c, 1:-1], dtype=np.float32))
        gone = [z - 1 for z in lost[t][c]]
        maps[t, c] = np.sqrt(np.delete(square, gone, axis=0).mean(0))
        errors.append(np.sqrt(binned(square)))
        errors[-1][gone] = np.nan
    if not channels:
        raise DataError(
            f"{stack.source}: got a constant image, or one that lost all planes but the ends, "
            "expected structure to compare; check that the right file or channel was given"
        )
    return channels, maps, np.stack(errors).reshape(*planes.shape[:2], *errors[0].shape)


def middle_of(volume: Volume, factor: int, notes: list[str]) -> Volume:
    """Read a stack, or the middle of one that is too large to be restored at once."""
    times, channels, count, height, width = (volume.size(axis) for axis in AXES)
    every = slice(None)
    share = MAX_VOXELS / (times * channels * count * factor * height * width)
    if share >= 1:
        data = volume.read((every,) * 5)
        return replace(volume, data=from_tczyx(data, volume.axes))
    # Planes are what is tested: sides are cut first, down to 256 pixels.
    sides = [max(min(side, 256), int(side * share**0.5)) for side in (height, width)]
    room = MAX_VOXELS // (times * channels * factor * sides[0] * sides[1])
    planes = max(min(count, 5), min(count, room))
    index = [
        slice((whole - part) // 2, (whole - part) // 2 + part)
        for whole, part in zip((count, height, width), (planes, *sides), strict=True)
    ]
    notes.append(
        f"of {count} planes of {height} x {width}, the middle {planes} of {sides[0]} x {sides[1]} "
        "were checked"
    )
    data = volume.read((every, every, *index))
    places = at_planes(volume.z_positions, range(count)[index[0]])
    return replace(volume, data=from_tczyx(data, volume.axes), z_positions=places)


def _no_ratios(spaced: Spaced, channels: int, notes: list[str]) -> dict[str, NDArray[np.float64]]:
    """Say why errors at the user's factor cannot be foretold, and foretell none."""
    if spaced.positions:
        gaps = np.diff(spaced.positions)
        notes.append(
            f"planes are {gaps.min():.3g} to {gaps.max():.3g} output planes apart: scores at "
            "hidden ones do not tell those to expect between your planes"
        )
    if spaced.profile != POINT:
        notes.append(
            "hidden planes are compared with what they would see of the restored volume through "
            "the slice profile; how near that volume itself is to the truth, they do not tell"
        )
    return {method: np.full(channels, np.nan) for method in METHODS}


def _ratios(
    model: Model,
    planes: NDArray[Any],
    normalization: Normalization,
    factor: int,
    mode: Mode,
    steps: int | None,
    device: str,
    notes: list[str],
) -> dict[str, NDArray[np.float64]]:
    """Compute errors at the user's factor over those at hidden planes, by method, (C,)."""
    height, width = planes.shape[3:]
    if not rows_fit(height, width, factor):
        notes.append(
            f"planes of {height} x {width} are too small to foretell scores at factor {factor}"
        )
        return {method: np.full(planes.shape[1], np.nan) for method in METHODS}
    seen = np.concatenate([normalization.apply(stack) for stack in planes], axis=1)
    linear, cubic = (interpolation_errors(seen, factor, method) for method in INTERPOLATIONS)
    config, ratio = model.config, linear.ratio
    if config.errors_scale and rows_fit(height, width, factor, 8):
        chosen = choose_device(device)
        network, at_once = model.network.to(chosen), config.network.channels
        count = planes.shape[1] // at_once
        units: tuple[FrameUnits, ...] = (None,) * count
        if isinstance(config, ModelConfig) and config.per_stack:
            units = units_of_planes(config, seen)
        settings = [in_units(model, each).config for each in units]

        def fill(images: Tensor, masks: Tensor) -> Tensor:
            # A model of one channel restores each by itself.
            each = torch.split(images.to(chosen), at_once, dim=1)
            made = [
                restore_rows(network, own, part, masks.to(chosen), mode=mode, steps=steps or 5)
                for own, part in zip(settings, each, strict=True)
            ]
            return torch.cat(made, dim=1).cpu()

        ratio = model_ratio(pick_crops(seen), factor, fill, linear)
    else:
        notes.append("the model's expected score is taken to follow that of linear interpolation")
    return {"model": ratio, "linear": linear.ratio, "cubic": cubic.ratio}
