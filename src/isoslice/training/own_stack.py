"""What a model learns from that is trained on, or adapted to, the stack that it restores."""

from __future__ import annotations

from typing import Any, NamedTuple

from isoslice.data.coarse import coarse_axis, turned
from isoslice.data.labels import label_messages
from isoslice.data.output_spacing import output_spacing
from isoslice.data.profile import POINT
from isoslice.data.volume import Volume
from isoslice.errors import DoubtWarning, warn
from isoslice.inference.options import PredictOptions
from isoslice.inference.stack import planes_to_learn_from
from isoslice.inference.stored_profile import profile_to_store
from isoslice.models.config import TrainingSettings
from isoslice.models.presets import preset_config
from isoslice.runtime.progress import Progress
from isoslice.training.own_planes import for_planes
from isoslice.training.train import spacing_to_learn


class Learned(NamedTuple):
    """What is learned from, and for which planes."""

    planes: Volume
    #: How many planes, in words.
    told: str
    #: Output planes per measured plane.
    factor: int
    #: What `train` and `adapt` are both told.
    options: dict[str, Any]


def own_planes_of(
    volume: Volume,
    options: PredictOptions,
    *,
    factor: int | None,
    along: str | None,
    progress: Progress,
    seed: int = 0,
    device: str = "auto",
) -> Learned:
    """Read a stack's planes, and settle how they are learned from.

    Parameters
    ----------
    volume, options, factor, along
        The stack, and how it will be restored, as in `Model.predict`.
    progress, seed, device
        Of the training.

    Raises
    ------
    DataError, SettingsError
        As `Model.predict`.
    """
    missing = options.missing_planes
    planes = planes_to_learn_from(volume, along=along, missing=missing, progress=progress)
    for message in label_messages(planes.tczyx()[0]):  # before minutes of training
        warn(message, DoubtWarning)
    stack = turned(volume, coarse_axis(volume, along))
    depth = stack.size("Z")
    of = "" if planes.size("Z") == depth else f" of {depth:,}"
    profile = options.slice_profile
    stored = profile_to_store(profile, [stack], preset_config("isoslice"), progress, missing)
    output = output_spacing(stack, options.wanted(factor))
    settings = TrainingSettings()
    known = POINT if profile in (None, "point") else stored and stored.profile
    if known and output.step:
        rows = known if known == POINT else known.scaled(1 / output.step)
        settings = for_planes(settings, output.positions, rows)
    told = {
        "seed": seed,
        "device": device,
        "progress": progress,
        "along": "Z",
        "missing": "auto" if missing.find else "none",
        "slice_profile": stored,
        "spacing": spacing_to_learn(stack, output.step),
        "settings": settings,
    }
    return Learned(planes, f"{planes.size('Z'):,}{of}", output.factor, told)
