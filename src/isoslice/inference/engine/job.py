"""A restoration on the disk: its folder, what is in it, and whether the stack is as it was."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from isoslice.data.box import Triple
from isoslice.data.coarse import refined, renamed, turned
from isoslice.data.srh import srh_channels
from isoslice.data.volume import AXES, Volume
from isoslice.errors import DataError, OutputError, SettingsError
from isoslice.inference.engine.job_plan import JobPlan, files_digest, files_glance
from isoslice.inference.engine.restoration import FrameStage, Restoration
from isoslice.inference.engine.sinks import ZarrSink
from isoslice.inference.engine.worker import this_process
from isoslice.inference.options import outputs_of
from isoslice.inference.prediction import holds, provenance
from isoslice.inference.recipes.protocol import Report
from isoslice.io.atomic import atomic_write
from isoslice.io.formats.omezarr.shards import ShardedImage, create_image, lay_out
from isoslice.io.reading import open_with
from isoslice.models.files.bundle import ModelBundle

#: In an unfinished output: what it is known by, the plan, the model, and the fields of frames.
MARK, PLAN, MODEL, FIELDS = ".isoslice", "plan.json", "model", "fields"
#: Whether the run that began it was to replace an earlier output.
OVERWRITE = "overwrite"


@dataclass
class Job:
    """A restoration whose folder is `folder`.

    Attributes
    ----------
    saved
        What is to be done, as it is saved.
    folder
        The unfinished output.
    volume
        The stack, read where it is indexed; its coarse axis is called Z.
    model
        The model.
    """

    saved: JobPlan
    folder: Path
    volume: Volume
    model: ModelBundle

    @cached_property
    def restoration(self) -> Restoration:
        """The stages, and where they leave what they make; on the CPU until `compute_on`."""
        plan = self.saved.plan
        sinks = {
            name: ZarrSink(self.image(name), plan.along, dtype)
            for name, dtype in self.outputs.items()
        }
        cpu = torch.device("cpu")
        fields = self.folder / FIELDS
        return Restoration(plan, self.saved.cut, self.volume, self.model, cpu, sinks, fields)

    @property
    def outputs(self) -> dict[str, np.dtype[Any]]:
        """Types of the volumes to be, by name."""
        return outputs_of(self.saved.plan.options, self.volume.data.dtype)

    @property
    def voxels(self) -> int:
        """Of the restored volume."""
        return self.restoration.voxels

    def stages(self) -> Iterator[FrameStage]:
        """List everything there is to do, in its order."""
        return self.restoration.stages()

    def run_task(self, stage: FrameStage, index: int, report: Report) -> dict[str, int]:
        """Do one task.

        Returns
        -------
        Its files, named from the folder, and their bytes; all safely on the disk.

        Raises
        ------
        DataError
            If the stack has changed.
        """
        files = self.restoration.run_task(stage, index, report)
        self.check_stack()
        return {path.relative_to(self.folder).as_posix(): size for path, size in files.items()}

    def compute_on(self, device: torch.device) -> None:
        """Choose where tasks compute.

        Raises
        ------
        SettingsError
            If results would not be those of the others that do tasks.
        """
        worker = this_process(device.type)  # any of several GPUs
        if worker.arithmetic != self.saved.arithmetic:
            raise SettingsError(
                f"got a process that computes in {worker.arithmetic}, expected "
                f"{self.saved.arithmetic} as the run began, so that all voxels are made alike; "
                "use a machine of that kind"
            )
        self.restoration.device = device

    def check_stack(self) -> None:
        """Raise `DataError` if the stack is no longer there, which Zarr reads as zeros."""
        if files_glance(Path(self.saved.stack)) != self.saved.stack_glance:
            raise DataError(
                f"{self.saved.stack}: got another stack than when this run began, or none, "
                "expected it unchanged; put it back and go on with --resume, or begin anew with "
                "--overwrite"
            )

    def check_whole_stack(self) -> None:
        """Raise `DataError` if any of the stack's files has changed since the run began.

        What was made of them meanwhile cannot be trusted, so there is nothing to go on with then.
        """
        self.check_stack()
        if files_digest(Path(self.saved.stack)) != self.saved.stack_digest:
            (self.folder / PLAN).unlink(missing_ok=True)
            raise DataError(
                f"{self.saved.stack}: got another stack than when this run began, expected it "
                "unchanged; begin anew"
            )

    @cached_property
    def axes(self) -> str:
        """Axes of the volumes as they are stored, by their true names."""
        names = renamed(self.volume.axes, self.saved.plan.along)
        return "".join(axis for axis in AXES if axis in names)

    def described(self, name: str, data: Any) -> Volume:
        """Return a restored volume, its voxels `data` in the order of `axes`."""
        along, plan = self.saved.plan.along, self.saved.plan
        source = turned(self.volume, along)
        spacing, metadata = refined(source, along, plan.ratio, plan.step)
        frames = range(len(self.restoration.frames))
        scales = [self.restoration.scale(i) for i in frames]
        differences = [self.restoration.chi_squared(i) for i in frames]
        made = provenance(
            plan,
            [scale for scale in scales if scale is not None],
            [each for each in differences if each is not None],
            self.restoration.frames,
        )
        return replace(
            source,
            data=data,
            axes=self.axes,
            spacing=spacing,
            provenance={**made, "holds": holds(name, plan.options)},
            source="isoslice",
            metadata=metadata,
            z_positions=None,
        )

    def create_images(self) -> None:
        """Create the images on the disk, empty."""
        for name, dtype in self.outputs.items():
            shape, spacing, block = self._image_layout
            create_image(self.folder / name, self.axes, shape, dtype, spacing, block)

    def image(self, name: str) -> ShardedImage:
        """Describe the arrays of an image."""
        shape, spacing, block = self._image_layout
        return lay_out(self.folder / name, self.axes, shape, spacing, block)

    @cached_property
    def _image_layout(self) -> tuple[tuple[int, ...], dict[str, float], tuple[int, ...]]:
        """Return shape, spacing and shape of the blocks of the images."""
        plan = self.saved.plan
        along, names = plan.along, renamed("ZYX", plan.along)
        lengths = dict(zip(names, self.restoration_shape, strict=True))
        sides = dict(zip(names, self.saved.cut.block, strict=True))
        shape = tuple(lengths.get(axis, self.volume.size(axis)) for axis in self.axes)
        block = tuple(min(sides.get(axis, 1), n) for axis, n in zip(self.axes, shape, strict=True))
        spacing, _ = refined(turned(self.volume, along), along, plan.ratio, plan.step)
        return shape, spacing, block

    @property
    def image_shape(self) -> tuple[int, ...]:
        """Shape of the images, in the order of `axes`."""
        return self._image_layout[0]

    @property
    def restoration_shape(self) -> Triple:
        """Shape of the restored volume, (Z, Y, X), its coarse axis called Z."""
        grid = self.saved.plan.frames(self.volume)[0].grid
        return grid.depth, self.volume.size("Y"), self.volume.size("X")


def read_plan(folder: Path) -> JobPlan:
    """Read the plan of an unfinished output.

    Raises
    ------
    OutputError
        If it is damaged.
    """
    try:
        return JobPlan.model_validate_json((folder / PLAN).read_bytes())
    except (OSError, ValueError, SettingsError) as error:
        raise OutputError(
            f"{folder / PLAN}: got a plan that cannot be read, expected what isoslice left there; "
            "begin anew with --overwrite"
        ) from error


def write_plan(plan: JobPlan, folder: Path) -> None:
    """Write the plan of an unfinished output, whole or not at all."""
    with atomic_write(folder / PLAN, fsync=True) as stream:
        stream.write(plan.model_dump_json(indent=1).encode() + b"\n")


def open_job(folder: Path) -> Job:
    """Read the plan of an unfinished output, and open what it names.

    Raises
    ------
    DataError, ModelError
        If the stack or the model cannot be read any more.
    """
    saved = read_plan(folder)
    model = ModelBundle.load(folder / MODEL)
    volume = turned(open_with(Path(saved.stack), saved.reading), saved.plan.along)
    return Job(saved, folder, srh_channels(volume) if model.config.srh else volume, model)
