"""A restoration: every frame of a stack, stage by stage, into volumes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from isoslice.data.box import Triple
from isoslice.data.frames import Frame, fill_along_z
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.agreement import chi_squared, read_errors
from isoslice.inference.engine.disk import DiskStore
from isoslice.inference.engine.leaving import Leaving
from isoslice.inference.engine.sinks import Sink
from isoslice.inference.engine.stack_planes import StackPlanes
from isoslice.inference.fields import CPU, FieldStore, Files, Layout, MemoryStore
from isoslice.inference.frame_work import FrameWork
from isoslice.inference.inspection import Inspection
from isoslice.inference.intensities import normalised
from isoslice.inference.measured import PlanesInMemory
from isoslice.inference.options import ResolvedOptions
from isoslice.inference.plan import Plan
from isoslice.inference.recipes import Recipe, recipe_of
from isoslice.inference.recipes.protocol import Report
from isoslice.inference.recipes.residual_stages import PLANE_ERRORS, SCALE
from isoslice.inference.stack_units import FrameUnits, in_units
from isoslice.inference.stages import Stage, directions, needed_after, task_count
from isoslice.inference.uncertainty import ErrorEstimator, StackScale, error_estimator
from isoslice.models.files.bundle import ModelBundle
from isoslice.runtime.device import field_device

#: Side of a block: the same on all machines, and in memory, where sums over blocks are the same.
BLOCK = 256

Size = Annotated[int, Field(ge=1)]


class Cut(BaseModel):
    """How a restoration is cut into tasks.

    Attributes
    ----------
    fields
        Type of each frame's fields between passes.
    slabs
        Slices of a slab of XZ and of one of YZ slices.
    block
        Shape of a block, (Z, Y, X).
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    fields: tuple[Literal["float16", "float32"], ...]
    slabs: tuple[Size, Size]
    block: tuple[Size, Size, Size]


class FrameStage(NamedTuple):
    """Tasks that need not know of each other; those of the next stage need all of them."""

    #: Number of the frame: a time point, or a channel of one.
    frame: int
    #: See `stages.Stage`.
    name: str
    tasks: int
    #: Of one task, in voxels that go once through the network.
    cost: float

    @property
    def key(self) -> str:
        """What it is called in a ledger."""
        return f"{self.frame}/{self.name}"

    def task(self, index: int) -> str:
        """Name a task, for a ledger."""
        return f"{self.key}/{index}"


