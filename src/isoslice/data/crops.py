"""Square crops of training planes: drawn at random, flipped and turned.

Where a crop lies is drawn on the CPU. What it shows is then read from the planes as they are (a
file's, perhaps), or gathered from a `PlanePool` on a GPU: the same either way.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.planes import PlaneStack
from isoslice.errors import DataError
from isoslice.runtime.device import device_memory

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class CropPlaces:
    """Where crops lie; arrays of shape (count,).

    Attributes
    ----------
    stack, plane
        Of which stack, and which of its planes.
    top, left
        First row and column; of a turned crop with rows apart, along and across its rows.
    turn
        0 to 7: turns by 90 degrees and flips.
    """

    stack: Indices
    plane: Indices
    top: Indices
    left: Indices
    turn: Indices


class StackTable(NamedTuple):
    """Sizes of stacks, and how often each is drawn; arrays of shape (stacks,).

    Attributes
    ----------
    planes, height, width
        Number and size of each stack's planes.
    weights
        Cumulated.
    """

    planes: Indices
    height: Indices
    width: Indices
    weights: NDArray[np.float64]

    @classmethod
    def of(cls, stacks: Sequence[PlaneStack]) -> StackTable:
        """Tabulate stacks."""
        planes, _, height, width = np.array([stack.data.shape for stack in stacks]).T
        return cls(planes, height, width, np.cumsum([stack.draw_weight for stack in stacks]))


def draw_crops(
    stacks: Sequence[PlaneStack],
    count: int,
    size: int,
    generator: torch.Generator,
    *,
    quarter_turns: bool = True,
    row_spacing: float = 1.0,
) -> Tensor:
    """Draw square crops, flipped and (with `quarter_turns`) rotated by 90 degrees at random.

    All pixels of the training data are about equally likely to be drawn, or stacks as their weights
    say. With `row_spacing` above 1, rows of a crop are so many pixels apart, along Y or X at
    random, by cubic splines.

    Returns
    -------
    Normalised crops, shape (count, C, size, size), float32. `size` must fit every plane.
    """
    table = StackTable.of(stacks)
    places = draw_places(table, count, size, generator, quarter_turns, row_spacing)
    return read_crops(stacks, places, size, row_spacing)


def read_crops(
    stacks: Sequence[PlaneStack], places: CropPlaces, size: int, row_spacing: float = 1.0
) -> Tensor:
    """Read and normalise crops (N, C, size, size)."""
    count = len(places.stack)
    crops = np.empty((count, stacks[0].data.shape[1], size, size), np.float32)
    for index in range(count):
        read = _spaced_crop if row_spacing > 1 else _crop
        crops[index] = read(stacks, places, index, size, row_spacing)
    return torch.from_numpy(crops)


def draw_places(
    table: StackTable,
    count: int,
    size: int,
    generator: torch.Generator,
    quarter_turns: bool = True,
    row_spacing: float = 1.0,
) -> CropPlaces:
    """Draw where crops lie; arguments as of `draw_crops`."""
    numbers = torch.rand(count, 5, generator=generator, dtype=torch.float64).numpy().T
    which = np.searchsorted(table.weights, numbers[0] * table.weights[-1], side="right")
    stack = np.minimum(which, len(table.weights) - 1)
    height, width = table.height[stack], table.width[stack]
    turn = _below(numbers[4], 8)
    tall = size
    if row_spacing > 1:
        tall = pixels_of_rows(size, row_spacing)
        turned = turn % 2 == 1
        height, width = np.where(turned, width, height), np.where(turned, height, width)
    elif not quarter_turns:
        turn = turn % 2 * 2 + turn // 4 * 4
    return CropPlaces(
        stack,
        _below(numbers[1], table.planes[stack]),
        _below(numbers[2], height - tall + 1),
        _below(numbers[3], width - size + 1),
        turn,
    )


def _below(numbers: NDArray[np.float64], high: Indices | int) -> Indices:
    """Turn numbers in [0, 1) into integers from 0 to below `high`."""
    below: Indices = np.minimum((numbers * high).astype(np.int64), np.asarray(high) - 1)
    return below


def _crop(
    stacks: Sequence[PlaneStack], places: CropPlaces, index: int, size: int, _: float
) -> NDArray[np.float32]:
    """Read a crop (C, size, size)."""
    stack, top, left = stacks[places.stack[index]], places.top[index], places.left[index]
    crop = stack.data[places.plane[index], :, top : top + size, left : left + size]
    turn = int(places.turn[index])
    crop = np.rot90(crop, turn % 4, axes=(1, 2))
    normalized: NDArray[np.float32] = stack.normalization.apply(
        crop[:, ::-1] if turn >= 4 else crop
    )
    return normalized


def _spaced_crop(
    stacks: Sequence[PlaneStack], places: CropPlaces, index: int, size: int, row_spacing: float
) -> NDArray[np.float32]:
    """Read a crop (C, size, size) whose rows are `row_spacing` pixels apart."""
    stack, top, left = stacks[places.stack[index]], places.top[index], places.left[index]
    turn, tall = int(places.turn[index]), pixels_of_rows(size, row_spacing)
    image = stack.data[places.plane[index]]
    image = image.swapaxes(1, 2) if turn & 1 else image
    crop = stack.normalization.apply(image[:, top : top + tall, left : left + size])
    crop = crop[:, :: -1 if turn & 2 else 1, :: -1 if turn & 4 else 1]
    return spaced_rows(crop, size, row_spacing)


@dataclass(frozen=True)
class PlanePool:
    """Normalised planes of all stacks, on a device.

    Attributes
    ----------
    table
        Sizes of the stacks that they are from.
    pixels
        All planes one after the other, (C, pixels).
    starts
        First pixel of each stack.
    """

    table: StackTable
    pixels: Tensor
    starts: Indices

    @classmethod
    def fitting(cls, stacks: Sequence[PlaneStack], device: torch.device) -> PlanePool | None:
        """Move stacks to a GPU if they fit into half of its memory; None where they stay."""
        memory = device_memory(device)
        size = sum(pixels_of(each) for each in stacks) * stacks[0].data.shape[1] * 4
        return cls.of(stacks, device) if memory is not None and 2 * size < memory else None

    @classmethod
    def of(cls, stacks: Sequence[PlaneStack], device: torch.device) -> PlanePool:
        """Normalise stacks, and move them to a device."""
        sizes = [pixels_of(stack) for stack in stacks]
        starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        pixels = torch.empty(stacks[0].data.shape[1], int(starts[-1]), device=device)
        for stack, start in zip(stacks, starts, strict=False):
            for number, plane in enumerate(stack.data):
                flat = torch.from_numpy(stack.normalization.apply(plane)).flatten(1)
                begin = int(start) + number * flat.shape[1]
                pixels[:, begin : begin + flat.shape[1]] = flat
        return cls(StackTable.of(stacks), pixels, starts[:-1])

    def read(self, places: CropPlaces, size: int, row_spacing: float = 1.0) -> Tensor:
        """Gather crops (N, C, size, size), as `read_crops` reads them."""
        rows = pixels_of_rows(size, row_spacing) if row_spacing > 1 else size
        # In each crop the place of pixel (i, j) is first + down i + right j.
        steps = torch.from_numpy(self._steps(places, size, row_spacing)).to(self.pixels.device)
        first, down, right = (each[:, None, None] for each in steps)
        ranges = (torch.arange(n, device=self.pixels.device) for n in (rows, size))
        i, j = (each.view(shape) for each, shape in zip(ranges, ((-1, 1), (1, -1)), strict=True))
        crops = self.pixels[:, first + down * i + right * j].transpose(0, 1)
        if row_spacing > 1:
            weights = torch.from_numpy(_row_weights(rows, size, row_spacing)).to(crops)
            crops = weights @ crops
        return crops

    def _steps(self, places: CropPlaces, size: int, row_spacing: float) -> Indices:
        """Return the first pixel of crops, and the steps to the next row and column, (3, N)."""
        height, width = self.table.height[places.stack], self.table.width[places.stack]
        one = np.ones_like(width)
        base = self.starts[places.stack] + places.plane * height * width
        turn = places.turn
        if row_spacing > 1:
            tall = pixels_of_rows(size, row_spacing)
            turned = turn & 1 == 1
            down, right = np.where(turned, one, width), np.where(turned, width, one)
            first = base + places.top * down + places.left * right
            first += np.where(turn & 2, (tall - 1) * down, 0)
            first += np.where(turn & 4, (size - 1) * right, 0)
            return np.stack(
                [first, np.where(turn & 2, -down, down), np.where(turn & 4, -right, right)]
            )
        first, last = base + places.top * width + places.left, size - 1
        quarter = turn % 4
        down = np.choose(quarter, [width, -one, -width, one])
        right = np.choose(quarter, [one, width, -one, -width])
        first = first + last * np.choose(quarter, [0 * one, one, width + one, width])
        flipped = turn >= 4
        return np.stack(
            [first + np.where(flipped, last * down, 0), np.where(flipped, -down, down), right]
        )


def pixels_of(stack: PlaneStack) -> int:
    """Return the number of pixels of a stack's channel."""
    planes, _, height, width = stack.data.shape
    return int(planes * height * width)


