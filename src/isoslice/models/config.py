"""All settings with their defaults; saved resolved in every model's config.json."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self, TypeAlias

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    TypeAdapter,
    model_validator,
)

from isoslice.data.profile import Profile

Count = Annotated[int, Field(ge=1, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    def updated(self, **values: object) -> Self:
        """Return a copy with other values, validated."""
        return self.model_validate({**self.model_dump(), **values})


class NetworkSettings(_Frozen):
    """Size of the denoiser; by default 1.4 M parameters, 53 kFLOP a pixel."""

    channels: Annotated[int, Field(ge=1, le=64)] = 1
    #: Channels at 1/2, 1/4, 1/8, ... resolution, and residual blocks there. bfloat16 is fastest
    #: with multiples of 16.
    widths: tuple[Count, ...] = (32, 48, 112, 192)
    blocks_down: tuple[Annotated[int, Field(ge=0, le=16)], ...] = (1, 1, 1, 1)
    blocks_up: tuple[Annotated[int, Field(ge=0, le=16)], ...] = (1, 1, 1, 0)
    #: Whether it is told how planes were measured: their slice profile and noise.
    measured: bool = False

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


class OwnPlanes(_Frozen):
    """Planes of the stack that will be restored, as an example of what to learn."""

    #: Distance of planes in rows.
    distance: Annotated[float, Field(ge=1, le=64)]
    #: In rows.
    profile: Profile
    #: Whether all are as far apart; else they are drawn jittered and missing as others are.
    even: bool = True


class TrainingSettings(_Frozen):
    """Training of the denoiser. Noise levels are in units of the residual's standard deviation."""

    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    crop: Annotated[int, Field(ge=16, le=1024)] = 64
    batch: Count = 32
    #: Peak learning rate: RMS of a step relative to that of the weights.
    learning_rate: Positive = 1e-2
    warmup_steps: Annotated[int, Field(ge=0)] = 50
    #: Exponent of the power-function average of the weights (EDM2 section 3.1).
    average_gamma: Positive = 16.0
    #: Row masks: every k-th row is known, k from `factors`; evenly with probability `even_share`.
    factors: tuple[Annotated[int, Field(ge=2, le=64)], ...] = (2, 3, 4, 6, 8)
    even_share: Share = 0.6
    #: Share of images of which no rows are known, but planes measured anywhere through a slice
    #: profile, with noise; if the network is told so. See `measured_example`.
    measured_share: Share = 0.35
    #: Planes of the stack that will be restored, if they are known to be blurred; and the share of
    #: images with measured planes that get these.
    own_planes: OwnPlanes | None = None
    own_share: Share = 0.5
    #: Noise levels: log-normal, and a share of infinite ones (no signal), which train the mean.
    noise_log_mean: float = 0.1
    noise_log_std: Positive = 1.4
    no_signal_share: Share = 0.3
    #: Share of the planes held out for validation.
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1
    #: Distance of rows in pixels: that of the planes that will be restored.
    row_spacing: Annotated[float, Field(ge=1, le=16)] = 1.0

    def with_crop(self, crop: int) -> TrainingSettings:
        """Return a copy with another crop size."""
        return self.updated(crop=crop)


class SamplerSettings(_Frozen):
    """Noise levels of the sampler, relative to the residual's deviation (EDM equation 5)."""

    sigma_max: Positive = 1.5
    sigma_min: Positive = 0.2
    rho: Positive = 3.0
    #: Deviation of the Gaussian that separates fine from coarse detail, in pixels, and share of
    #: fine detail's grain that is kept; see `blend.blend_detail`.
    detail_sigma: Annotated[float, Field(gt=0, le=100)] = 1.0
    detail_grain: Share = 0.8


class DistilledSettings(_Frozen):
    """The second of a distilled model's two passes; the first is at the sampler's `sigma_max`."""

    #: Noise level of the second pass, in units of the residual's deviation.
    sigma_second: Positive = 0.5