@dataclass
class Restoration:
    """A plan with everything that it names.

    Attributes
    ----------
    plan
        What voxels depend on.
    cut
        How it is cut into tasks.
    volume
        The stack, its coarse axis called Z.
    model, device
        The model, and the device where it computes.
    sinks
        Where volumes go: ``volume``, ``std``, ``sample-1``, ...
    folder
        Where fields lie between stages; in memory, if there is none.
    home
        Where they are kept in memory: on `device` itself, if there is room.
    origin
        Of a crop, where its first voxel lies in the whole volume: its noise is the same there.
    """

    plan: Plan
    cut: Cut
    volume: Volume
    model: ModelBundle
    device: torch.device
    sinks: Mapping[str, Sink]
    folder: Path | None = None
    home: torch.device = CPU
    origin: Triple = (0, 0, 0)
    _memory: dict[int, FrameWork] = field(default_factory=dict)
    _models: dict[FrameUnits, ModelBundle] = field(default_factory=dict)
    _estimators: dict[FrameUnits, ErrorEstimator] = field(default_factory=dict)

    @cached_property
    def recipe(self) -> Recipe:
        """How a model of this kind restores, whatever the units of a frame."""
        return recipe_of(self.model.config)

    def recipe_for(self, number: int) -> Recipe:
        """Return how a frame is restored, in its units."""
        return recipe_of(self._model_for(number).config)

    def _model_for(self, number: int) -> ModelBundle:
        """Return the model in the units of a frame."""
        units = self.plan.units_of(self.frames[number])
        return self._models.setdefault(units, in_units(self.model, units))

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
        return len(self.frames) * self.channels * math.prod(self.shape)

    @cached_property
    def frame_stages(self) -> tuple[Stage, ...]:
        """The stages of any frame, but for noise levels, which depend on its units."""
        return self.recipe.stages(self.plan.options)

    def stages_for(self, number: int) -> tuple[Stage, ...]:
        """Return the stages of a frame, with noise levels in its units."""
        return self.recipe_for(number).stages(self.plan.options)

    def layout(self, number: int) -> Layout:
        """Describe the fields of a frame."""
        dtype = getattr(torch, self.cut.fields[number])
        return Layout(self.channels, self.shape, dtype, self.cut.slabs, self.cut.block)

    def stages(self) -> Iterator[FrameStage]:
        """List everything there is to do, in its order."""
        voxels = self.voxels // len(self.frames)
        for number in range(len(self.frames)):
            layout = self.layout(number)
            for stage in self.frame_stages:
                tasks = task_count(stage, layout)
                yield FrameStage(number, stage.name, tasks, stage.cost * voxels / tasks)

    def run_task(self, frame_stage: FrameStage, index: int, report: Report) -> Files:
        """Do one task; return the files that it left, safely on the disk."""
        return self.start_task(frame_stage, index, report)()

    def start_task(
        self, frame_stage: FrameStage, index: int, report: Report
    ) -> Callable[[], Files]:
        """Do what computes of one task.

        Returns
        -------
        What is left for the host to do, in any thread, one task after the other: it returns the
        files that the task left, safely on the disk.
        """
        number = frame_stage.frame
        work, recipe = self._prepared(number), self.recipe_for(number)
        stage = next(stage for stage in work.stages if stage.name == frame_stage.name)
        if stage.kind == "pass":
            try:
                files = recipe.run_pass(work, stage, index, report)
            except torch.OutOfMemoryError as error:
                raise SettingsError(
                    f"got a GPU without room for slabs of {max(self.cut.slabs):,} slices "
                    f"({type(error).__name__}), expected the memory that the run began with; "
                    "end other programs on it, or begin anew with --slab or --device cpu"
                ) from error
            return lambda: files
        if stage.kind == "numbers":
            found = recipe.find_numbers(work, stage)
            return lambda: found
        made = recipe.make_block(work, stage, index)
        started = [
            self._leaving(name, number).start(work.block(index), values)
            for name, values in made.outputs.items()
        ]

        def left() -> Files:
            left_there = dict(made.files)
            for write in started:
                left_there |= write()
            return left_there

        return left

    def at_detail(self, detail: float) -> Restoration:
        """Return the same with another share of detail, and with all fields that there are.

        Passes need not run again: detail is let in where blocks are put together.
        """
        plan = self.plan.model_copy(update={"options": _at_detail(self.plan.options, detail)})
        memory = {
            number: replace(work, options=_at_detail(work.options, detail))
            for number, work in self._memory.items()
        }
        return replace(self, plan=plan, _memory=memory)

    def finish(self, frame_stage: FrameStage) -> None:
        """Forget what nobody needs once a stage is done."""
        store = self._prepared(frame_stage.frame).store
        store.keep_only({PLANE_ERRORS, *needed_after(self.frame_stages, frame_stage.name)})
        if frame_stage.name == self.frame_stages[-1].name:
            self._memory.pop(frame_stage.frame, None)

    def scale(self, number: int) -> StackScale | None:
        """Return what a frame's standard deviations were made with, if there are any.

        While the frame is not finished in memory, or once its numbers are on the disk.
        """
        if not self.plan.options.estimates_errors:
            return None
        numbers = self._prepared(number).store.numbers(SCALE)
        stored = error_estimator(self.model).calibration.at(numbers["factor"])
        calibration = stored.model_copy(update={"multiples": tuple(numbers["multiples"])})
        return StackScale(
            tuple(numbers["total"]),
            tuple(numbers["ratio"]),
            tuple(numbers["anisotropy"]),
            numbers["optimism"],
            numbers["measured"],
            calibration,
        )

    @cached_property
    def _all_points(self) -> bool:
        return all(self.plan.measurement(frame).is_points for frame in self.frames)

    def chi_squared(self, number: int) -> NDArray[np.float64] | None:
        """Return how far a frame differs from its planes, (C, planes); None if all are points.

        See `agreement.chi_squared`; available as long as `scale` is. Of points beside frames that
        have others, such as channels without noise, there is no difference.
        """
        frame = self.frames[number]
        measurement = self.plan.measurement(frame)
        if self._all_points:
            return None
        if measurement.is_points:
            return np.zeros((self.channels, len(frame.kept)))
        errors = read_errors(self._prepared(number).store, PLANE_ERRORS)
        return chi_squared(errors, measurement.noise, len(frame.kept))

    def _prepared(self, number: int) -> FrameWork:
        """Prepare a frame."""
        if number in self._memory:
            return self._memory[number]
        frame = self.frames[number]
        options = self.plan.options
        scaled = self.plan.normalization.of_channels(frame.channels)
        layout, stages = self.layout(number), self.stages_for(number)
        there = field_device(self.device)
        store: FieldStore
        planes: StackPlanes | PlanesInMemory = StackPlanes(self.volume, frame, scaled)
        if self.folder is not None:
            store = DiskStore(layout, self.folder / f"frame-{number}", directions(stages), there)
        else:
            store = MemoryStore(layout, there, self.home)
            if self.home == there:  # else what is interpolated has no room there, as a whole
                data = self.volume.tczyx()[frame.time, frame.channels][:, list(frame.kept)]
                complete = fill_along_z(np.asarray(data))
                planes = PlanesInMemory(normalised(complete, scaled, there), frame.grid)
        work = FrameWork(
            network=self.model.network.to(self.device),
            options=options.with_seed(frame.seed),
            stages=stages,
            grid=frame.grid,
            planes=planes,
            store=store,
            device=self.device,
            estimator=self._estimator_for(number),
            own=Path(self.plan.source).name in self.model.info.get("sources", ()),
            measurement=self.plan.measurement(frame),
            origin=self.origin,
        )
        if self.folder is None:
            self._memory = {number: work}
        return work

    def _estimator_for(self, number: int) -> ErrorEstimator | None:
        if not self.plan.options.estimates_errors:
            return None
        units = self.plan.units_of(self.frames[number])
        if units not in self._estimators:
            estimator = error_estimator(self._model_for(number))
            estimator.network.to(self.device)
            self._estimators[units] = estimator
        return self._estimators[units]

    def _leaving(self, name: str, number: int) -> Leaving:
        """Say where blocks of a frame go that are called ``volume``, ``std``, ``sample-1``, ..."""
        frame = self.frames[number]
        scaled = self.plan.normalization.of_channels(frame.channels)
        holds: Literal["planes", "intensities", "deviations"] = "deviations"
        if name != "std":
            holds = "planes" if self.plan.measurement(frame).is_points else "intensities"
        return Leaving(self.sinks[name], holds, self.volume, frame, scaled)


def _at_detail(options: ResolvedOptions, detail: float) -> ResolvedOptions:
    return options.model_copy(update={"detail": detail})


def field_types(
    plan: Plan, frames: list[Frame], inspection: Inspection, model: ModelBundle
) -> tuple[Literal["float16", "float32"], ...]:
    """Choose the type of each frame's fields, by its largest intensity."""
    return tuple(
        _field_type(frame, inspection, recipe_of(in_units(model, plan.units_of(frame)).config))
        for frame in frames
    )


def _field_type(
    frame: Frame, inspection: Inspection, recipe: Recipe
) -> Literal["float16", "float32"]:
    extremes = inspection.survey.extremes(frame.time, frame.channels, frame.kept)
    scaled = inspection.normalization.of_channels(frame.channels).apply(extremes)
    half = recipe.field_dtype(float(np.abs(scaled).max())) == torch.float16
    return "float16" if half else "float32"
