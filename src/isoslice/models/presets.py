"""Default settings of the recipes that can be trained.

=============  ==========================================  ==========================
preset         network                                     training
=============  ==========================================  ==========================
isoslice       1.4 M, half resolution, no group norm       residual diffusion
msdsr          274 M at width 224, attention               masked slice diffusion
end-to-end     the same                                    one pass, L1
=============  ==========================================  ==========================
"""

from __future__ import annotations

from typing import get_args

from isoslice.errors import SettingsError
from isoslice.models.choices import Preset
from isoslice.models.config import (
    AnyConfig,
    DdimSettings,
    EndToEndConfig,
    MaskedTraining,
    ModelConfig,
    MsdsrConfig,
    NetworkSettings,
    TrainingSettings,
    UNetSettings,
)

PRESETS: tuple[Preset, ...] = get_args(Preset)

#: As released: width 224, 13,560 steps of 1,024 crops (128 on each of 4 GPUs, two accumulated
#: batches), learning rate 1e-6 / 256 a crop. Here micro-batches of 32 save memory.
RELEASED_WIDTH = 224
#: Narrower networks are for minutes on a CPU: with a higher learning rate and small, stratified
#: batches. Groups of group norm have seven channels in the released network. With one or two a
#: network cannot carry brightness from known to hidden rows, so narrower ones have eight.
NARROW = {"batch": 16, "learning_rate": 2e-3, "stratified": True}
CHANNELS_PER_GROUP = 8
NARROW_CLIP = (0.0, 1.0)


def masked_training(width: int) -> MaskedTraining:
    """Return training settings for the U-Net: as released at width 224, else for minutes."""
    return MaskedTraining() if width == RELEASED_WIDTH else MaskedTraining.model_validate(NARROW)


def fresh_training(config: AnyConfig) -> TrainingSettings | MaskedTraining:
    """Return the training settings of the preset that a model with these settings is of."""
    if config.recipe == "isoslice":
        return TrainingSettings()
    return masked_training(config.network.width)


def unet_shape(width: int) -> UNetSettings:
    """Return the size of the U-Net: as released at width 224, else with fewer norm groups."""
    groups = 32 if width == RELEASED_WIDTH else width // CHANNELS_PER_GROUP
    return UNetSettings(width=width, groups=groups)


def preset_config(preset: Preset, width: int | None = None) -> AnyConfig:
    """Return all settings of a preset.

    Parameters
    ----------
    preset
        ``isoslice``, ``msdsr`` or ``end-to-end``.
    width
        Channels of the U-Net at full resolution, a multiple of 8; 224 by default, as released.

    Raises
    ------
    SettingsError
        If there is no such preset, or it cannot have this width.
    """
    if preset not in PRESETS:
        raise SettingsError(f"got preset {preset!r}, expected one of {', '.join(PRESETS)}")
    if preset == "isoslice":
        if width is not None:
            raise SettingsError(
                "got a width for the preset isoslice, expected it with msdsr or end-to-end; leave "
                "it out"
            )
        network = NetworkSettings(measured=True)
        return ModelConfig(network=network, sigma_data=1.0)  # measured before training
    width = RELEASED_WIDTH if width is None else width
    if not (8 <= width <= 512 and width % 8 == 0):
        raise SettingsError(f"got width {width}, expected a multiple of 8 from 8 to 512")
    shape, training = unet_shape(width), masked_training(width)
    if preset == "end-to-end":
        return EndToEndConfig(network=shape, training=training)
    clip = None if width == RELEASED_WIDTH else NARROW_CLIP
    return MsdsrConfig(network=shape, training=training, sampler=DdimSettings(clip=clip))
