"""A part of a volume as if all of it had been restored: reads, and computes, what that needs."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from isoslice.base import Base, make_base
from isoslice.blocks import Box, Reach, Triple, box_of, pass_boxes, span, widened
from isoslice.config import ModelConfig
from isoslice.detail import Gains
from isoslice.diffusion import NO_SIGNAL, Network
from isoslice.gains import detail_gains
from isoslice.geometry import PlaneGrid
from isoslice.pieces import Read, drawn_piece, drawn_place, piece_grid, pieces, plane_distances
from isoslice.sampler import Drawn, Mode, all_steps, compose, draw

#: How far a voxel of a slice matters, measured with trained networks (docs/scaling.md).
REACH = Reach(32, 48)
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Restoration:
    """A volume to be: its measured planes, and how they become it.

    Attributes
    ----------
    network, config
        The denoiser, on `device`, in evaluation mode; the model's settings.
    read
        Gives parts of the measured planes, normalised.
    grid
        Where the planes lie.
    lateral
        Length along Y and X.
    mode, evaluations, detail, seed, device
        As in `sampler.restore`.
    """

    network: Network
    config: ModelConfig
    read: Read
    grid: PlaneGrid
    lateral: tuple[int, int]
    mode: Mode = "sample"
    evaluations: int = 5
    detail: float | None = None
    seed: int = 0
    device: torch.device = CPU
    reach: Reach = REACH

    @property
    def shape(self) -> Triple:
        """Length of the whole volume along Z, Y and X."""
        return (self.grid.depth, *self.lateral)

    def boxes(self, part: Box) -> list[Box]:
        """List what each pass over slices looks at to draw `part`."""
        steps = all_steps(self.config, self.mode, self.evaluations)
        means = sum(step.sigma == NO_SIGNAL for step in steps)
        planes = [step.plane for step in steps]
        stride = 2 ** len(self.config.network.widths)
        return pass_boxes(part, self.shape, planes, means, self.reach, stride)

    def drawn_for(self, part: Box) -> Box:
        """Return what has to be drawn for `part`: detail is smoothed along Z and softened in XY."""
        if self.mode == "mean":
            return part
        return widened(part, self.shape, (math.ceil(3 * self.config.sampler.detail_sigma), 1, 1))

    def boxes_for(self, part: Box) -> list[Box]:
        """List what each pass over slices looks at to restore `part`."""
        return self.boxes(self.drawn_for(part))


class Window(NamedTuple):
    """What was drawn for a part of a volume, and more around it."""

    base: Base
    drawn: Drawn
    #: Where in the volume it begins.
    origin: Triple


def draw_part(
    volume: Restoration, part: Box, report: Callable[[float], None] = lambda fraction: None
) -> Window:
    """Draw the residual in one part of a volume."""
    boxes = volume.boxes(part)
    window = span(boxes)
    first, last, grid = planes_around(volume.grid, window.start[0], window.stop[0])
    z0 = volume.grid.known[first]
    rows = slice(window.start[0] - z0, window.stop[0] - z0)
    _, y, x = window.slices()
    planes = volume.read((slice(first, last + 1), y, x))
    base = make_base(planes, grid, volume.config.softening, volume.device, rows)
    drawn = draw(
        volume.network,
        volume.config,
        base,
        mode=volume.mode,
        evaluations=volume.evaluations,
        seed=volume.seed,
        device=volume.device,
        report=report,
        boxes=boxes,
        origin=window.start,
    )
    return Window(base, drawn, window.start)


def planes_around(grid: PlaneGrid, start: int, stop: int) -> tuple[int, int, PlaneGrid]:
    """Return the first and last measured plane that rows from `start` to `stop` lie between.

    And the grid of these planes, which begins at the first of them.
    """
    known = np.asarray(grid.known)
    first = int(np.searchsorted(known, start, side="right")) - 1
    last = int(np.searchsorted(known, stop - 1, side="left"))
    first, last = (first, last) if first < last else _pair(first, len(known))
    return first, last, PlaneGrid(tuple((known[first : last + 1] - known[first]).tolist()))


def _pair(plane: int, count: int) -> tuple[int, int]:
    """Choose two planes, the fewest that a grid has."""
    return (plane, plane + 1) if plane + 1 < count else (plane - 1, plane)


@torch.inference_mode()
def find_gains(volume: Restoration) -> Gains | None:
    """Find how much the whole volume's detail is strengthened, from a few pieces drawn for that.

    None for a mean, which has no detail.
    """
    if volume.mode == "mean":
        return None
    found = []
    n = len(volume.grid.known)
    for piece in pieces((n, *volume.lateral), volume.read):
        own = piece_grid(piece, volume.grid)
        if own.mask.all():
            continue
        place = drawn_place(piece, volume.grid)
        part = box_of(place)
        base, drawn, origin = draw_part(volume, part)
        inside = part.slices(origin)
        mean, sample = drawn.part(inside)
        assert sample is not None  # there is one in every mode but the mean
        found.append(
            drawn_piece(volume.config, volume.read(piece), own, base.part(inside), mean, sample)
        )
    return detail_gains(volume.config, found, volume.config.network.channels)


@torch.inference_mode()
def restore_part(
    volume: Restoration,
    part: Box,
    gains: Gains | None,
    report: Callable[[float], None] = lambda fraction: None,
) -> NDArray[np.float32]:
    """Restore one part of a volume.

    Parameters
    ----------
    volume
        Which.
    part
        What is wanted of it.
    gains
        What `find_gains` found for the volume.
    report
        Called with the fraction done.

    Returns
    -------
    Shape (C, z, y, x); measured planes as `volume.read` gives them.
    """
    wider = volume.drawn_for(part)
    base, drawn, origin = draw_part(volume, wider, report)
    if gains is not None:
        z = slice(origin[0], origin[0] + base.shape[0])
        gains = gains.of_planes(plane_distances(volume.grid)[z])
    result = np.empty((len(base.planes), *part.shape), np.float32)
    inside = part.slices(origin)
    for rows, values in compose(volume.config, base, drawn, inside, volume.detail, gains):
        result[:, :, rows] = values.cpu().numpy()
    first, last, _ = planes_around(volume.grid, part.start[0], part.stop[0])
    _, y, x = part.slices()
    for index in range(first, last + 1):
        row = volume.grid.known[index] - part.start[0]
        if 0 <= row < result.shape[1]:
            result[:, row] = volume.read((slice(index, index + 1), y, x))[:, 0]
    return result
