"""What is measured on a stack before it is restored: intensities, lost planes, reasons to doubt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.box import Region
from isoslice.data.frames import lost_messages
from isoslice.data.labels import label_messages
from isoslice.data.missing import FOUND, Missing
from isoslice.data.noise_range import PLANES, as_noisy_as, differs, noise_levels, pieces
from isoslice.data.normalization import Normalization, measure_in_parts, measure_stack
from isoslice.data.subsampling import evenly_spaced
from isoslice.data.survey import Survey, lost_planes, lost_reasons
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, warn
from isoslice.inference.diagnostics import Doubts, doubts_of
from isoslice.models.config import AnyConfig, ModelConfig
from isoslice.models.files.bundle import ModelBundle
from isoslice.models.reliability.out_of_distribution import OodReference
from isoslice.runtime.progress import Progress

EVERY = slice(None)


@dataclass(frozen=True)
class Inspection:
    """What was measured on a stack.

    Attributes
    ----------
    normalization
        Of its intensities, per channel.
    survey
        What each plane holds.
    lost
        Planes that were lost, of each time point and channel.
    reasons
        Why each of them is taken as lost.
    """

    normalization: Normalization
    survey: Survey
    lost: tuple[tuple[tuple[int, ...], ...], ...]
    reasons: tuple[tuple[tuple[str, ...], ...], ...]


def inspect(
    volume: Volume, config: AnyConfig, progress: Progress, missing: Missing = FOUND
) -> Inspection:
    """Measure intensities and find lost planes, in memory or part by part.

    Parameters
    ----------
    volume
        The stack, its coarse axis called Z.
    config
        Of the model: intensities that become 0 and 1, if they are fixed, or else the noise of the
        images that it learned from.
    progress
        Hears how far the reading is.
    missing
        Planes that are missing, and whether others are looked for.

    Raises
    ------
    DataError
        If every channel is constant, or has no finite voxel.
    SettingsError
        If there are no such planes, or they lie at the ends.
    """
    missing.check(volume.size("Z"), volume.source)
    fixed = config.intensities
    if isinstance(volume.data, np.ndarray):
        normalization, survey = measure_stack(
            volume.tczyx(), volume.source, fixed, missing, progress
        )
    else:
        normalization, survey = measure_in_parts(volume, progress, fixed, missing)
    if fixed is None:
        normalization = _as_in_training(normalization, survey, volume, config, progress)
    lost = lost_planes(survey, lambda t, c, z: volume.read((t, c, z)))
    return Inspection(normalization, survey, lost, lost_reasons(survey, lost))


def _as_in_training(
    measured: Normalization,
    survey: Survey,
    volume: Volume,
    config: AnyConfig,
    progress: Progress,
) -> Normalization:
    """Normalise a stack as though it had the noise of the images that a model learned from."""
    if not isinstance(config, ModelConfig) or config.noise is None:
        return measured
    learned = config.noise * (volume.size("C") // len(config.noise))
    planes = some_planes(volume, survey)
    levels = noise_levels(measured.apply(planes))
    changed = as_noisy_as(measured, planes, learned, levels)
    if changed == measured:
        return measured
    for level, known in zip(levels, learned, strict=True):
        if differs(level, known):
            progress.note(
                f"the stack has {'more' if level > known else 'less'} noise ({level:.1%} of its "
                f"range of intensities) than the images that the model learned from ({known:.1%}): "
                "its intensities are scaled as if it had as much"
            )
            break
    return changed


def some_planes(volume: Volume, survey: Survey) -> NDArray[Any]:
    """Read some planes, or pieces of large ones put side by side: (C, n, Y, X)."""
    time, run = survey.filled_run
    rows, columns = pieces(volume.size("Y")), np.r_[tuple(pieces(volume.size("X")))]
    planes = []
    for z in evenly_spaced(run.stop - run.start, PLANES):
        place = time, EVERY, slice(run.start + z, run.start + z + 1)
        # Whole rows: each piece of a plane in one chunk, as of many TIFFs, decodes all of it.
        parts = [volume.read((*place, y))[..., columns] for y in rows]
        planes.append(np.concatenate(parts, axis=2))
    return np.concatenate(planes, axis=1)


def diagnose(
    volume: Volume,
    factor: int,
    model: ModelBundle,
    inspection: Inspection,
    familiar: OodReference | None = None,
    *,
    blurred: bool = False,
) -> Doubts:
    """Look for reasons to doubt what a model will make of a stack.

    Parameters
    ----------
    volume, factor
        The stack, its coarse axis called Z; output planes per measured plane.
    model
        The model, with what it knows of its training images.
    inspection
        Of the stack.
    familiar
        What the training images look like, instead of what the model knows of them.
    blurred
        Whether the planes are known to be blurred along Z.
    """
    time, run = inspection.survey.filled_run
    shape = run.stop - run.start, volume.size("Y"), volume.size("X")

    def scaled(region: Region) -> NDArray[np.float32]:
        z, y, x = region
        inside = slice(run.start + z.start, run.start + z.stop)
        return inspection.normalization.apply(volume.read((time, EVERY, inside, y, x)))

    doubts = doubts_of(
        scaled,
        factor,
        model.config,
        familiar or model.trust.familiar,
        volume.voxel_size,
        volume.unit,
        shape,
        model.info,
    )
    labels = label_messages(some_planes(volume, inspection.survey))
    lost = lost_messages(inspection.survey, inspection.lost)
    return (doubts.without_blur() if blurred else doubts).preceded_by((*lost, *labels))


def warn_of(doubts: Doubts) -> tuple[str, ...]:
    """Emit each message as a `DoubtWarning`, and return them."""
    for message in doubts.messages:
        warn(message, DoubtWarning)
    return doubts.messages
