"""A preview: one XZ and one YZ slab around a voxel, restored as the whole stack would be.

Intensities, units, noise and lost planes are those of the whole stack, so a slab differs from the
restored volume only where the network would see further than its sides, and in how far detail is
strengthened, which is measured on the slab.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.data.box import SlicePlane, Triple
from isoslice.data.coarse import renamed
from isoslice.data.frames import Frame
from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import interpolate
from isoslice.data.volume import AXES, Volume
from isoslice.inference.engine.restoration import BLOCK, Cut, FrameStage, Restoration, field_types
from isoslice.inference.engine.sinks import ArraySink
from isoslice.inference.plan import Plan
from isoslice.inference.stages import RESULT
from isoslice.models.config import ModelConfig
from isoslice.runtime.progress import Progress
from isoslice.viewer.compute.prepare import PreparedStack
from isoslice.viewer.messages import Slab

#: Places of the dial between mean and sample that a preview is composed at.
DIAL = tuple(float(place) for place in np.linspace(0, 1, 21))


@dataclass(frozen=True)
class Extent:
    """How much of a stack a slab holds, at most.

    Attributes
    ----------
    slices, width
        Slices of the slab, and their width in pixels.
    rows
        Output planes.
    """

    slices: int
    width: int
    rows: int


#: A first look within two seconds on two cores, and a wider one after it.
NARROW, WIDE = Extent(16, 72, 65), Extent(32, 256, 193)


def has_dial(prepared: PreparedStack) -> bool:
    """Whether the model can blend mean and sample: isoslice's own, not distilled."""
    config = prepared.model.config
    return isinstance(config, ModelConfig) and config.distilled is None


def preview_slabs(
    prepared: PreparedStack,
    at: Mapping[str, int],
    extent: Extent,
    device: torch.device,
    progress: Progress,
) -> tuple[Slab, ...]:
    """Restore an XZ and a YZ slab of a stack around a voxel; return their middle slices.

    Parameters
    ----------
    prepared
        The stack.
    at
        Index of the voxel by the stack's axes; of the coarse axis, that of a measured plane.
    extent
        How much to restore.
    device
        Where to compute.
    progress
        Hears how far it is.
    """
    along = prepared.stack.along
    names = {"Z": along, along: "Z"}
    here = {names.get(axis, axis): index for axis, index in at.items()}
    planes: tuple[SlicePlane, ...] = ("XZ", "YZ")
    shares = dict.fromkeys(planes, 0.0)

    def restored(plane: SlicePlane) -> Slab:
        def report(share: float) -> None:
            shares[plane] = share
            progress.update("preview", min(sum(shares.values()) / len(planes), 0.999))

        return _restored(prepared, _crop(prepared, plane, here, extent), plane, device, report)

    # At once, since one of a few slices is one batch, which one thread restores.
    with ThreadPoolExecutor(len(planes)) as pool:
        slabs = tuple(pool.map(restored, planes))
    progress.update("preview", 1.0)
    return slabs


@dataclass(frozen=True)
class Crop:
    """A part of one frame of a stack, as a stack of its own.

    Attributes
    ----------
    volume
        Its voxels (T, C, Z, Y, X), one time point and the channels that are restored together.
    plan
        That of the whole, of these planes.
    origin
        Where its first voxel lies in the whole restored volume, (Z, Y, X).
    middle
        Number of the slice that is shown.
    channel
        Which of the channels is shown.
    """

    volume: Volume
    plan: Plan
    origin: Triple
    middle: int
    channel: int


