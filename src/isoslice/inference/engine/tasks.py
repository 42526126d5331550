"""The tasks themselves: a slab of a pass, the gains of a volume, a block of the output."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.box import Box, Region, nth_block, widened
from isoslice.data.coarse import renamed
from isoslice.data.frames import Frame, Rows, fill_along_z, put_back
from isoslice.data.grid import PlaneGrid, planes_around
from isoslice.data.normalization import Normalization, check_finite
from isoslice.inference.detail.blend import Gains
from isoslice.inference.detail.strength import find_gains
from isoslice.inference.engine.stages import Job, Stage
from isoslice.inference.interpolated import make_base
from isoslice.inference.passes import run_pass
from isoslice.inference.sampler import Drawn, compose, margin
from isoslice.io.atomic import atomic_write
from isoslice.io.formats.omezarr.shards import CHUNK_SIDE

#: A time point's file with its gains.
GAINS = "gains.json"
#: Voxels of measured planes that are read at once.
_READ = 2**24

Report = Callable[[float], None]


def run_task(job: Job, stage: Stage, index: int, report: Report) -> dict[str, int]:
    """Do one task.

    Returns
    -------
    Its files, named from the unfinished output, and their bytes; all safely on the disk.

    Raises
    ------
    DataError
        If the stack has changed.
    """
    if stage.name == "blocks":
        files = _block(job, stage.time, index)
    elif stage.name == "gains":
        files = _gains(job, stage.time)
    else:
        number = int(stage.name.partition("-")[2])
        files = _pass(job, stage.time, number, index, report)
    job.check_stack()
    return {path.relative_to(job.folder).as_posix(): size for path, size in files.items()}


def _pass(job: Job, time: int, number: int, index: int, report: Report) -> Mapping[Path, int]:
    step, scratch, frame = job.passes[number], job.scratch(time), job.frames[time]
    place = scratch.place(step.plane, index)
    _, y, x = place
    planes = _read(job, frame, (slice(0, len(frame.kept)), y, x))
    base = make_base(planes, frame.grid, job.config.softening, job.device)
    del planes
    if number:
        before = job.passes[number - 1].plane
        residual = scratch.read(number - 1, before, place, step.plane)
    else:
        residual = scratch.zeros(step.plane, place)
    residual = residual.to(base.planes.device)
    lateral, done = (y if step.plane == "XZ" else x), 0
    with torch.inference_mode():
        for finished in run_pass(
            job.model.network,
            job.config,
            step,
            residual,
            base,
            first=lateral.start,
            seed=frame.seed,
            device=job.device,
        ):
            done += finished
            report(done / (lateral.stop - lateral.start))
    return scratch.write(number, step.plane, index, residual)


def _gains(job: Job, time: int) -> Mapping[Path, int]:
    frame = job.frames[time]
    shape = len(frame.kept), job.shape[1], job.shape[2]
    drawn = _Drawn(job, time)
    gains = find_gains(job.config, lambda p: _read(job, frame, p), shape, frame.grid, drawn)
    path = job.scratch(time).folder / GAINS
    with atomic_write(path, fsync=True) as stream:
        stream.write(json.dumps([each.tolist() for each in gains]).encode() + b"\n")
    return {path: path.stat().st_size}


def _block(job: Job, time: int, index: int) -> Mapping[Path, int]:
    block = nth_block(index, job.shape, job.work.block)
    voxels, image = _composed(job, time, block), job.image()
    files: dict[str, int] = {}
    frame, names = job.frames[time], renamed("ZYX", job.plan.along)
    order = [names.index(axis) for axis in "ZYX"]
    channels = range(job.volume.size("C"))[frame.channels]
    for channel, data in zip(channels, voxels, strict=True):
        at = dict(zip(names, block.start, strict=True)) | {"T": frame.time, "C": channel}
        lengths = dict(zip(names, data.shape, strict=True))
        shape = [lengths.get(axis, 1) for axis in job.axes]
        part = np.ascontiguousarray(data.transpose(order)).reshape(shape)
        files |= image.write([at[axis] for axis in job.axes], part)
    return {job.folder / name: size for name, size in files.items()}


def _composed(job: Job, time: int, block: Box) -> NDArray[Any]:
    """Put together a block: (C, z, y, x), of the stack's type."""
    frame = job.frames[time]
    window = widened(block, job.shape, margin(job.config))
    first, last, grid = planes_around(frame.grid, window.start[0], window.stop[0])
    known = frame.grid.known[first]
    rows = slice(window.start[0] - known, window.stop[0] - known)
    _, y, x = window.slices()
    planes = _read(job, frame, (slice(first, last + 1), y, x))
    cpu = torch.device("cpu")
    base = make_base(planes, grid, job.config.softening, cpu, rows)
    drawn = _Drawn(job, time).window(window.slices())
    gains = None
    if job.plan.options.mode == "sample":
        stored = json.loads((job.scratch(time).folder / GAINS).read_text(encoding="utf-8"))
        gains = Gains(*(torch.tensor(each) for each in stored))
        gains = gains.of_planes(torch.from_numpy(frame.grid.distances)[window.slices()[0]])
    inside = block.slices(window.start)
    result = np.empty((job.channels, *block.shape), job.volume.data.dtype)
    scaled = job.normalization.of_channels(frame.channels)
    for part, values in compose(job.config, base, drawn, inside, job.plan.options.detail, gains):
        result[:, :, part] = scaled.invert(values.numpy(), result.dtype)
    _put_back(job, frame, block, result, scaled)
    return result


