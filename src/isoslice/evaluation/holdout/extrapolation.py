"""Extrapolate the error at hidden planes to that at the planes that were never measured.

Planes are hidden at twice the spacing, where restoring is harder than at the user's factor k. How
much harder is measured within the measured planes, where the truth is known at every distance, with
rows hidden in place of planes: the expected error at factor k is the error at hidden planes times
e(k) / m(2k), where e(g) is the mean squared error in gaps of g rows, and m(2k) that of the middle
row of gaps of 2k. Anisotropic specimens, noise and unsteady planes need no correction: they are in
the errors at hidden planes already.

For interpolation the ratio is exact, over all rows and columns. For a model it is that of linear
interpolation, times the model's ratio over linear interpolation's on the same crops of planes, so
that properties of the crops cancel.
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

#: Most planes to measure interpolation on; crops for a model, and their largest side in pixels.
MAX_PLANES, CROPS, MAX_CROP_SIDE = 48, 12, 256

#: From images (N, C, H, W) and known rows (N, H) to images of the same shape.
Fill = Callable[[Tensor, Tensor], Tensor]


class GapErrors(NamedTuple):
    """Mean squared errors of hidden rows, per channel, (C,)."""

    #: Of all hidden rows, every `factor`-th row being known.
    all_rows: NDArray[np.float64]
    #: Of the middle rows of gaps, every (2 `factor`)-th row being known.
    middle: NDArray[np.float64]

    @property
    def ratio(self) -> NDArray[np.float64]:
        """Expected error at half the spacing over the error at hidden planes, (C,)."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.asarray(self.all_rows / self.middle)


def rows_fit(height: int, width: int, factor: int, multiple: int = 1) -> bool:
    """Tell whether planes are large enough to hide rows at twice the factor."""
    return min(height, width) // multiple * multiple > 2 * factor


def _hidden(height: int, factor: int, *, middle: bool) -> tuple[Tensor, Tensor]:
    """Mask known rows, and hidden rows to score: none behind the last known row, (H,) each."""
    known = even_rows(height, factor)
    rows = torch.arange(height)
    scored = (rows % factor == factor // 2) if middle else ~known
    return known, scored & (rows < (height - 1) // factor * factor)


def interpolation_errors(
    planes: NDArray[np.float32], factor: int, method: Method = "linear"
) -> GapErrors:
    """Measure the errors of interpolation on rows and columns of planes (C, n, Y, X).

    At most `MAX_PLANES`, evenly spaced, are used.
    """
    count = planes.shape[1]
    chosen = evenly_spaced(count, MAX_PLANES)
    errors = []
    for gap, middle in ((factor, False), (2 * factor, True)):
        sums, sizes = np.zeros(len(planes)), 0
        for z in chosen:
            for plane in (planes[:, z], planes[:, z].swapaxes(1, 2)):
                height = plane.shape[1]
                known, scored = (mask.numpy() for mask in _hidden(height, gap, middle=middle))
                grid = even_grid(int(known.sum()), gap)
                weights = interpolation_matrix(grid, method)
                difference = weights[scored[: grid.depth]] @ plane[:, known] - plane[:, scored]
                sums += np.square(difference, dtype=np.float64).sum((1, 2))
                sizes += difference[0].size
        errors.append(sums / sizes)
    return GapErrors(*errors)


def pick_crops(planes: NDArray[np.float32], multiple: int = 8) -> Tensor:
    """Crop planes (C, n, Y, X) at varied depths and positions, (N, C, H, W).

    Sides are multiples of `multiple`, at most `MAX_CROP_SIDE`.
    """
    count, height, width = planes.shape[1:]
    high, wide = (min(MAX_CROP_SIDE, side // multiple * multiple) for side in (height, width))
    depths = evenly_spaced(count, CROPS)
    crops = []
    for i, z in enumerate(depths):
        # Fractional parts of multiples of the golden ratio are evenly spread for any count.
        y, x = round(0.618 * i % 1 * (height - high)), round(0.382 * i % 1 * (width - wide))
        crops.append(planes[:, z, y : y + high, x : x + wide])
    return torch.from_numpy(np.ascontiguousarray(np.stack(crops)))


def fill_errors(crops: Tensor, factor: int, fill: Fill) -> GapErrors:
    """Measure the errors of `fill` on rows and columns of crops (N, C, H, W)."""
    errors = []
    for gap, middle in ((factor, False), (2 * factor, True)):
        both = []
        for images in (crops, crops.transpose(2, 3).contiguous()):
            known, scored = _hidden(images.shape[2], gap, middle=middle)
            made = fill(images, known.expand(len(images), -1))
            both.append((made - images)[:, :, scored].double().square().mean((0, 2, 3)))
        errors.append(torch.stack(both).mean(0).numpy())
    return GapErrors(*errors)


def model_ratio(crops: Tensor, factor: int, fill: Fill, linear: GapErrors) -> NDArray[np.float64]:
    """Compute a model's ratio, (C,): linear interpolation's, corrected on the same crops."""
    ours, theirs = (fill_errors(crops, factor, method) for method in (fill, fill_rows))
    return np.asarray(linear.ratio * ours.ratio / theirs.ratio)
