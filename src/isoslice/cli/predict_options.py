"""Options of ``isoslice predict`` that say what is made."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from isoslice.cli.help import MODEL, PAPER, RESULT, TRUST
from isoslice.cli.options import Along, Device, Factor, Isotropic, MissingPlanes, Seed, Spacing
from isoslice.models.choices import Direction, Mode
from isoslice.runtime.budget import ADAPTING_MINUTES, DEFAULT_MINUTES

if TYPE_CHECKING:
    from isoslice.inference.options import PredictOptions

ModelFolder = Annotated[
    Path | None,
    typer.Option(
        "--model",
        "-m",
        metavar="MODEL",
        help="Model folder that train wrote, or pretrained: the model that comes with isoslice, as "
        "it is. [default: that model, adapted to the stack]",
        rich_help_panel=MODEL,
    ),
]
Minutes = Annotated[
    float | None,
    typer.Option(
        "--minutes",
        metavar="M",
        help="Without a model: time to adapt the one that comes with isoslice to the stack, 0 for "
        f"not at all; with --scratch, time to train. [default: {ADAPTING_MINUTES:g}; "
        f"{DEFAULT_MINUTES:g} from scratch]",
        rich_help_panel=MODEL,
    ),
]
Scratch = Annotated[
    bool,
    typer.Option(
        "--scratch",
        help="Train a model from nothing on the stack's own planes, and restore by that.",
        rich_help_panel=MODEL,
    ),
]


@dataclass(frozen=True)
class PredictArguments:
    """Options that are arguments of `Model.predict`."""

    along: Along = None
    factor: Factor = None
    isotropic: Isotropic = False
    spacing: Spacing = None
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps",
            min=1,
            max=1000,
            metavar="N",
            help="Network evaluations per voxel in mode sample: more is sharper and slower. "
            "[default: 5; 200 for msdsr]",
            rich_help_panel=RESULT,
        ),
    ] = None
    seed: Seed = 0
    mode: Annotated[
        Mode | None,
        typer.Option(
            "--mode",
            help="A plausible sample, or a smoother mean. [default: sample]",
            rich_help_panel=RESULT,
        ),
    ] = None
    detail: Annotated[
        float | None,
        typer.Option(
            "--detail",
            metavar="D",
            help="From 0, the mean and most faithful, to 1, all detail, fine detail first: most "
            "realistic. [default: 1]",
            rich_help_panel=RESULT,
        ),
    ] = None
    direction: Annotated[
        Direction,
        typer.Option(
            "--direction",
            help="Slices that msdsr and end-to-end models restore.",
            rich_help_panel=PAPER,
        ),
    ] = "both"
    blur: Annotated[
        bool,
        typer.Option(
            "--blur",
            help="Blur the result a little, as the MSDSR paper may.",
            rich_help_panel=PAPER,
        ),
    ] = False
    uncertainty: Annotated[
        bool,
        typer.Option(
            "--uncertainty",
            help="Write every voxel's standard deviation beside the output.",
            rich_help_panel=TRUST,
        ),
    ] = False
    samples: Annotated[
        int,
        typer.Option(
            "--samples",
            min=0,
            metavar="N",
            help="Draw N samples; write their mean, and the standard deviation beside it.",
            rich_help_panel=TRUST,
        ),
    ] = 0
    keep_samples: Annotated[
        bool,
        typer.Option(
            "--keep-samples",
            help="Write the samples beside the output, too.",
            rich_help_panel=TRUST,
        ),
    ] = False
    slice_profile: Annotated[
        str | None,
        typer.Option(
            "--slice-profile",
            metavar="PROFILE",
            help="What a plane sees along Z: point, slab (from plane to plane), slab:WIDTH or "
            "gaussian:FWHM, in the unit of the voxel size; auto, found from the stack; or the path "
            "of a measured one, such as a point spread function. The blur is undone. "
            "[default: what the model stores, else point]",
            rich_help_panel=RESULT,
        ),
    ] = None
    denoise: Annotated[
        bool,
        typer.Option(
            "--denoise",
            help="Restore measured planes too, without their noise. Else they are kept as they "
            "are.",
            rich_help_panel=RESULT,
        ),
    ] = False
    missing: MissingPlanes = "auto"
    device: Device = "auto"

    def options(self) -> PredictOptions:
        """Return those that do not depend on the stack and the machine."""
        from isoslice.inference.options import PredictOptions

        return PredictOptions(**{name: getattr(self, name) for name in PredictOptions.model_fields})

    def beside(self, output: Path) -> list[Path]:
        """Return the paths of standard deviations and samples."""
        from isoslice.io.writing import beside

        names = ["std"] if self.uncertainty or self.samples else []
        names += [f"sample-{i + 1}" for i in range(self.samples if self.keep_samples else 0)]
        return [beside(output, name) for name in names]
