"""A volume that is restored task by task into an OME-Zarr image: what there is to do, and where."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, cast

import torch

from isoslice.data.box import Triple, block_count
from isoslice.data.coarse import refined, renamed, turned
from isoslice.data.frames import Frame
from isoslice.data.metadata import Metadata
from isoslice.data.normalization import Normalization
from isoslice.data.volume import AXES, Volume
from isoslice.errors import DataError, OutputError, SettingsError
from isoslice.inference.engine.plan import JobPlan, files_digest, files_glance
from isoslice.inference.engine.residuals import Scratch
from isoslice.inference.engine.worker import this_process
from isoslice.inference.passes import Pass, all_passes
from isoslice.inference.plan import Plan
from isoslice.io.formats.omezarr.shards import ShardedImage, lay_out
from isoslice.io.reading import open_with
from isoslice.models.config import ModelConfig
from isoslice.models.files.bundle import ModelBundle

#: In an unfinished output: the folder with the plan, what is done, and the residual between passes.
HIDDEN, PLAN = ".isoslice", "plan.json"
#: Work of putting a voxel together, of which one pass is 1.
COMPOSING = 0.15


class Stage(NamedTuple):
    """Tasks that need not know of each other; those of the next stage need all of them."""

    #: Number of the frame: a time point, or a channel of one.
    time: int
    #: ``pass-0`` and so on, ``gains`` or ``blocks``.
    name: str
    tasks: int
    #: Work of one task, in voxels that go once through the network.
    work: float

    @property
    def key(self) -> str:
        """What it is called in a ledger."""
        return f"{self.time}/{self.name}"

    def task(self, index: int) -> str:
        """Name a task, for a ledger."""
        return f"{self.key}/{index}"


@dataclass
class Job:
    """A plan with everything that it names, ready to work.

    Attributes
    ----------
    work
        What is to be done.
    folder
        The unfinished output.
    volume
        The stack, read where it is indexed; its coarse axis is called Z.
    model, device
        The model, and the device that it is on.
    """

    work: JobPlan
    folder: Path
    volume: Volume
    model: ModelBundle
    device: torch.device

    @property
    def plan(self) -> Plan:
        """What voxels depend on."""
        return self.work.plan

    @cached_property
    def frames(self) -> list[Frame]:
        """What is restored at once: time points, or channels of each."""
        return self.plan.frames(self.volume)

    @property
    def shape(self) -> Triple:
        """Of the volume to be, (Z, Y, X), its coarse axis called Z."""
        return self.frames[0].grid.depth, self.volume.size("Y"), self.volume.size("X")

    @property
    def channels(self) -> int:
        """How many are restored at once."""
        return len(range(self.volume.size("C"))[self.frames[0].channels])

    @property
    def voxels(self) -> int:
        """Of all channels and time points."""
        z, y, x = self.shape
        return len(self.frames) * self.channels * z * y * x

    @property
    def hidden(self) -> Path:
        """Folder of all that the finished output has not."""
        return self.folder / HIDDEN

    @property
    def config(self) -> ModelConfig:
        """The model's settings."""
        return cast("ModelConfig", self.model.config)  # no other recipe restores blocks

    @property
    def normalization(self) -> Normalization:
        """Of the whole stack."""
        return self.plan.normalization

    @cached_property
    def passes(self) -> list[Pass]:
        """The passes of one time point."""
        return all_passes(self.config, self.plan.options.mode, self.plan.options.steps)

    def stages(self) -> Iterator[Stage]:
        """List everything there is to do, in its order."""
        voxels = self.voxels // len(self.frames)
        blocks = block_count(self.shape, self.work.block)
        for time in range(len(self.frames)):
            for number, step in enumerate(self.passes):
                count = len(self.scratch(time).slabs(step.plane))
                yield Stage(time, f"pass-{number}", count, voxels / count)
            if self.plan.options.mode == "sample":
                yield Stage(time, "gains", 1, 0.0)
            yield Stage(time, "blocks", blocks, COMPOSING * voxels / blocks)

    def scratch(self, time: int) -> Scratch:
        """Files of a time point's residual between passes."""
        dtype = getattr(torch, self.work.residuals[time])
        folder = self.hidden / f"time-{time}"
        return Scratch(folder, self.channels, self.shape, self.work.slabs, dtype)

    def compute_on(self, device: torch.device) -> None:
        """Move the model where tasks are to be done.

        Raises
        ------
        SettingsError
            If results would not be those of the others that do tasks.
        """
        worker = this_process(device.type)  # any of several GPUs
        if worker.arithmetic != self.work.arithmetic:
            raise SettingsError(
                f"got a process that computes in {worker.arithmetic}, expected "
                f"{self.work.arithmetic} as the run began, so that all voxels are made alike; "
                "use a machine of that kind"
            )
        self.device = device
        self.model.network.to(device)

    def check_stack(self) -> None:
        """Raise `DataError` if the stack is no longer there, which Zarr reads as zeros."""
        if files_glance(Path(self.work.stack)) != self.work.stack_glance:
            raise DataError(
                f"{self.work.stack}: got another stack than when this run began, or none, expected "
                "it unchanged; put it back and go on with --resume, or begin anew with --overwrite"
            )

    def check_whole_stack(self) -> None:
        """Raise `DataError` if any of the stack's files has changed since the run began.

        What was made of them meanwhile cannot be trusted, so there is nothing to go on with then.
        """
        self.check_stack()
        if files_digest(Path(self.work.stack)) != self.work.stack_digest:
            (self.hidden / PLAN).unlink(missing_ok=True)
            raise DataError(
                f"{self.work.stack}: got another stack than when this run began, expected it "
                "unchanged; begin anew"
            )

    def clean(self, stage: Stage) -> None:
        """Remove what nobody needs once a stage is done."""
        folder = self.scratch(stage.time).folder
        if stage.name == "blocks":
            shutil.rmtree(folder, ignore_errors=True)
            return
        for number in set(range(self._last_pass(stage) + 1)) - self._needed_after(stage):
            shutil.rmtree(folder / f"pass-{number}", ignore_errors=True)

    def _needed_after(self, stage: Stage) -> set[int]:
        last, kept = self._last_pass(stage), self.mean_pass
        return {last} | ({kept} if kept is not None and kept <= last else set())

    def _last_pass(self, stage: Stage) -> int:
        """Which pass was the last when this stage is done."""
        if stage.name in ("gains", "blocks"):
            return len(self.passes) - 1
        return int(stage.name.partition("-")[2])

    @property
    def mean_pass(self) -> int | None:
        """Which pass leaves the mean, which is kept until blocks are put together."""
        means = [number for number, step in enumerate(self.passes) if step.is_mean]
        return means[-1] if means else None

    @property
    def axes(self) -> str:
        """Axes of the output, in the order in which they are stored, by their true names."""
        names = renamed(self.volume.axes, self.plan.along)
        return "".join(axis for axis in AXES if axis in names)

    @property
    def spacing(self) -> dict[str, float]:
        """True spacing of the output."""
        return self._refined[0]

    @property
    def metadata(self) -> Metadata:
        """Place, time and display of the output."""
        return self._refined[1]

    @cached_property
    def _refined(self) -> tuple[dict[str, float], Metadata]:
        along = self.plan.along
        return refined(turned(self.volume, along), along, self.plan.factor)

    def image(self) -> ShardedImage:
        """Describe the output's arrays."""
        return lay_out(self.folder, *self.layout())

    def layout(self) -> tuple[str, tuple[int, ...], dict[str, float], tuple[int, ...]]:
        """Return the output's axes, shape, spacing and shape of blocks."""
        lengths = dict(zip(renamed("ZYX", self.plan.along), self.shape, strict=True))
        shape = tuple(lengths.get(axis, self.volume.size(axis)) for axis in self.axes)
        sides = dict(zip("ZYX", self.work.block, strict=True))
        block = tuple(min(sides.get(axis, 1), n) for axis, n in zip(self.axes, shape, strict=True))
        return self.axes, shape, self.spacing, block


def read_plan(folder: Path) -> JobPlan:
    """Read the plan of an unfinished output.

    Raises
    ------
    OutputError
        If it is damaged.
    """
    try:
        return JobPlan.model_validate_json((folder / HIDDEN / PLAN).read_bytes())
    except (OSError, ValueError) as error:
        raise OutputError(
            f"{folder / HIDDEN / PLAN}: got a plan that cannot be read, expected what isoslice "
            "left there; begin anew with --overwrite"
        ) from error


def open_job(folder: Path) -> Job:
    """Read the plan of an unfinished output, and open what it names.

    Raises
    ------
    DataError, ModelError
        If the stack or the model cannot be read any more.
    """
    work = read_plan(folder)
    volume = turned(open_with(Path(work.stack), work.reading), work.plan.along)
    return Job(work, folder, volume, ModelBundle.load(work.model), torch.device("cpu"))
