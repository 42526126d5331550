"""A volume that is restored block by block into an OME-Zarr image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.blocks import Box, Reach, Triple, block_count, nth_core
from isoslice.blockwise import Restoration, restore_part
from isoslice.config import ModelConfig
from isoslice.detail import Gains
from isoslice.device import choose_device
from isoslice.geometry import PlaneGrid, even_grid, output_voxel_size
from isoslice.io.omezarr_write import ORDER
from isoslice.io.read import open_volume, read_part
from isoslice.io.shards import Image, lay_out
from isoslice.jobs.plan import Plan, StoredGains
from isoslice.model import Model
from isoslice.normalize import Normalization, check_finite
from isoslice.pieces import Place
from isoslice.recipes import Mode
from isoslice.volume import Volume, VoxelSize

#: In an unfinished output: the folder with the plan and the lines about finished blocks.
HIDDEN, PLAN = ".isoslice", "plan.json"


@dataclass(frozen=True)
class Job:
    """A plan with everything that it names, ready to restore blocks.

    Attributes
    ----------
    plan
        What is to be done.
    folder
        The unfinished output.
    volume
        The stack, read where it is indexed.
    model
        The model, on its device.
    """

    plan: Plan
    folder: Path
    volume: Volume
    model: Model
    device: torch.device

    @cached_property
    def grid(self) -> PlaneGrid:
        """Where measured planes lie."""
        return even_grid(self.volume.size("Z"), self.plan.factor)

    @property
    def shape(self) -> Triple:
        """Of the volume to be, (Z, Y, X)."""
        return self.grid.depth, self.volume.size("Y"), self.volume.size("X")

    @property
    def blocks(self) -> int:
        """How many there are, of all time points."""
        return self.volume.size("T") * block_count(self.shape, self.plan.core)

    @property
    def axes(self) -> str:
        """Axes of the output, in the order in which they are stored."""
        return "".join(axis for axis in ORDER if axis in self.volume.axes)

    @property
    def spacing(self) -> dict[str, float]:
        """True spacing of the output."""
        return spacing_of(self.volume, self.plan.factor)

    def image(self) -> Image:
        """Describe the output's arrays."""
        return lay_out(self.folder, *self.layout())

    def layout(self) -> tuple[str, tuple[int, ...], dict[str, float], tuple[int, ...]]:
        """Return the output's axes, shape, spacing and shape of blocks."""
        lengths = dict(zip("ZYX", self.shape, strict=True))
        shape = tuple(lengths.get(axis, self.volume.size(axis)) for axis in self.axes)
        sides = dict(zip("ZYX", self.plan.core, strict=True))
        core = tuple(min(sides.get(axis, 1), n) for axis, n in zip(self.axes, shape, strict=True))
        return self.axes, shape, self.spacing, core

    def restoration(self, time: int) -> Restoration:
        """Return what a part of one time point's volume is restored from."""
        return restoration(
            self.volume,
            self.model,
            Normalization(self.plan.low, self.plan.high),
            self.grid,
            time,
            cast("Mode", self.plan.mode),
            self.plan.steps,
            self.plan.detail,
            self.plan.seed,
            self.device,
            Reach(*self.plan.reach),
        )

    def place(self, index: int) -> tuple[int, Box]:
        """Return a block's time point and where it lies in the volume."""
        time, rest = divmod(index, block_count(self.shape, self.plan.core))
        return time, nth_core(rest, self.shape, self.plan.core)

    def restore(
        self, index: int, report: Callable[[float], None] = lambda fraction: None
    ) -> dict[str, int]:
        """Restore one block and write it.

        Returns
        -------
        Its files and their bytes, safely on the disk; see `shards.Image.write`.
        """
        time, core = self.place(index)
        voxels = self.voxels(time, core, report)
        image = self.image()
        files = {}
        for channel, data in enumerate(voxels):
            at = dict(zip("ZYX", core.start, strict=True)) | {"T": time, "C": channel}
            start = [at[axis] for axis in self.axes]
            files |= image.write(start, data.reshape(self._own_shape(data.shape)))
        return files

    def voxels(
        self, time: int, core: Box, report: Callable[[float], None] = lambda fraction: None
    ) -> NDArray[Any]:
        """Restore part of a time point: (C, z, y, x), of the stack's type."""
        work = self.restoration(time)
        restored = restore_part(work, core, gains_of(self.plan.gains[time]), report)
        normalization = Normalization(self.plan.low, self.plan.high)
        result = normalization.invert(restored, self.volume.data.dtype)
        # Measured planes, bit for bit.
        _, y, x = core.slices()
        first = -(-core.start[0] // self.plan.factor)
        for plane in range(first, (core.stop[0] - 1) // self.plan.factor + 1):
            row = plane * self.plan.factor - core.start[0]
            result[:, row] = read_part(self.volume, (time, slice(None), plane, y, x))
        return result

    def _own_shape(self, zyx: tuple[int, ...]) -> tuple[int, ...]:
        return tuple({"T": 1, "C": 1}.get(axis) or zyx["ZYX".index(axis)] for axis in self.axes)


def restoration(
    volume: Volume,
    model: Model,
    normalization: Normalization,
    grid: PlaneGrid,
    time: int,
    mode: Mode,
    steps: int,
    detail: float | None,
    seed: int,
    device: torch.device,
    reach: Reach,
) -> Restoration:
    """Make what `blockwise` needs of one time point."""
    assert isinstance(model.config, ModelConfig)  # others are not restored block by block

    def read(place: Place) -> NDArray[np.float32]:
        z, y, x = place
        part = read_part(volume, (time, slice(None), z, y, x))
        check_finite(part, volume.source)
        return normalization.apply(part)

    return Restoration(
        model.network,
        model.config,
        read,
        grid,
        (volume.size("Y"), volume.size("X")),
        mode,
        steps,
        detail,
        seed,
        device,
        reach,
    )


def spacing_of(volume: Volume, factor: int) -> dict[str, float]:
    """Return the true spacing of a restored volume."""
    size = volume.voxel_size
    if size is None:
        return dict(volume.spacing)
    return dict(zip("ZYX", output_voxel_size(size, factor), strict=True))


def gains_of(stored: StoredGains) -> Gains | None:
    """Return gains as they are computed with."""
    return None if stored is None else Gains(*(torch.tensor(each) for each in stored))


def stored_gains(gains: Gains | None) -> StoredGains:
    """Return gains as a plan holds them, every bit of them."""
    if gains is None:
        return None
    fine, coarse = (tuple(map(tuple, each.tolist())) for each in gains)
    return fine, coarse


def open_job(folder: Path, device: str = "auto") -> Job:
    """Read the plan of an unfinished output, and open what it names.

    Raises
    ------
    DataError, ModelError
        If the stack or the model cannot be read any more.
    """
    plan = Plan.model_validate_json((folder / HIDDEN / PLAN).read_bytes())
    chosen = choose_device(device)
    size = None if plan.voxel_size is None else VoxelSize(*plan.voxel_size)
    volume = open_volume(plan.stack, axes=plan.axes, voxel_size=size)
    model = Model.load(plan.model)
    model.network.to(chosen)
    return Job(plan, folder, volume, model, chosen)
