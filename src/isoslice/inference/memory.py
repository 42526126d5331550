"""Estimate the memory that a restoration takes, and refuse volumes that would exhaust it."""

from __future__ import annotations

import math

from isoslice.data.grid import even_grid
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.options import ResolvedOptions
from isoslice.io.limits import available_memory

#: Bytes for each voxel of a time point while it is restored, beside what is returned: a mean, a
#: sample, either with a standard deviation, a standard deviation from samples. Measured on a CPU
#: and rounded up: benchmarks/inmemory.py.
MEAN, SAMPLE, MEAN_STD, SAMPLE_STD, SAMPLES_STD = 8, 10, 14, 20, 40
#: More for each sample that is kept: its normalised intensities.
KEPT = 4
#: What the network takes whatever the volume's size.
NETWORK = 400_000_000


def working_bytes(options: ResolvedOptions) -> int:
    """Bytes a voxel of one time point while it is restored."""
    if options.samples:
        return SAMPLES_STD + KEPT * options.samples * options.keep_samples
    mean = options.mode == "mean"
    if options.uncertainty:
        return MEAN_STD if mean else SAMPLE_STD
    return MEAN if mean else SAMPLE


def returned_bytes(options: ResolvedOptions, itemsize: int) -> int:
    """Bytes a voxel of what is returned, of intensities that take `itemsize`."""
    std = 4 if options.estimates_errors else 0
    return itemsize * (1 + options.samples * options.keep_samples) + std


def memory_needed(volume: Volume, factor: int, options: ResolvedOptions) -> int:
    """Estimate the bytes that restoring a stack in memory takes, results included.

    Parameters
    ----------
    volume
        The stack.
    factor
        Output planes per measured plane.
    options
        Resolved.
    """
    depth = even_grid(volume.size("Z"), factor).depth
    voxels = depth * math.prod(volume.size(axis) for axis in "CYX")
    returned = returned_bytes(options, volume.data.dtype.itemsize)
    return NETWORK + voxels * (volume.size("T") * returned + working_bytes(options))


def check_fits(volume: Volume, factor: int, options: ResolvedOptions) -> None:
    """Raise `SettingsError` if that is more than there is."""
    needed, free = memory_needed(volume, factor, options), available_memory()
    if needed > free:
        planes = even_grid(volume.size("Z"), factor).depth
        raise SettingsError(
            f"{volume.source}: got a volume of {planes} x {volume.size('Y')} x {volume.size('X')} "
            f"voxels, which takes about {needed / 1e9:.3g} GB to restore in memory, expected at "
            f"most the {free / 1e9:.3g} GB that are free; cut the stack into smaller pieces in Y "
            "and X, or write an .ome.zarr without --uncertainty, --samples and --blur, which is "
            "restored in blocks"
        )
