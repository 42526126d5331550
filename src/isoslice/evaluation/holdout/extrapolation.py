"""From errors at hidden planes to the error that is to be expected of the user's own volume.

Planes are hidden at twice the spacing, so restoring them is harder than what is asked for. How much
harder is measured where the truth is known at every distance: within the measured planes, with rows
hidden in place of planes. With e(g) the mean squared error in gaps of g rows, and m(2k) that of the
row in the middle of gaps of 2k, the error at hidden planes times e(k) / m(2k) is the error to be
expected at the planes that were never measured, at factor k. Specimens that are not quite alike in
all directions, noise and unsteady planes are in the errors at hidden planes already.

For interpolation the ratio is exact on all rows and columns. For a model it is that of linear
interpolation, corrected by how the model does against it on the same crops of planes: what is
peculiar to the crops cancels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from isoslice.data.grid import even_grid
from isoslice.data.interpolation import Method, interpolation_matrix
from isoslice.data.masking import even_rows, fill_rows
from isoslice.data.subsampling import evenly_spaced

#: Planes looked at by interpolation; crops looked at by a model, and their largest side.
PLANES, CROPS, SIDE = 48, 12, 256

#: From images (N, C, H, W) and known rows (N, H) to images of the same shape.
Fill = Callable[[Tensor, Tensor], Tensor]


class GapErrors(NamedTuple):
    """Mean squared errors of hidden rows, per channel, (C,)."""

    #: Of all hidden rows, where one of `factor` is known.
    all_rows: NDArray[np.float64]
    #: Of those in the middle, where one of twice as many is known.
    middle: NDArray[np.float64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """What carries an error at hidden planes to all planes at half the spacing, (C,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.all_rows / self.middle)


def rows_fit(height: int, width: int, factor: int, multiple: int = 1) -> bool:
    """Tell whether planes are large enough to hide rows in at twice the factor."""
    return min(height, width) // multiple * multiple > 2 * factor


def _hidden(height: int, factor: int, *, middle: bool) -> tuple[Tensor, Tensor]:
    """Known rows, and hidden ones to score: none behind the last known row, (H,) each."""
    known = even_rows(height, factor)
    rows = torch.arange(height)
    scored = (rows % factor == factor // 2) if middle else ~known
    return known, scored & (rows < (height - 1) // factor * factor)


def interpolation_errors(
    planes: NDArray[np.float32], factor: int, method: Method = "linear"
) -> GapErrors:
    """Measure how interpolation does on rows and columns of planes (C, n, Y, X).

    Of many planes, `PLANES` are looked at, evenly spaced.
    """
    count = planes.shape[1]
    chosen = evenly_spaced(count, PLANES)
    found = []
    for gap, middle in ((factor, False), (2 * factor, True)):
        sums, sizes = np.zeros(len(planes)), 0
        for z in chosen:
            for plane in (planes[:, z], planes[:, z].swapaxes(1, 2)):
                height = plane.shape[1]
                known, scored = (mask.numpy() for mask in _hidden(height, gap, middle=middle))
                grid = even_grid(int(known.sum()), gap)
                weights = interpolation_matrix(grid, method)
                error = weights[scored[: grid.depth]] @ plane[:, known] - plane[:, scored]
                sums += np.square(error, dtype=np.float64).sum((1, 2))
                sizes += error[0].size
        found.append(sums / sizes)
    return GapErrors(*found)


def pick_crops(planes: NDArray[np.float32], multiple: int = 8) -> Tensor:
    """Cut crops out of planes (C, n, Y, X), spread over depth and place, (N, C, H, W).

    Sides are multiples of `multiple`, at most `SIDE`.
    """
    count, height, width = planes.shape[1:]
    high, wide = (min(SIDE, side // multiple * multiple) for side in (height, width))
    depths = evenly_spaced(count, CROPS)
    crops = []
    for i, z in enumerate(depths):
        # Multiples of the golden ratio's fractions spread evenly, whatever their number.
        y, x = round(0.618 * i % 1 * (height - high)), round(0.382 * i % 1 * (width - wide))
        crops.append(planes[:, z, y : y + high, x : x + wide])
    return torch.from_numpy(np.ascontiguousarray(np.stack(crops)))


def fill_errors(crops: Tensor, factor: int, fill: Fill) -> GapErrors:
    """Measure how `fill` does on rows and columns of crops (N, C, H, W)."""
    found = []
    for gap, middle in ((factor, False), (2 * factor, True)):
        errors = []
        for images in (crops, crops.transpose(2, 3).contiguous()):
            known, scored = _hidden(images.shape[2], gap, middle=middle)
            made = fill(images, known.expand(len(images), -1))
            errors.append((made - images)[:, :, scored].double().square().mean((0, 2, 3)))
        found.append(torch.stack(errors).mean(0).numpy())
    return GapErrors(*found)


def model_ratio(crops: Tensor, factor: int, fill: Fill, linear: GapErrors) -> NDArray[np.float64]:
    """Ratio of a model, (C,): linear interpolation's, times what differs on the same crops."""
    ours, theirs = (fill_errors(crops, factor, way) for way in (fill, fill_rows))
    return np.asarray(linear.ratio * ours.ratio / theirs.ratio)
