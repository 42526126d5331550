"""Stimulated Raman histology (SRH): from the two measured channels to the three that MSDSR uses.

An SRH microscope measures lipids at 2845 cm⁻¹ (CH2) and proteins at 2930 cm⁻¹ (CH3). Their
difference, mostly nuclei, is the first of the three channels.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

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
        of the input.

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
    axis = volume.axes.index("C")
    lipid, protein = np.moveaxis(_scaled(volume.data), axis, 0)
    difference = protein - lipid + np.float32(DIFFERENCE_OFFSET / FULL_SCALE_COUNTS)
    data = np.stack([difference, lipid, protein], axis=axis)
    return replace(volume, data=np.clip(data, 0, 1, out=data), channel_names=SRH_CHANNELS)


def _check_range(volume: Volume) -> None:
    low, high = float(volume.data.min()), float(volume.data.max())
    if not (low >= 0 and high <= 1):
        raise DataError(
            f"{volume.source}: got SRH channels from {low:g} to {high:g} as floats, expected "
            f"numbers in [0, 1]; divide counts by {FULL_SCALE_COUNTS}, or give them as uint16"
        )


def _scaled(data: NDArray[np.generic]) -> NDArray[np.float32]:
    scaled = data.astype(np.float32)
    return scaled / np.float32(FULL_SCALE_COUNTS) if data.dtype == np.uint16 else scaled
