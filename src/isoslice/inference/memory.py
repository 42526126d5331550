"""Whether a volume can be restored in memory: said before minutes of work, not by the system."""

from __future__ import annotations

import math
from typing import NamedTuple

from isoslice.data.grid import even_grid
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.io.limits import available_memory

#: Bytes for each voxel of a time point while it is restored, beside what is returned: a mean, a
#: sample, either with a standard deviation, a standard deviation from samples. Measured on a CPU
#: and rounded up: benchmarks/inmemory.py.
MEAN, SAMPLE, MEAN_STD, SAMPLE_STD, SAMPLES_STD = 8, 10, 14, 20, 40
#: More for each sample that is kept: its normalised intensities.
KEPT = 4
#: What the network takes whatever the volume's size.
NETWORK = 400_000_000


class Wanted(NamedTuple):
    """What is asked for; see `Model.predict`."""

    mean: bool = False
    uncertainty: bool = False
    samples: int = 0
    keep: bool = False

    @property
    def working(self) -> int:
        """Bytes a voxel of one time point while it is restored."""
        if self.samples:
            return SAMPLES_STD + KEPT * self.samples * self.keep
        if self.uncertainty:
            return MEAN_STD if self.mean else SAMPLE_STD
        return MEAN if self.mean else SAMPLE

    def returned(self, itemsize: int) -> int:
        """Bytes a voxel of what is returned, intensities having `itemsize`."""
        std = 4 if self.uncertainty or self.samples else 0
        return itemsize * (1 + self.samples * self.keep) + std


def memory_needed(volume: Volume, factor: int, wanted: Wanted) -> int:
    """Estimate the bytes that restoring a stack in memory takes, results included.

    Parameters
    ----------
    volume
        The stack.
    factor
        Output planes per measured plane.
    wanted
        What is asked for.
    """
    depth = even_grid(volume.size("Z"), factor).depth
    voxels = depth * math.prod(volume.size(axis) for axis in "CYX")
    returned = wanted.returned(volume.data.dtype.itemsize)
    return NETWORK + voxels * (volume.size("T") * returned + wanted.working)


def check_fits(volume: Volume, factor: int, wanted: Wanted) -> None:
    """Raise `SettingsError` if that is more than there is."""
    needed, free = memory_needed(volume, factor, wanted), available_memory()
    if needed > free:
        planes = even_grid(volume.size("Z"), factor).depth
        raise SettingsError(
            f"{volume.source}: got a volume of {planes} x {volume.size('Y')} x {volume.size('X')} "
            f"voxels, which takes about {needed / 1e9:.3g} GB to restore in memory, expected at "
            f"most the {free / 1e9:.3g} GB that are free; cut the stack into smaller pieces in Y "
            "and X, or write an .ome.zarr without --uncertainty, --samples and --blur, which is "
            "restored in blocks"
        )