def _crop(
    prepared: PreparedStack, plane: SlicePlane, at: Mapping[str, int], extent: Extent
) -> Crop:
    volume, plan = prepared.stack.volume, prepared.plan
    frame = _frame_at(plan.frames(volume), at)
    kept = _planes_around(frame, at.get("Z", 0), extent.rows)
    across = {"XZ": "Y", "YZ": "X"}[plane]
    parts = {}
    for axis in "YX":
        length = extent.slices if axis == across else extent.width
        parts[axis] = _window(at.get(axis, volume.size(axis) // 2), length, volume.size(axis))
    numbers = slice(kept[0], kept[-1] + 1)
    data = volume.read((frame.time, frame.channels, numbers, parts["Y"], parts["X"]))
    first = frame.positions[kept[0]]
    origin = int(first), parts["Y"].start, parts["X"].start
    spacing = dict(volume.spacing)
    crop = Volume(data[None], AXES, spacing, volume.unit, source=volume.source)
    middle = at.get(across, volume.size(across) // 2) - parts[across].start
    channels = range(volume.size("C"))[frame.channels]
    shown = channels.index(at["C"]) if at.get("C") in channels else 0
    return Crop(crop, _plan_of(plan, frame, numbers, origin[0]), origin, middle, shown)


def _frame_at(frames: list[Frame], at: Mapping[str, int]) -> Frame:
    """Return the frame that holds a time point and channel."""
    time, channel = at.get("T", 0), at.get("C", 0)
    mine = [frame for frame in frames if frame.time == time]
    for frame in mine:
        stop = frame.channels.stop
        if frame.channels.start <= channel < stop:
            return frame
    return mine[0]


def _planes_around(frame: Frame, plane: int, rows: int) -> tuple[int, ...]:
    """Return sound planes around one, at least two, that `rows` output planes hold."""
    kept, places = frame.kept, frame.grid.known
    nearest = int(np.argmin([abs(z - plane) for z in kept]))
    low = high = nearest
    while True:
        wider = [
            (a, b)
            for a, b in ((low - 1, high), (low, high + 1))
            if a >= 0 and b < len(kept) and (places[b] - places[a] < rows or high == low)
        ]
        if not wider:
            return kept[low : high + 1]
        # Towards the side that reaches less far from the plane.
        low, high = min(wider, key=lambda ab: abs(nearest - ab[0] - (ab[1] - nearest)))


def _window(centre: int, length: int, size: int) -> slice:
    """Return `length` indices of `size` around a centre, as many as there are."""
    start = min(max(0, centre - length // 2), max(0, size - length))
    return slice(start, min(start + length, size))


def _plan_of(plan: Plan, frame: Frame, numbers: slice, below: int) -> Plan:
    """Return the plan of a crop: some planes of one frame, the first at or above plane `below`."""
    channels = range(len(plan.normalization.low))[frame.channels]
    inside = range(numbers.start, numbers.stop)
    lost = tuple(
        tuple(z - numbers.start for z in plan.lost[frame.time][c] if z in inside) for c in channels
    )
    places = tuple(z - below for z in plan.positions[numbers]) if plan.positions else ()
    units = plan.units[channels.start : channels.stop] if plan.separate else plan.units
    return plan.model_copy(
        update={
            "lost": (lost,),
            "reasons": (tuple(() for _ in channels),),
            "positions": places,
            "separate": False,
            "normalization": plan.normalization.of_channels(frame.channels),
            "noise": plan.noise[frame.channels],
            "damping": plan.damping[frame.channels],
            "units": units,
            "options": plan.options.with_seed(frame.seed),
        }
    )


def _restored(
    prepared: PreparedStack, crop: Crop, plane: SlicePlane, device: torch.device, report: Any
) -> Slab:
    """Run all passes over a crop once, then compose its middle slice at each place of the dial."""
    frames = crop.plan.frames(crop.volume)
    depth = frames[0].grid.depth
    shape = (1, crop.volume.size("C"), depth, crop.volume.size("Y"), crop.volume.size("X"))
    array = np.empty(shape, crop.volume.data.dtype)
    one = {"XZ": (BLOCK, 1, BLOCK), "YZ": (BLOCK, BLOCK, 1)}[plane]
    whole_frames = prepared.plan.frames(prepared.stack.volume)
    fields = field_types(prepared.plan, whole_frames[:1], prepared.inspection, prepared.model)
    restoration = Restoration(
        crop.plan,
        Cut(fields=fields, slabs=shape[3:], block=(max(depth, one[0]), *one[1:])),
        crop.volume,
        prepared.model,
        device,
        {"volume": ArraySink(array)},
        origin=crop.origin,
    )
    stages = list(restoration.stages())
    total, done = sum(stage.tasks * stage.cost for stage in stages), 0.0
    result: FrameStage | None = None
    for stage in stages:
        if stage.name == RESULT:
            result = stage
            break
        for index in range(stage.tasks):

            def told(share: float, done: float = done, cost: float = stage.cost) -> None:
                report((done + share * cost) / total)

            restoration.run_task(stage, index, told)
            done += stage.cost
            report(done / total)
    assert result is not None  # every recipe ends with it
    slices = []
    for each in _at_each_detail(restoration, prepared):
        each.run_task(result, crop.middle, lambda share: None)
        volume = array[0, crop.channel]
        shown = volume[:, crop.middle] if plane == "XZ" else volume[:, :, crop.middle]
        slices.append(shown.copy())
    return _slab(prepared, crop, plane, frames[0], np.stack(slices))


def _at_each_detail(restoration: Restoration, prepared: PreparedStack) -> Iterator[Restoration]:
    if not has_dial(prepared):
        yield restoration
        return
    for place in DIAL:
        yield restoration.at_detail(place)


def _slab(
    prepared: PreparedStack,
    crop: Crop,
    plane: SlicePlane,
    frame: Frame,
    restored: NDArray[Any],
) -> Slab:
    """Put together what is shown of a crop."""
    planes = crop.volume.data[0, crop.channel]
    shown = planes[:, crop.middle] if plane == "XZ" else planes[:, :, crop.middle]
    kept = np.asarray(shown)[list(frame.kept)]
    linear = interpolate(kept[:, None].astype(np.float32), frame.grid)[:, 0]
    row, column = crop.origin[1:] if plane == "XZ" else crop.origin[:0:-1]
    return Slab(
        renamed(plane, prepared.stack.along),
        linear,
        restored,
        _measured_rows(frame.grid),
        (column, row + crop.middle),
    )


def _measured_rows(grid: PlaneGrid) -> NDArray[np.bool_]:
    """Whether each output plane is, or is the nearest to, a measured one."""
    rows = np.zeros(grid.depth, bool)
    rows[list(grid.nearest)] = True
    return rows
