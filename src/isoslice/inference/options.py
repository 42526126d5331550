"""Options of a prediction, as they are given and as a recipe resolves them."""

from __future__ import annotations

import operator
from collections.abc import Mapping
from typing import Annotated, Any, Self, get_args

import numpy as np
from pydantic import BaseModel, BeforeValidator, ConfigDict, field_validator, model_validator

from isoslice.data.missing import Missing, parse_missing
from isoslice.data.output_spacing import Wanted
from isoslice.data.profile import POINT, Profile, parse_profile
from isoslice.errors import SettingsError
from isoslice.inference.asked_profile import Asked, as_text
from isoslice.models.choices import Direction, Mode

#: Fewest and most samples.
SAMPLES = (2, 1000)

#: An integer of Python or NumPy.
_Integer = Annotated[int, BeforeValidator(lambda value: _index(value))]


def _index(value: Any) -> int:
    try:
        return operator.index(value)
    except TypeError as error:
        raise SettingsError(f"got {value!r}, expected an integer") from error


class PredictOptions(BaseModel):
    """What a prediction is to be, whatever the stack and the machine.

    Attributes
    ----------
    mode, steps, detail
        As in `Model.predict`; None until a recipe's `resolve` has chosen.
    seed
        Of the noise.
    direction
        Slices that the paper's recipes restore.
    blur
        Blur the volume by the paper's Gaussian.
    uncertainty
        Estimate standard deviations.
    samples
        How many samples to average; 0 for none.
    keep_samples
        Whether to return them.
    slice_profile
        How planes weight what lies along Z around them: see `asked_profile`; None for what the
        model knows, see `stored_profile`.
    denoise
        Restore measured planes too, freed of their noise.
    isotropic, spacing
        How far output planes are apart, where not by a factor; see `data.output_spacing.Wanted`.
    missing
        Planes that are taken as missing; see `data.missing.parse_missing`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    mode: Mode | None = None
    steps: _Integer | None = None
    detail: float | None = None
    seed: _Integer = 0
    direction: Direction = "both"
    blur: bool = False
    uncertainty: bool = False
    samples: _Integer = 0
    keep_samples: bool = False
    slice_profile: Asked | None = None
    denoise: bool = False
    isotropic: bool = False
    spacing: float | None = None
    missing: str = "auto"

    @property
    def undoes_blur(self) -> bool:
        """Whether planes are said to be more than points."""
        return self.slice_profile not in (None, "point")

    @property
    def missing_planes(self) -> Missing:
        """Planes that are missing, and whether others are looked for."""
        return parse_missing(self.missing)

    def wanted(self, factor: int | None) -> Wanted:
        """Return how far output planes are to be apart.

        Raises
        ------
        SettingsError
            If a factor contradicts these options.
        """
        return Wanted(factor, self.isotropic, self.spacing)

    @property
    def estimates_errors(self) -> bool:
        """Whether standard deviations come with the volume."""
        return self.uncertainty or self.samples > 0

    @field_validator("mode", mode="before")
    @classmethod
    def _check_mode(cls, mode: Any) -> Any:
        if mode is not None and mode not in get_args(Mode):
            raise SettingsError(f"got mode {mode!r}, expected 'sample' or 'mean'")
        return mode

    @field_validator("direction", mode="before")
    @classmethod
    def _check_direction(cls, direction: Any) -> Any:
        if direction not in get_args(Direction):
            raise SettingsError(f"got direction {direction!r}, expected 'both', 'XZ' or 'YZ'")
        return direction

    @field_validator("slice_profile", mode="before")
    @classmethod
    def _check_profile(cls, asked: Any) -> Any:
        if isinstance(asked, Profile):
            return "point" if asked == POINT else asked
        if asked is None or isinstance(asked, Mapping):  # the latter one that was saved
            return asked
        kind, width = parse_profile(str(asked))
        if kind == "file":
            return str(asked).strip()
        return kind if width is None else f"{kind}:{width:g}"

    @field_validator("missing", mode="before")
    @classmethod
    def _check_missing(cls, missing: Any) -> str:
        return str(parse_missing(missing))

    @model_validator(mode="after")
    def _check_spacing(self) -> Self:
        self.wanted(None)
        return self

    @model_validator(mode="after")
    def _check_each(self) -> Self:
        if not 0 <= self.seed < 2**62:
            raise SettingsError(f"got seed {self.seed}, expected 0 to 2**62 - 1")
        if self.detail is not None and not 0 <= self.detail <= 1:
            raise SettingsError(
                f"got detail {self.detail}, expected 0 (the mean) to 1 (a whole sample)"
            )
        if self.keep_samples and not self.samples:
            raise SettingsError(
                "got samples to be kept, but none to draw, expected how many; name it"
            )
        if self.samples and not SAMPLES[0] <= self.samples <= SAMPLES[1]:
            raise SettingsError(
                f"got {self.samples} sample(s), expected {SAMPLES[0]} to {SAMPLES[1]}; one says "
                "nothing about their spread"
            )
        if self.samples and (self.mode == "mean" or self.detail == 0):
            raise SettingsError(
                "got samples to draw in mode mean, or without detail, expected detail to sample; "
                "leave the mode out, or ask for the uncertainty instead"
            )
        if self.blur and self.estimates_errors:
            raise SettingsError(
                "got blur with uncertainty or samples, which describe volumes as they were "
                "restored; leave the blur out"
            )
        if self.undoes_blur and self.blur:
            raise SettingsError(
                f"got blur with slice profile {as_text(self.slice_profile)}, which undoes blur; "
                "leave one of them out"
            )
        return self

    def resolved(self, mode: Mode, steps: int, detail: float | None) -> ResolvedOptions:
        """Return the same with mode, steps and detail as a recipe has chosen them."""
        chosen = {"mode": mode, "steps": steps, "detail": detail}
        return ResolvedOptions(**{**self.model_dump(), **chosen})


class ResolvedOptions(PredictOptions):
    """Options with nothing left to choose; `detail` is None where a recipe has none."""

    mode: Mode
    steps: _Integer

    def with_seed(self, seed: int) -> ResolvedOptions:
        """Return the same with another seed."""
        return self.model_copy(update={"seed": seed})


def outputs_of(options: PredictOptions, dtype: np.dtype[Any]) -> dict[str, np.dtype[Any]]:
    """Return the types of the volumes that a stack of type `dtype` gives, by name."""
    kept = range(options.samples if options.keep_samples else 0)
    types = {f"sample-{number + 1}": dtype for number in kept}
    if options.estimates_errors:
        types["std"] = np.dtype(np.float32)
    return {**types, "volume": dtype}  # written in this order: once the volume exists, all do
