"""Continue training from a model: checks, and which of its settings are kept."""

from __future__ import annotations

from collections.abc import Sequence

from isoslice.data.planes import PlaneStack
from isoslice.data.volume import Volume
from isoslice.errors import DataError, SettingsError
from isoslice.inference.model import Model
from isoslice.models.config import (
    AnyConfig,
    ModelConfig,
    NetworkSettings,
    TrainingSettings,
    UNetSettings,
)
from isoslice.models.presets import fresh_training

#: Learning rate relative to that of training from scratch.
RATE_FACTOR = 0.5


def check_start(
    start: Model,
    preset: str | None,
    width: int | None,
    network: NetworkSettings | UNetSettings | None,
    srh: bool,
) -> None:
    """Raise `SettingsError` if options contradict the model `start` to continue from."""
    config = start.config
    if config.distilled is not None:
        raise SettingsError(
            "got a distilled model to continue from, expected the one that it was distilled from; "
            "continue that one and distill the result"
        )
    if preset is not None and preset != config.recipe:
        raise SettingsError(
            f"got the preset {preset} and a model of the preset {config.recipe} to continue from, "
            "expected one recipe; leave the preset out"
        )
    if width is not None or network is not None:
        raise SettingsError(
            f"got a {'width' if network is None else 'network'} and a model to continue from, "
            "which has a network already; leave it out"
        )
    if srh and not config.srh:
        raise SettingsError(
            "got srh and a model to continue from that was not trained on SRH's three channels; "
            "leave srh out, or start from another model"
        )


def continued_config(start: AnyConfig) -> AnyConfig:
    """Return settings to continue training a model with the settings `start`.

    Training settings are the preset's with a lower learning rate; all others are kept, but that
    units are those of the new images.
    """
    fresh = fresh_training(start)
    rate = fresh.learning_rate * RATE_FACTOR
    kept = {"learning_rate": rate}
    if isinstance(start.training, TrainingSettings):
        kept["row_spacing"] = start.training.row_spacing
    changes: dict[str, object] = {"training": fresh.model_copy(update=kept)}
    if isinstance(start, ModelConfig):
        changes["per_stack"] = False  # it becomes a model of one kind of specimens
    return start.model_copy(update=changes)


def check_channels(
    volumes: Sequence[Volume], stacks: Sequence[PlaneStack], config: AnyConfig
) -> None:
    """Raise `DataError` if images have another number of channels than a model."""
    channels, expected = stacks[0].data.shape[1], config.network.channels
    if channels != expected:
        raise DataError(
            f"{volumes[0].source}: got {channels} channel(s), expected {expected} as the model "
            "has; choose as many, for example with --channel, or train a model from nothing"
        )