class UNetSettings(_Frozen):
    """Size of the MSDSR paper's U-Net; the released one has width 224 and 274 M parameters."""

    channels: Annotated[int, Field(ge=1, le=64)] = 1
    width: Annotated[int, Field(ge=8, le=512, multiple_of=8)] = 224
    #: Channels at 1, 1/2, 1/4, ... resolution, as multiples of `width`.
    multipliers: Annotated[tuple[Annotated[int, Field(ge=1, le=8)], ...], Field(max_length=6)] = (
        1,
        2,
        3,
        4,
    )
    blocks: Annotated[int, Field(ge=1, le=4)] = 2
    #: Downsampling factors at which there is self-attention.
    attention: tuple[Annotated[int, Field(ge=1, le=64)], ...] = (2, 4, 8)
    head_channels: Annotated[int, Field(ge=8, le=512, multiple_of=8)] = 32
    #: Groups of group norm, at most; see `unet.UNet`.
    groups: Annotated[int, Field(ge=1, le=64)] = 32

    @model_validator(mode="after")
    def _fits_into_memory(self) -> UNetSettings:
        widths = (self.width * multiplier for multiplier in self.multipliers)
        if sum(18 * (2 * self.blocks + 1) * w * w for w in widths) > 1_000_000_000:
            raise ValueError("width and multipliers make a network of more than 1 G weights")
        return self


class MaskedTraining(_Frozen):
    """Training as in the released code, on random row masks; see `presets` for deviations."""

    seed: Annotated[int, Field(ge=0, lt=2**62)] = 0
    crop: Annotated[int, Field(ge=16, le=1024, multiple_of=8)] = 48
    #: Crops a step, and crops computed at once; gradients are accumulated over micro-batches.
    batch: Count = 1024
    micro_batch: Count = 32
    learning_rate: Positive = 4e-6
    #: Share of the training with linear warm-up; half a cosine follows.
    warmup_share: Share = 0.1
    weight_decay: Annotated[float, Field(ge=0, le=1)] = 0.01
    clip_norm: Positive = 0.5
    #: Largest decay of the exponential moving average of the weights.
    average_decay: Annotated[float, Field(gt=0, lt=1)] = 0.9999
    #: Minimum and maximum number of hidden rows of a crop.
    hidden_rows: tuple[Count, Count] = (28, 43)
    #: Stratify time steps over a batch and draw the number of hidden rows for each crop, which
    #: reduces the gradient noise of small batches. The released code does neither.
    stratified: bool = False
    #: Augment crops with turns by 90 degrees, not only with flips.
    quarter_turns: bool = False
    validation_share: Annotated[float, Field(ge=0, le=0.5)] = 0.1

    @property
    def row_spacing(self) -> float:
        """Distance of rows in pixels: as in the paper, one."""
        return 1.0

    @model_validator(mode="after")
    def _some_row_is_known(self) -> MaskedTraining:
        if not self.hidden_rows[0] <= self.hidden_rows[1] < self.crop:
            raise ValueError("hidden_rows needs two rising numbers below the crop's side")
        if self.batch > self.micro_batch and self.batch % self.micro_batch:
            raise ValueError("batch needs to be a multiple of micro_batch")
        return self

    def with_crop(self, crop: int) -> MaskedTraining:
        """Return a copy with another crop size, and hidden rows in proportion."""
        low, high = (round(rows * crop / self.crop) for rows in self.hidden_rows)
        return self.updated(crop=crop, hidden_rows=(low, high))


class DdimSettings(_Frozen):
    """Sampling as in the released code (DDIM, arXiv 2010.02502)."""

    timesteps: Annotated[int, Field(ge=10, le=10_000)] = 1000
    steps: Annotated[int, Field(ge=1, le=5000)] = 200
    eta: Annotated[float, Field(ge=0, le=1)] = 1.0
    #: Limits of estimates of the clean image; none as released.
    clip: tuple[float, float] | None = None


