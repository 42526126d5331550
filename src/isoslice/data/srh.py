"""Stimulated Raman histology (SRH): from the two measured channels to the three that MSDSR uses.

An SRH microscope measures lipids at 2845 cm⁻¹ (CH2) and proteins at 2930 cm⁻¹ (CH3). Their
difference, mostly nuclei, is the first of the three channels.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from isoslice.data.blocks import blocks, chunks_of
from isoslice.data.volume import Volume
from isoslice.errors import DataError

#: Names of the three channels, in the order of MSDSR's released code.
SRH_CHANNELS = ("CH3-CH2", "CH2", "CH3")
#: Counts that become 1, and counts added to the difference so that few values fall below 0.
FULL_SCALE_COUNTS, DIFFERENCE_OFFSET = 65536, 5000


def srh_channels(volume: Volume) -> Volume:
    """Derive the three channels of SRH from the two measured ones.

    As in the code released with MSDSR (arXiv 2404.09425): counts / 65536, and their difference
    CH3 - CH2 + 5000 / 65536, all clipped to [0, 1].

    Parameters
    ----------
    volume
        Image or stack of any axes with C: CH2 and CH3 as uint16 counts, or as floats in [0, 1]
        (counts / 65536). One that has the three channels already, floats in [0, 1], is returned
        as it is.

    Returns
    -------
    Volume
        Channels CH3 - CH2, CH2 and CH3, float32 in [0, 1]; axes, spacing, provenance and source
        of the input. Those of an image on disk are computed where they are indexed.

    Raises
    ------
    DataError
        If there are other channels, or voxels of another type or range.
    """
    channels, kind = volume.size("C"), volume.data.dtype
    if channels not in (2, 3):
        raise DataError(
            f"{volume.source}: got {channels} channel(s) (axes {volume.axes}), expected the two of "
            "SRH, CH2 and CH3; if the axes are wrong, give them with --axes, for example --axes CYX"
        )
    if channels == 3 and kind.kind != "f":
        raise DataError(
            f"{volume.source}: got three channels of type {kind}, expected floats in [0, 1] "
            "(CH3-CH2, CH2, CH3), or the two measured channels as uint16; give those"
        )
    if kind.kind == "f":
        _check_range(volume)
    elif kind != np.uint16:
        raise DataError(
            f"{volume.source}: got SRH channels of type {kind}, expected uint16 counts, or floats "
            "in [0, 1]; give the microscope's own 16-bit images"
        )
    if channels == 3:
        return volume
    if volume.channel_names == ("CH3", "CH2"):
        raise DataError(
            f"{volume.source}: got the channels CH3 and CH2, expected CH2 before CH3; swap them"
        )
    stored: Any = volume.data
    channels_of = _ThreeChannels(stored, volume.axes.index("C"))
    if isinstance(stored, np.ndarray):
        data = channels_of[(slice(None),) * stored.ndim]
    else:  # an array on disk, whose class lies in a layer above
        data = type(stored)(channels_of)
    return replace(volume, data=data, channel_names=SRH_CHANNELS)


class _ThreeChannels:
    """The three channels of two measured ones, computed of what is indexed.

    Parameters
    ----------
    stored
        CH2 and CH3: an array, or one on disk.
    axis
        Their dimension.
    """

    def __init__(self, stored: Any, axis: int) -> None:
        self._stored, self._axis = stored, axis
        self.shape: tuple[int, ...] = (*stored.shape[:axis], 3, *stored.shape[axis + 1 :])
        self.dtype = np.dtype(np.float32)
        chunks = chunks_of(stored)
        self.chunks = (*chunks[:axis], 1 if chunks[axis] == 1 else 3, *chunks[axis + 1 :])

    def __getitem__(self, index: tuple[int | slice, ...]) -> NDArray[np.float32]:
        """Read a part, given by an integer or a slice of step 1 for each dimension."""
        before, part, after = index[: self._axis], index[self._axis], index[self._axis + 1 :]
        numbers = range(3)[part] if isinstance(part, slice) else range(part, part + 1)
        # The difference takes both, CH2 the first and CH3 the second one.
        needed = slice(1 if set(numbers) == {2} else 0, 1 if set(numbers) == {1} else 2)
        measured = _scaled(np.asarray(self._stored[(*before, needed, *after)]))
        at = sum(isinstance(each, slice) for each in before)
        measured = np.moveaxis(measured, at, 0)
        lipid, protein = measured[0], measured[-1]
        found = np.empty((*lipid.shape[:at], len(numbers), *lipid.shape[at:]), np.float32)
        channels = np.moveaxis(found, at, 0)
        for channel, number in enumerate(numbers):
            if number == 0:
                offset = np.float32(DIFFERENCE_OFFSET / FULL_SCALE_COUNTS)
                channels[channel] = protein - lipid + offset
            else:
                channels[channel] = lipid if number == 1 else protein
        np.clip(found, 0, 1, out=found)
        return found if isinstance(part, slice) else channels[0]


def _check_range(volume: Volume) -> None:
    low, high = np.inf, -np.inf
    data = volume.data
    for block in blocks(data.shape, chunks_of(data), data.dtype.itemsize):
        part = np.asarray(data[block])
        # NaN stays NaN, other than with min and max.
        low, high = float(np.minimum(low, part.min())), float(np.maximum(high, part.max()))
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{volume.source}: got SRH channels from {low:g} to {high:g} as floats, expected "
            f"numbers in [0, 1]; divide counts by {FULL_SCALE_COUNTS}, or give them as uint16"
        )


def _scaled(data: NDArray[np.generic]) -> NDArray[np.float32]:
    scaled = data.astype(np.float32)
    return scaled / np.float32(FULL_SCALE_COUNTS) if data.dtype == np.uint16 else scaled
