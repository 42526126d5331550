"""Settings of a benchmark: a TOML file, resolved and saved beside the results."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from isoslice.errors import SettingsError
from isoslice.models.choices import Preset
from isoslice.runtime.paths import at_home

Count = Annotated[int, Field(ge=1, le=1_000_000)]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 ._-]{0,39}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelEntry(_Frozen):
    """A model of the benchmark: trained by a preset, or taken from a folder."""

    name: Name
    preset: Preset = "isoslice"
    #: A trained model to take instead of training one.
    path: str | None = None
    #: Width of the networks of msdsr and end-to-end.
    width: Annotated[int, Field(ge=8, le=512)] | None = None
    #: Sampling steps; the model's own default where absent.
    steps: Count | None = None


class BenchmarkSettings(_Frozen):
    """All settings of a benchmark; paths are relative to the file."""

    #: Images or stacks to learn from; their planes are the real images of FID too.
    train: Annotated[tuple[str, ...], Field(min_length=1)]
    #: A truly isotropic volume, no part of it in `train`.
    test: str
    axes: str | None = None
    srh: bool = False
    factors: Annotated[tuple[Annotated[int, Field(ge=2, le=16)], ...], Field(min_length=1)] = (
        2,
        4,
        8,
    )
    models: Annotated[tuple[ModelEntry, ...], Field(min_length=1)] = (
        ModelEntry(name="end-to-end", preset="end-to-end", width=32),
        ModelEntry(name="msdsr", preset="msdsr", width=32, steps=100),
        ModelEntry(name="isoslice", preset="isoslice"),
    )
    #: Training time of each model in minutes.
    minutes: Annotated[float, Field(gt=0, le=1e6)] = 60.0
    #: Size (Z, Y, X) of the blocks of `test` that are used; all of it by default.
    region: tuple[Count, Count, Count] | None = None
    #: Number of blocks of that size, spread over `test`; a single one lies in the middle.
    blocks: Annotated[int, Field(ge=1, le=1000)] = 1
    #: Square crops of planes of `test` for the paired task, and their side.
    paired_images: Annotated[int, Field(ge=2, le=100_000)] = 512
    paired_side: Annotated[int, Field(ge=24, le=512, multiple_of=8)] = 48
    protocols: Annotated[
        tuple[Literal["default", "msdsr"], ...], Field(min_length=1, max_length=2)
    ] = ("default", "msdsr")
    #: Images per direction, evenly spread over all slices; all of them by default.
    images_per_axis: Annotated[int, Field(ge=2)] | None = None
    real_images: Annotated[int, Field(ge=2)] = 2048
    #: Factors of the ablations of direction and blur; all by default.
    ablation_factors: tuple[Count, ...] | None = None
    #: Resamples for each confidence interval.
    resamples: Annotated[int, Field(ge=10, le=10_000)] = 200
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0

    @model_validator(mode="after")
    def _consistent(self) -> BenchmarkSettings:
        names = [model.name for model in self.models]
        if len(set(names)) < len(names):
            raise ValueError(f"models need different names, got {', '.join(names)}")
        if sorted(set(self.factors)) != list(self.factors):
            raise ValueError("factors need to rise")
        if self.ablation_factors and not set(self.ablation_factors) <= set(self.factors):
            raise ValueError("ablation_factors need to be among factors")
        if self.blocks > 1 and self.region is None:
            raise ValueError("several blocks need a region, their size")
        return self

    @property
    def ablated(self) -> tuple[int, ...]:
        """Factors of the ablations."""
        return self.factors if self.ablation_factors is None else self.ablation_factors


#: What ``--quick`` changes: an hour on two cores. Noisier numbers, fewer images, few steps.
QUICK: dict[str, Any] = {
    "minutes": 8.0,
    "region": (41, 48, 48),
    "blocks": 4,
    "paired_images": 48,
    "images_per_axis": 48,
    "real_images": 192,
    "protocols": ("default",),
    "ablation_factors": (4,),
    "resamples": 100,
}
QUICK_WIDTH, QUICK_STEPS = 16, 50


def read_settings(path: str | Path, *, quick: bool = False) -> BenchmarkSettings:
    """Read a benchmark's TOML file.

    Parameters
    ----------
    path
        The file. Paths in it are relative to its folder, and made absolute.
    quick
        Change what `QUICK` lists, and give the U-Nets width 16 and 50 sampling steps.

    Raises
    ------
    SettingsError
        If the file cannot be read, or a setting is missing, unknown or out of range.
    """
    path = at_home(Path(path))
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingsError(
            f"{path}: could not be read ({error.strerror}), expected a benchmark's TOML file"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: got no valid TOML ({error}); mend the file") from error
    try:
        settings = BenchmarkSettings.model_validate(content)
        if quick:
            settings = quick_variant(settings)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SettingsError(
            f"{path}: got a setting that cannot be used ({where}: {first['msg']}); see "
            "docs/benchmarks/reproduction.md for what there is"
        ) from error
    here = path.resolve().parent
    return settings.model_copy(
        update={
            "train": tuple(str(here / at_home(name, here)) for name in settings.train),
            "test": str(here / at_home(settings.test, here)),
            "models": tuple(
                m
                if m.path is None
                else m.model_copy(update={"path": str(here / at_home(m.path, here))})
                for m in settings.models
            ),
        }
    )


def quick_variant(settings: BenchmarkSettings) -> BenchmarkSettings:
    """Return the quick variant of `settings`."""
    models = [
        model
        if model.preset == "isoslice" or model.path
        else model.model_copy(
            update={
                "width": QUICK_WIDTH,
                "steps": QUICK_STEPS if model.preset == "msdsr" else model.steps,
            }
        )
        for model in settings.models
    ]
    factors = QUICK["ablation_factors"]
    if not set(factors) <= set(settings.factors):
        factors = settings.factors[:1]
    changes = {**QUICK, "models": models, "ablation_factors": factors}
    return BenchmarkSettings.model_validate({**settings.model_dump(), **changes})
