"""Everything that can be set, with its default; saved resolved in every model's config.json."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Count = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class NetworkSettings(_Frozen):
    """Shape of the denoiser: about 5 M parameters, 130 kFLOP a pixel."""

    channels: Annotated[int, Field(ge=1, le=64)] = 1
    #: Channels at 1/2, 1/4, 1/8, ... resolution, and residual blocks there.
    widths: tuple[Count, ...] = (32, 96, 192, 384)
    blocks_down: tuple[Annotated[int, Field(ge=0, le=16)], ...] = (1, 1, 1, 1)
    blocks_up: tuple[Annotated[int, Field(ge=0, le=16)], ...] = (1, 1, 1, 0)

    @model_validator(mode="after")
    def _levels_agree(self) -> NetworkSettings:
        if not 1 <= len(self.widths) <= 6:
            raise ValueError("widths needs one to six levels")
        if not len(self.widths) == len(self.blocks_down) == len(self.blocks_up):
            raise ValueError("widths, blocks_down and blocks_up need one entry per level")
        blocks = zip(self.widths, self.blocks_down, self.blocks_up, strict=True)
        if sum(18 * w * w * (down + up) + 4 * w * w for w, down, up in blocks) > 500_000_000:
            raise ValueError("widths make a network of more than 500 M weights")
        return self


class TrainingSettings(_Frozen):
    """How the denoiser is trained. Noise levels are in units of the residual's deviation."""

    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    crop: Annotated[int, Field(ge=16, le=1024)] = 64
    batch: Count = 16
    learning_rate: Positive = 2e-2
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    #: Exponent of the power-function average of the weights (EDM2 section 3.1).
    average_gamma: Positive = 16.0
    #: Row masks: one row in `factors` is known, evenly spaced with probability `even_share`.
    factors: tuple[Annotated[int, Field(ge=2, le=64)], ...] = (2, 3, 4, 6, 8)
    even_share: Share = 0.6
    #: Noise levels: log-normal, and a share without any signal, which trains the mean.
    noise_log_mean: float = 0.1
    noise_log_std: Positive = 1.4
    no_signal_share: Share = 0.15
    #: Share of the images kept for validation.
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1


class SamplerSettings(_Frozen):
    """Noise levels of the sampler, in units of the residual's deviation (EDM equation 5)."""

    sigma_max: Positive = 1.5
    sigma_min: Positive = 0.15
    rho: Positive = 5.0
    #: Share of the noise kept in each step, against the probability flow's. Two directions that
    #: take turns lose a little variance; a little more noise makes up for it.
    retain: Annotated[float, Field(gt=0, le=2)] = 1.05


class ModelConfig(_Frozen):
    """What is needed to rebuild and run a trained model."""

    format: Annotated[int, Field(ge=1, le=1)] = 1
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    sampler: SamplerSettings = SamplerSettings()
    #: Standard deviation of the residual on hidden rows, intensities in [0, 1].
    sigma_data: Positive
    #: Spacing of the training images' pixels along Y and X, where known, and its unit.
    pixel_size: tuple[Positive, Positive] | None = None
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None