def spaced_rows(image: NDArray[np.float32], count: int, row_spacing: float) -> NDArray[np.float32]:
    """Interpolate `count` rows of an image (C, H, W), some pixels apart, by cubic splines."""
    weights = _row_weights(image.shape[1], count, row_spacing)
    rows = np.einsum("rz,czx->crx", weights, image.astype(np.float64))
    return np.asarray(rows, np.float32)


@lru_cache(maxsize=4)
def _row_weights(height: int, count: int, row_spacing: float) -> NDArray[np.float64]:
    from scipy.interpolate import CubicSpline

    spline = CubicSpline(np.arange(height), np.eye(height))
    return np.asarray(spline(np.arange(count) * row_spacing), np.float64)


def pixels_of_rows(size: int, row_spacing: float) -> int:
    """Return how many pixels `size` rows span that are `row_spacing` pixels apart."""
    return math.ceil((size - 1) * row_spacing - 1e-9) + 1


def crop_size(
    stacks: Sequence[PlaneStack], wanted: int, multiple: int, row_spacing: float = 1.0
) -> int:
    """Return the largest side up to `wanted` that fits all planes, a multiple of `multiple`.

    Rows of it are `row_spacing` pixels apart.

    Raises
    ------
    DataError
        If even the smallest is too large.
    """
    smallest: int = min(min(stack.data.shape[2:]) for stack in stacks)
    size = min(wanted, smallest // multiple * multiple)
    while size > multiple and pixels_of_rows(size, row_spacing) > smallest:
        size -= multiple
    if pixels_of_rows(size, row_spacing) > smallest:
        raise DataError(
            f"got planes of {smallest} pixels, of which {size} rows {row_spacing:.3g} pixels apart "
            f"do not fit, expected {pixels_of_rows(size, row_spacing)} pixels at least; use larger "
            "planes, or a finer output spacing"
        )
    return size