class StoredProfile(_Frozen):
    """What a model knows of the slice profile of its training stacks."""

    #: In `unit`; none where stacks could not tell.
    profile: Profile | None = None
    #: Standard error of the full width at half maximum of one that was found.
    error: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    #: Of the stacks' planes along Z, in `unit`.
    spacings: Annotated[tuple[Positive, ...], Field(min_length=1, max_length=10_000)]
    unit: str | None = None
    #: The same in words, and where it is from.
    told: str


class _AnyConfig(_Frozen):
    #: Whether the recipe estimates the mean; and whether its errors on hidden rows of crops tell
    #: how they grow with the distance of known rows.
    has_mean: ClassVar[bool] = True
    errors_scale: ClassVar[bool] = False

    format: Annotated[int, Field(ge=1, le=1)] = 1
    #: Spacing of the training images' pixels along Y and X, where known, and its unit.
    pixel_size: tuple[Positive, Positive] | None = None
    unit: str | None = None
    channel_names: tuple[str, ...] | None = None
    #: Slice profile of the stacks that it learned from, where that was asked for.
    slice_profile: StoredProfile | None = None
    #: Intensities that become 0 and 1; by default percentiles of each stack.
    intensities: tuple[float, float] | None = None
    #: Convert two-channel input to the three channels of SRH first.
    srh: bool = False


class ModelConfig(_AnyConfig):
    """Settings of a model of isoslice's own recipe: all that is needed to rebuild and run it."""

    errors_scale: ClassVar[bool] = True

    recipe: Literal["isoslice"] = "isoslice"
    network: NetworkSettings = NetworkSettings()
    training: TrainingSettings = TrainingSettings()
    sampler: SamplerSettings = SamplerSettings()
    #: Standard deviation of the residual on hidden rows, intensities in [0, 1].
    sigma_data: Positive
    #: Constant of the intensity stretch (see `variance_stabilization`); None for no stretch.
    softening: Positive | None = None
    #: Whether both are measured on each stack, as for a model of many specimens; then these are
    #: typical ones.
    per_stack: bool = False
    #: Deviation of the noise of training images, normalised, of each channel. Stacks are normalised
    #: as though they had as much; as they are by models of earlier versions, which know of none.
    noise: tuple[Annotated[float, Field(ge=0, allow_inf_nan=False)], ...] | None = None
    #: Set in models that `isoslice distill` made.
    distilled: DistilledSettings | None = None


class MsdsrConfig(_AnyConfig):
    """Settings of a model of masked slice diffusion, as published."""

    has_mean: ClassVar[bool] = False
    distilled: ClassVar[None] = None

    recipe: Literal["msdsr"] = "msdsr"
    network: UNetSettings = UNetSettings()
    training: MaskedTraining = MaskedTraining()
    sampler: DdimSettings = DdimSettings()


class EndToEndConfig(_AnyConfig):
    """Settings of a model of the paper's baseline: the same network, one pass, no diffusion."""

    distilled: ClassVar[None] = None

    recipe: Literal["end-to-end"] = "end-to-end"
    network: UNetSettings = UNetSettings()
    training: MaskedTraining = MaskedTraining()


def _recipe_in(content: Any) -> str:
    recipe = content.get("recipe") if isinstance(content, dict) else None
    return str(recipe or "isoslice")


#: The settings of any model.
AnyConfig: TypeAlias = ModelConfig | MsdsrConfig | EndToEndConfig

_ADAPTER: TypeAdapter[AnyConfig] = TypeAdapter(
    Annotated[
        Annotated[ModelConfig, Tag("isoslice")]
        | Annotated[MsdsrConfig, Tag("msdsr")]
        | Annotated[EndToEndConfig, Tag("end-to-end")],
        Discriminator(_recipe_in),
    ]
)


def read_config(text: str | bytes) -> AnyConfig:
    """Parse a model's config.json, by its ``recipe`` (isoslice's own where absent).

    Raises pydantic's ``ValidationError``.
    """
    return _ADAPTER.validate_json(text)
