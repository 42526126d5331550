"""Baselines: interpolation by name, between planes of stacks and rows of images.

Also two filters of the paper's evaluation: its misaligned trilinear interpolation, and its
Gaussian blur.
"""

from __future__ import annotations

from typing import cast, get_args

import numpy as np
from numpy.typing import NDArray

from isoslice.data.grid import PlaneGrid
from isoslice.data.interpolation import Method, interpolate
from isoslice.errors import DataError, SettingsError

#: Interpolations by name. All but the last are aligned and keep measured planes bit for bit.
BASELINES = (*get_args(Method), "trilinear-misaligned")


def misaligned_matrix(planes: int, factor: int, depth: int) -> NDArray[np.float32]:
    """Compute the weights, shape (depth, planes), of trilinear interpolation in MSDSR's evaluation.

    The code released with arXiv 2404.09425 compares with
    ``torch.nn.functional.interpolate(mode="trilinear", align_corners=False)``, which takes planes
    for slabs: output plane j reads coarse position (j + 0.5) / factor - 0.5, clipped to the first
    and the last plane. Where planes are point samples at multiples of `factor`, as here, its volume
    is shifted by (factor - 1) / 2 output planes, and does not contain the measured planes. For
    reproducing the paper's numbers only; ``linear`` is the fair baseline.

    Of its ``planes * factor`` output planes, the first `depth` are returned.
    """
    position = np.clip((np.arange(depth) + 0.5) / factor - 0.5, 0, planes - 1)
    lower = np.minimum(position.astype(int), planes - 2)
    weights = np.zeros((depth, planes))
    weights[np.arange(depth), lower] = 1 - (position - lower)
    weights[np.arange(depth), lower + 1] = position - lower
    return weights.astype(np.float32)


def interpolate_planes(
    planes: NDArray[np.floating], grid: PlaneGrid, method: str = "linear"
) -> NDArray[np.float32]:
    """Interpolate the planes between measured ones.

    Parameters
    ----------
    planes
        Measured planes, shape (C, n, Y, X).
    grid
        Their positions; for ``trilinear-misaligned`` they must be evenly spaced.
    method
        One of `BASELINES`; for the last see `misaligned_matrix`.

    Returns
    -------
    Shape (C, grid.depth, Y, X), float32. Output plane ``grid.known[i]`` equals measured plane i,
    except for ``trilinear-misaligned``.

    Raises
    ------
    DataError
        If `planes` and `grid` don't fit together.
    SettingsError
        If there is no such method, or it needs evenly spaced planes.
    """
    if np.ndim(planes) != 4:
        raise DataError(f"got planes of shape {np.shape(planes)}, expected (C, n, Y, X)")
    return _along(np.asarray(planes), 1, grid, method)


def interpolate_rows(
    rows: NDArray[np.floating], grid: PlaneGrid, method: str = "linear"
) -> NDArray[np.float32]:
    """Interpolate the rows between measured ones: `interpolate_planes` for 2D images, along H.

    Parameters
    ----------
    rows
        Measured rows only, shape (N, C, n, W); for full images ``images[:, :, grid.known]``.
    grid
        Their positions.
    method
        One of `BASELINES`.

    Returns
    -------
    Shape (N, C, grid.depth, W), float32.

    Raises
    ------
    DataError, SettingsError
        As `interpolate_planes`.
    """
    if np.ndim(rows) != 4:
        raise DataError(f"got rows of shape {np.shape(rows)}, expected (N, C, n, W)")
    return _along(np.asarray(rows), 2, grid, method)


def gaussian_blur3(volume: NDArray[np.floating], sigma: float = 0.5) -> NDArray[np.float32]:
    """Blur with a Gaussian truncated to 3 x 3 x 3 voxels, the last step of MSDSR's released code.

    The kernel is exp(-(z² + y² + x²) / 2 sigma²) at offsets of -1, 0 and 1, normalised to sum one;
    it factors into the same three taps along each axis. Edge voxels are repeated.

    Parameters
    ----------
    volume
        Shape (C, Z, Y, X), any real type.
    sigma
        In voxels, positive.

    Returns
    -------
    Shape (C, Z, Y, X), float32. Measured planes are blurred too.

    Raises
    ------
    DataError
        If `volume` isn't (C, Z, Y, X), or is empty.
    SettingsError
        If `sigma` isn't positive.
    """
    if np.ndim(volume) != 4 or np.size(volume) == 0:
        raise DataError(f"got a volume of shape {np.shape(volume)}, expected (C, Z, Y, X)")
    if not (np.isfinite(sigma) and sigma > 0):
        raise SettingsError(f"got sigma {sigma}, expected a positive number of voxels")
    side = np.exp(-0.5 / sigma**2)
    centre = 1 / (1 + 2 * side)
    blurred = np.array(volume, dtype=np.float32)
    for axis in (1, 2, 3):
        blurred = _three_taps(blurred, axis, float(side * centre), float(centre))
    return blurred


def _along(
    values: NDArray[np.floating], axis: int, grid: PlaneGrid, method: str
) -> NDArray[np.float32]:
    if values.shape[axis] != len(grid.known):
        raise DataError(
            f"got {values.shape[axis]} planes or rows, expected {len(grid.known)}, one for each "
            "measured position of the grid; pass the measured ones only"
        )
    first = np.moveaxis(values, axis, 0)
    if method in get_args(Method):
        filled = interpolate(first, grid, cast("Method", method))
    elif method == "trilinear-misaligned":
        weights = misaligned_matrix(len(first), _even_factor(grid), grid.depth)
        flat = first.astype(np.float32).reshape(len(first), -1)
        filled = (weights @ flat).reshape(grid.depth, *first.shape[1:])
    else:
        raise SettingsError(
            f"got interpolation {method!r}, expected one of {', '.join(BASELINES)}; choose one"
        )
    return np.ascontiguousarray(np.moveaxis(filled, 0, axis))


def _even_factor(grid: PlaneGrid) -> int:
    steps = set(np.diff(grid.known).tolist())
    if len(steps) != 1:
        raise SettingsError(
            "got unevenly spaced planes for trilinear-misaligned, expected every k-th; use linear"
        )
    return int(steps.pop())


def _three_taps(
    values: NDArray[np.float32], axis: int, side: float, centre: float
) -> NDArray[np.float32]:
    """Weigh each voxel and its two neighbours along `axis`, repeating the ends."""
    last = values.shape[axis] - 1
    index = np.arange(last + 1)
    neighbours: NDArray[np.float32] = values.take(np.maximum(index - 1, 0), axis)
    neighbours += values.take(np.minimum(index + 1, last), axis)
    neighbours *= np.float32(side)
    neighbours += np.float32(centre) * values
    return neighbours
