"""What the window asks of the computing process, and what that answers: plain data, pickled."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

#: Models that have no folder: the one that comes with isoslice, as it is or adapted to the stack.
PRETRAINED, ADAPTED = "pretrained", "adapted"


@dataclass(frozen=True)
class Source:
    """A stack in a file.

    Attributes
    ----------
    path
        The file or folder.
    axes
        One letter of TCZYX per dimension; None for those of the file.
    voxel_size
        Spacing along Z, Y and X; None for the file's.
    unit
        Of the voxel size, as OME spells it.
    positions
        Of the planes along Z, in that unit; ``"even"`` whatever the file says, None as it says.
    """

    path: str
    axes: str | None = None
    voxel_size: tuple[float, float, float] | None = None
    unit: str | None = None
    positions: tuple[float, ...] | Literal["even"] | None = None


@dataclass(frozen=True)
class Settings:
    """How a stack is restored, whatever of it is shown.

    Attributes
    ----------
    model
        `PRETRAINED`, `ADAPTED`, or a model's folder.
    factor, along, profile, missing
        `factor`, `along`, `slice_profile` and `missing` of `Model.predict`; None for its defaults.
    minutes
        Time to adapt the model; None for the default.
    """

    model: str = PRETRAINED
    factor: int | None = None
    along: str | None = None
    profile: str | None = None
    missing: str | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Describe:
    """What does the file say of itself? Answered by a `Described`."""

    path: str


@dataclass(frozen=True)
class Described:
    """What a file says of itself, as far as it does.

    Attributes
    ----------
    shape, axes
        Of its voxels.
    voxel_size, unit
        Spacing along Z, Y and X, in a unit.
    positions
        Of the planes along Z, where they are unevenly spaced.
    profile
        The slice profile that its metadata state, as `Settings` take it.
    """

    shape: tuple[int, ...]
    axes: str
    voxel_size: tuple[float | None, float | None, float | None]
    unit: str | None
    positions: tuple[float, ...] | None = None
    profile: str | None = None


@dataclass(frozen=True)
class Prepare:
    """Measure the whole stack now, so that a preview need not. Answered by a `Prepared`."""

    source: Source
    settings: Settings


@dataclass(frozen=True)
class Prepared:
    """What was settled for a stack.

    Attributes
    ----------
    factor, depth
        Output planes per measured plane, and in all.
    missing
        Planes that were lost in any channel, as text, counted from 0.
    profile
        What the slice profile is, and where that is from; empty for points.
    doubts
        Reasons not to trust the model.
    """

    factor: int
    depth: int
    missing: str = ""
    profile: str = ""
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Preview:
    """Restore slabs around a voxel. Answered by two `Previewed`: a narrow one, then a wide one.

    Attributes
    ----------
    at
        Index of the voxel in the stack by axis, TCZYX.
    """

    source: Source
    settings: Settings
    at: dict[str, int]


@dataclass(frozen=True)
class Slab:
    """The middle slice of a restored slab.

    Attributes
    ----------
    axes
        Of the slices, such as ``XZ``, by the stack's names: across, then down.
    linear
        Measured rows and what linear interpolation puts between them, (rows, columns).
    restored
        The same by the model, at each place of the dial, (dial, rows, columns).
    measured
        Whether each row was measured, (rows,).
    first
        Index in the stack of the first column, and of the slice.
    """

    axes: str
    linear: NDArray[Any]
    restored: NDArray[Any]
    measured: NDArray[np.bool_]
    first: tuple[int, int]


@dataclass(frozen=True)
class Previewed:
    """Slabs, the places of the dial from mean to sample, and whether a wider preview follows."""

    slabs: tuple[Slab, ...]
    dial: tuple[float, ...]
    more: bool = False


@dataclass(frozen=True)
class Restore:
    """Restore the whole stack into an OME-Zarr image. Answered by a `Restored`.

    Attributes
    ----------
    output
        Path of the image.
    detail
        See `Model.predict`: 0 for the mean.
    uncertainty
        Whether to tell standard deviations too.
    resume, overwrite
        Go on with what a cancelled run left there; replace what is there.
    """

    source: Source
    settings: Settings
    output: str
    detail: float | None = None
    uncertainty: bool = False
    resume: bool = False
    overwrite: bool = False


@dataclass(frozen=True)
class Restored:
    """A restored volume on the disk.

    Attributes
    ----------
    path, std
        OME-Zarr images of the volume and of its standard deviations, or None.
    axes
        Of the stack.
    along
        The axis that was coarse.
    ratio
        Planes of the output per measured plane.
    measured
        Share of each output plane that was measured, (T, C, planes), from 0 to 1.
    doubts
        What was warned of.
    """

    path: str
    std: str | None
    axes: str
    along: str
    ratio: float
    measured: NDArray[np.float32]
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Check:
    """How far can the model be trusted on this stack? Answered by a `Checked`."""

    source: Source
    settings: Settings


@dataclass(frozen=True)
class Checked:
    """The verdict of `isoslice check`, and what was warned of."""

    verdict: str
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Save:
    """Write a restored volume, and standard deviations beside it, in the format of a suffix.

    Attributes
    ----------
    restored, path
        What is written, and where.
    measured
        File of the layer that was restored, which is never replaced; None without one.
    """

    restored: Restored
    path: str
    measured: str | None = None


@dataclass(frozen=True)
class Report:
    """Write the report of a restored volume to an HTML file."""

    source: Source
    restored: Restored
    path: str


@dataclass(frozen=True)
class Written:
    """Path of a file that was written."""

    path: str


Request = Describe | Prepare | Preview | Restore | Check | Save | Report


@dataclass(frozen=True)
class Asked:
    """A request with its number."""

    number: int
    request: Request


@dataclass(frozen=True)
class Cancel:
    """End all requests up to a number."""

    number: int


@dataclass(frozen=True)
class Ready:
    """The process has loaded its libraries."""

    number: int = 0


@dataclass(frozen=True)
class Note:
    """One line to read."""

    number: int
    text: str


@dataclass(frozen=True)
class Warned:
    """One warning to read; `doubt` says that it is a reason not to trust the model."""

    number: int
    text: str
    doubt: bool = False


@dataclass(frozen=True)
class Progressed:
    """A task's share that is done, from 0 to 1."""

    number: int
    task: str
    fraction: float


@dataclass(frozen=True)
class Answer:
    """What a request gives; of some that take long, more follows."""

    number: int
    value: Any


@dataclass(frozen=True)
class Ended:
    """A request came to its end.

    Attributes
    ----------
    error
        What went wrong, in one line, or None.
    cancelled
        Whether it was cancelled.
    """

    number: int
    error: str | None = None
    cancelled: bool = False


Reply = Ready | Note | Warned | Progressed | Answer | Ended

#: Environment of the computing process: threads that wait give way to others, such as the window's.
ENVIRONMENT: dict[str, str] = {"OMP_WAIT_POLICY": "PASSIVE"}
