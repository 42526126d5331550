"""Slices of volumes and planes of images as sets of small 8-bit images, for SliceFID.

Two protocols. ``default`` maps all intensities alike and cuts slices into square tiles. ``msdsr``
follows the code released with MSDSR (arXiv 2404.09425): blocks of 48 voxels, every slice equalised
by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from isoslice.data.display import histogram_equalize
from isoslice.data.normalization import Normalization, check_finite, percentile_normalization
from isoslice.errors import DataError, SettingsError
from isoslice.evaluation.evaluate import SLICES
from isoslice.evaluation.slicefid.features import MIN_SIDE

SliceProtocol = Literal["default", "msdsr"]
PROTOCOLS: tuple[SliceProtocol, ...] = ("default", "msdsr")
#: Side of the released code's blocks and images, and its crop of each end of a block, in voxels.
BLOCK_SIDE, BLOCK_MARGIN = 48, 4


@dataclass(frozen=True)
class SliceSet:
    """Images of one direction.

    Attributes
    ----------
    images
        Shape (N, 3, H, W), uint8; the three are alike where there is one channel.
    groups
        Shape (N,): number of the slice that an image was cut from. Tiles of one slice are not
        independent.
    """

    images: NDArray[np.uint8]
    groups: NDArray[np.int64]


def views(channels: int) -> list[tuple[int, ...]]:
    """Group channels into images: three are one RGB image, any other number one grey image each."""
    return [(0, 1, 2)] if channels == 3 else [(channel,) for channel in range(channels)]


def auto_tile(lengths: Sequence[int]) -> int:
    """Choose one side of square tiles for all `lengths`: of volumes along Z, Y, X, and of planes.

    Each length is divided into the number of pieces that brings them closest to 48; the side is
    that of the smallest piece.
    """
    return min(length // max(1, round(length / BLOCK_SIDE)) for length in lengths)


def intensity_mapping(planes: Sequence[NDArray[Any]]) -> Normalization:
    """Compute the intensities that become black and white: percentiles 0.1 and 99.9 per channel.

    Parameters
    ----------
    planes
        Real images, each of shape (N, C, H, W); all are pooled.

    Raises
    ------
    DataError
        If they are constant, or a pixel is NaN or infinite.
    """
    pooled = [stack.swapaxes(0, 1).reshape(stack.shape[1], -1) for stack in planes]
    return percentile_normalization(np.concatenate(pooled, axis=1), "real images")


def clipped_share(volume: NDArray[Any], mapping: Normalization) -> float:
    """Compute the share of the voxels of a (C, Z, Y, X) volume that `mapping` clips."""
    low, high = (np.reshape(values, (-1, 1, 1)) for values in (mapping.low, mapping.high))
    planes = volume.swapaxes(0, 1)
    return float(np.mean([((plane < low) | (plane > high)).mean() for plane in planes]))


def slice_images(
    volume: NDArray[Any],
    protocol: SliceProtocol,
    mapping: Normalization | None = None,
    known: Sequence[int] = (),
    tile: int | None = None,
    stride: int = 1,
    source: str = "volume",
) -> dict[str, SliceSet]:
    """Cut a volume into images of its XY, XZ and YZ slices.

    Parameters
    ----------
    volume
        Shape (C, Z, Y, X) with one channel or three (RGB), of any real type.
    protocol
        ``default``: intensities mapped by `mapping`; each slice cut into square tiles of side
        `tile` that are spread evenly over it; measured planes left out of XY.
        ``msdsr``: as many blocks of 48 voxels as fit along each axis, centred (an axis shorter
        than 48 is taken whole), 4 voxels cropped from each of their ends, each slice equalised by
        `isoslice.data.display.histogram_equalize`. Other arguments than `stride` are ignored.
    mapping
        Intensities that become 0 and 255; clipped beyond. By default the volume's own percentiles.
    known
        Indices of measured planes.
    tile
        In pixels; by default `auto_tile` of the volume's Z, Y and X.
    stride
        Step between slices.
    source
        Name for messages.

    Returns
    -------
    dict
        ``XY``, ``XZ`` and ``YZ``; groups are indices of slices in the volume.

    Raises
    ------
    DataError
        If the volume hasn't one or three channels, is not finite, too small, or has fewer than two
        slices left in some direction.
    SettingsError
        If `protocol` is unknown, or `tile` or `stride` out of range.
    """
    check_settings(protocol, stride, tile)
    _check_channels(volume, "(C, Z, Y, X)", 0, source)
    check_finite(volume, source)
    if protocol == "msdsr":
        cut = _equalised_blocks(volume, stride, source)
    else:
        mapping = mapping or percentile_normalization(volume, source)
        side = tile or auto_tile(volume.shape[1:])
        cut = _mapped_tiles(_to_bytes(volume, mapping), set(known), side, stride, source)
    for name, images in cut.items():
        if len(np.unique(images.groups)) < 2:
            raise DataError(
                f"{source}: got {len(np.unique(images.groups))} {name} slice(s) to score, expected "
                "at least 2; use a larger volume or a smaller stride, for example "
                "--stride 1"
            )
    return cut


def plane_images(
    planes: NDArray[Any],
    protocol: SliceProtocol,
    mapping: Normalization | None = None,
    tile: int | None = None,
    source: str = "real images",
) -> SliceSet:
    """Cut real 2D images as `slice_images` cuts slices.

    Parameters
    ----------
    planes
        Shape (N, C, H, W) with one channel or three (RGB).
    protocol
        ``default`` as for volumes. ``msdsr``: as many 48 x 48 images as fit, centred, each
        equalised by itself; compared with slices of 40 x 40, as in the released code.
    mapping, tile, source
        As in `slice_images`.

    Returns
    -------
    SliceSet
        Groups are indices of planes.

    Raises
    ------
    DataError, SettingsError
        As `slice_images`.
    """
    check_settings(protocol, 1, tile)
    _check_channels(planes, "(N, C, H, W)", 1, source)
    check_finite(planes, source)
    if protocol == "default":
        mapping = mapping or intensity_mapping([planes])
        side = tile or auto_tile(planes.shape[2:])
        return _tiles(_to_bytes(planes.swapaxes(0, 1), mapping).swapaxes(0, 1), side, source)
    images, groups = [], []
    rows, columns = (_blocks(length, 0, source) for length in planes.shape[2:])
    for (index, plane), row, column in product(enumerate(planes), rows, columns):
        images.append(_equalised(plane[:, row, column]))
        groups.append(index)
    return SliceSet(np.stack(images), np.array(groups, np.int64))


def joined(sets: Sequence[SliceSet]) -> SliceSet:
    """Concatenate sets of images; groups of different sets stay distinct.

    Raises
    ------
    DataError
        If there are none, or their images differ in size.
    """
    sizes = {one.images.shape[2:] for one in sets}
    if len(sizes) != 1:
        raise DataError(
            f"got images of sizes {sorted(sizes)}, expected one size; give images of at least "
            f"{BLOCK_SIDE} x {BLOCK_SIDE}, or use the default protocol"
        )
    groups, first = [], 0
    for one in sets:
        groups.append(one.groups + first)
        first = int(groups[-1].max()) + 1
    return SliceSet(np.concatenate([one.images for one in sets]), np.concatenate(groups))


def _mapped_tiles(
    volume: NDArray[np.uint8], known: set[int], side: int, stride: int, source: str
) -> dict[str, SliceSet]:
    cut = {}
    for name, axis in SLICES.items():
        slices = np.moveaxis(volume, axis + 1, 0)
        left = [i for i in range(len(slices)) if name != "XY" or i not in known]
        indices = np.array(left[::stride], np.int64)
        tiles = _tiles(slices[indices], side, source)
        cut[name] = SliceSet(tiles.images, indices[tiles.groups])
    return cut


def _tiles(slices: NDArray[np.uint8], side: int, source: str) -> SliceSet:
    """Cut slices (N, C, H, W) into square tiles; groups are indices of slices."""
    height, width = slices.shape[2:]
    if min(height, width) < side or side < MIN_SIDE:
        raise DataError(
            f"{source}: got slices of {height} x {width} pixels and tiles of {side}, expected "
            f"slices no smaller than tiles, and tiles of at least {MIN_SIDE}; use larger volumes "
            f"and images, or other tiles, for example --tile {max(MIN_SIDE, min(height, width))}"
        )
    corners = list(product(_tile_starts(height, side), _tile_starts(width, side)))
    tiles = np.stack([slices[:, :, y : y + side, x : x + side] for y, x in corners], axis=1)
    groups = np.repeat(np.arange(len(slices)), len(corners))
    return SliceSet(_as_rgb(tiles.reshape(-1, *tiles.shape[2:])), groups)


def _tile_starts(length: int, side: int) -> list[int]:
    """Return start offsets of evenly spaced tiles, `length / side` of them, rounded."""
    count = max(1, int(length / side + 0.5))
    if count == 1:
        return [(length - side) // 2]
    return [round(i * (length - side) / (count - 1)) for i in range(count)]


def _equalised_blocks(volume: NDArray[Any], stride: int, source: str) -> dict[str, SliceSet]:
    blocks = [_blocks(length, BLOCK_MARGIN, source) for length in volume.shape[1:]]
    cut = {}
    for name, axis in SLICES.items():
        images, groups = [], []
        for where in product(*blocks):
            slices = np.moveaxis(volume[(slice(None), *where)], axis + 1, 0)
            for index in range(0, len(slices), stride):
                images.append(_equalised(slices[index]))
                groups.append(where[axis].start + index)
        cut[name] = SliceSet(np.stack(images), np.array(groups, np.int64))
    return cut


def _blocks(length: int, margin: int, source: str) -> list[slice]:
    """Divide a length into centred blocks of 48, each without `margin` at both ends."""
    side = min(length, BLOCK_SIDE)
    if side - 2 * margin < MIN_SIDE:
        raise DataError(
            f"{source}: got {length} voxels along an axis, expected at least "
            f"{MIN_SIDE + 2 * margin} for the msdsr protocol; use the default one"
        )
    count = length // side
    first = (length - count * side) // 2
    starts = [first + side * i for i in range(count)]
    return [slice(start + margin, start + side - margin) for start in starts]


def _equalised(image: NDArray[Any]) -> NDArray[np.uint8]:
    """Equalise one (C, H, W) image as the released code does, (3, H, W)."""
    equalised = np.moveaxis(histogram_equalize(image), -1, 0)
    rgb: NDArray[np.uint8] = _as_rgb(equalised[None])[0]
    return rgb


def _to_bytes(volume: NDArray[Any], mapping: Normalization) -> NDArray[np.uint8]:
    """Map (C, N, H, W) to 8 bits, plane by plane to save memory."""
    levels = np.empty(volume.shape, np.uint8)
    for index in range(volume.shape[1]):
        scaled = np.clip(mapping.apply(volume[:, index]), 0, 1)
        levels[:, index] = np.rint(scaled * 255)
    return levels


def _as_rgb(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Broadcast one channel or three (N, C, H, W) to (N, 3, H, W), without a copy."""
    shape = (len(images), 3, *images.shape[2:])
    return np.broadcast_to(images, shape)


def check_settings(protocol: str, stride: int, tile: int | None) -> None:
    """Raise `SettingsError` if one of these settings is out of its range."""
    if protocol not in PROTOCOLS:
        raise SettingsError(f"got protocol {protocol!r}, expected {' or '.join(PROTOCOLS)}")
    if stride < 1:
        raise SettingsError(f"got a stride of {stride}, expected at least 1, which takes all")
    if tile is not None and tile < MIN_SIDE:
        raise SettingsError(f"got tiles of {tile} pixels, expected at least {MIN_SIDE}")


def _check_channels(data: NDArray[Any], layout: str, axis: int, source: str) -> None:
    if data.ndim != 4 or data.shape[axis] not in (1, 3):
        raise DataError(
            f"{source}: got an array of shape {data.shape}, expected {layout} with one channel or "
            "three; pass other channels one by one"
        )
