"""Options that several commands share, declared once."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from isoslice.volume import VoxelSize


class Device(StrEnum):
    """Where to compute."""

    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"
    mps = "mps"


class Mode(StrEnum):
    """What predict returns."""

    sample = "sample"
    mean = "mean"


class Preset(StrEnum):
    """Recipe to train."""

    isoslice = "isoslice"
    msdsr = "msdsr"
    end_to_end = "end-to-end"


class Direction(StrEnum):
    """Slices that are restored."""

    both = "both"
    XZ = "XZ"
    YZ = "YZ"


Axes = Annotated[
    str | None,
    typer.Option(
        "--axes", metavar="AXES", help="Axes of the input, such as ZYX or CZYX, if not in the file."
    ),
]
VoxelSizeText = Annotated[
    str | None,
    typer.Option(
        "--voxel-size",
        metavar="Z,Y,X",
        help="Voxel size, such as 4.0,0.83,0.83; overrides what the file says.",
    ),
]
DeviceOption = Annotated[Device, typer.Option("--device", help="Where to compute.")]
Devices = Annotated[
    int,
    typer.Option("--devices", min=1, metavar="N", help="GPUs of each node to train on together."),
]
Nodes = Annotated[
    int,
    typer.Option(
        "--nodes", min=1, metavar="M", help="Nodes, where SLURM or torchrun starts the processes."
    ),
]
Seed = Annotated[
    int,
    typer.Option("--seed", min=0, metavar="N", help="Same seed, same result on the same machine."),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace an existing output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing unless it fails.")]
FeaturesPath = Annotated[
    str | None,
    typer.Option(
        "--features",
        metavar="PATH",
        help="Inception weights as TorchScript; loading runs the program in the file. "
        "[default: what is installed]",
    ),
]
Light = Annotated[
    bool,
    typer.Option("--light", help="Simple texture features: fast, no weights, but no FID."),
]
Memory = Annotated[
    str | None,
    typer.Option(
        "--memory",
        metavar="SIZE",
        help="Memory that a process may take, such as 4GB, to make an OME-Zarr output of any size. "
        "[default: half of what is free, shared among workers]",
    ),
]
Slab = Annotated[
    int | None,
    typer.Option(
        "--slab",
        min=1,
        metavar="N",
        help="Slices that are worked on at once. [default: from --memory]",
    ),
]
Workers = Annotated[
    int, typer.Option("--workers", min=1, max=1024, metavar="N", help="Processes on this machine.")
]
Scheduler = Annotated[
    str | None,
    typer.Option("--scheduler", metavar="ADDRESS", help="Use the workers of a Dask scheduler."),
]
Part = Annotated[
    str | None,
    typer.Option(
        "--part",
        metavar="I/N",
        help="Be one of N runs that share the work, such as jobs of a batch system.",
    ),
]
ReportPath = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE.html",
        help="Also write one HTML page that shows the result and how far to trust it.",
    ),
]
JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Output = Annotated[Path, typer.Option("--output", "-o", metavar="PATH", help="Where to write.")]

#: Minutes of training when neither --minutes nor --steps is given.
DEFAULT_MINUTES = 10.0


def part_of(text: str | None) -> tuple[int, int] | None:
    """Part as given on the command line."""
    from isoslice.errors import SettingsError

    if text is None:
        return None
    first, _, last = text.partition("/")
    if not (first.isdecimal() and last.isdecimal() and 1 <= int(first) <= int(last)):
        raise SettingsError(f"got part {text!r}, expected I/N with I from 1 to N, such as 3/16")
    return int(first), int(last)


def voxel_size_of(text: str | None) -> VoxelSize | None:
    """Voxel size as given on the command line."""
    from isoslice.volume import parse_voxel_size

    return None if text is None else parse_voxel_size(text)