def _put_back(
    job: Job, frame: Frame, block: Box, result: NDArray[Any], scaled: Normalization
) -> None:
    """Put measured planes back into a block; see `frames.put_back`."""
    (top, _, _), (_, y, x) = block.start, block.slices()
    channels = range(job.volume.size("C"))[frame.channels]
    for values, measured, channel, limits in zip(
        result, frame.measured, channels, scaled.limits_of(len(channels)), strict=True
    ):
        places = PlaneGrid(tuple(z * frame.factor for z in measured))
        first, last, _ = planes_around(places, top, top + block.shape[0])
        numbers = range(measured[first], measured[last] + 1)
        part = job.volume.read((frame.time, channel, slice(numbers.start, numbers.stop), y, x))
        around = measured[first : last + 1]
        rows = [z * frame.factor - top for z in around]
        put_back(values, Rows(part, [z - numbers.start for z in around]), rows, limits)


def _read(job: Job, frame: Frame, place: Region) -> NDArray[np.float32]:
    """Read a part of the measured planes, normalised, some at a time for memory."""
    z, y, x = place
    scaled = job.normalization.of_channels(frame.channels)
    kept = frame.kept
    if scaled.fill is not None:  # what stands in for voxels without data may lie on any plane
        every = _read_kept(job, frame, (slice(0, len(kept)), y, x))
        return scaled.apply(fill_along_z(every)[:, z])
    shape = (job.channels, *(part.stop - part.start for part in place))
    planes = np.empty(shape, np.float32)
    step = max(1, _READ // max(1, shape[0] * shape[2] * shape[3]))
    # Whole chunks, where they are cubes.
    step = max(step // CHUNK_SIDE * CHUNK_SIDE, min(step, CHUNK_SIDE))
    for start in range(0, shape[1], step):
        some = slice(z.start + start, min(z.start + start + step, z.stop))
        part = _read_kept(job, frame, (some, y, x))
        check_finite(part, job.volume.source)  # the stack may have changed since it was looked at
        planes[:, start : start + step] = scaled.apply(part)
    return planes


def _read_kept(job: Job, frame: Frame, place: Region) -> NDArray[Any]:
    """Read a part of the planes that a frame is restored from, as they are stored."""
    z, y, x = place
    wanted = frame.kept[z]
    first, last = wanted[0], wanted[-1]
    part = job.volume.read((frame.time, frame.channels, slice(first, last + 1), y, x))
    if len(wanted) == last + 1 - first:
        return part
    return part[:, [plane - first for plane in wanted]]


class _Drawn:
    """What a time point's passes left, read where it is asked for; as `sampler.Drawn` otherwise."""

    def __init__(self, job: Job, time: int) -> None:
        self._job, self._scratch = job, job.scratch(time)

    def window(self, place: Region) -> Drawn:
        """Read a part."""
        last, kept = len(self._job.passes) - 1, self._job.mean_pass
        mean = None if kept is None else self._read(kept, place)
        return Drawn(mean, None if last == kept else self._read(last, place))

    def part(self, place: Region) -> tuple[Tensor, Tensor | None]:
        """Read mean and sample of a part, in single precision."""
        z, y, x = (slice(0, part.stop - part.start) for part in place)
        return self.window(place).part((z, y, x))

    def _read(self, number: int, place: Region) -> Tensor:
        return self._scratch.read(number, self._job.passes[number].plane, place)
