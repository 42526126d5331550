"""Estimate the memory that a restoration takes, and refuse volumes that would exhaust it."""

from __future__ import annotations

import numpy as np
import torch

from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.options import ResolvedOptions, outputs_of
from isoslice.inference.recipes.protocol import Recipe
from isoslice.inference.stages import peak_bytes
from isoslice.io.limits import available_memory

#: What networks, blocks and the libraries take whatever the volume's size, on a CPU; bytes for each
#: voxel of a measured plane, normalised and stretched. benchmarks/inmemory.py measures the sum.
FIXED, MEASURED = 500_000_000, 8


def memory_needed(volume: Volume, depth: int, options: ResolvedOptions, recipe: Recipe) -> int:
    """Estimate the bytes that restoring a stack in memory takes, results included.

    Parameters
    ----------
    volume
        The stack.
    depth
        Number of output planes.
    options
        Resolved.
    recipe
        Of the model.
    """
    planes, lateral = volume.size("Z"), volume.size("Y") * volume.size("X")
    pixels = volume.size("C") * lateral
    returned = sum(kind.itemsize for kind in outputs_of(options, volume.data.dtype).values())
    of_pass = recipe.field_dtype(1.0).itemsize
    fields = peak_bytes(recipe.stages(options), of_pass, in_place=True)
    pixels_of_slice = depth * max(volume.size("Y"), volume.size("X"))
    network = recipe.network_bytes(pixels_of_slice, torch.get_num_threads())
    voxels = depth * pixels
    to_read = 0 if isinstance(volume.data, np.ndarray) else volume.data.nbytes
    return (
        FIXED
        + network
        + to_read
        + pixels * planes * MEASURED
        + voxels * (volume.size("T") * returned + fields)
    )


def fits(volume: Volume, depth: int, options: ResolvedOptions, recipe: Recipe) -> bool:
    """Whether there is as much memory as restoring a stack takes."""
    return memory_needed(volume, depth, options, recipe) <= available_memory()


def check_fits(volume: Volume, depth: int, options: ResolvedOptions, recipe: Recipe) -> None:
    """Raise `SettingsError` if there is less memory than restoring a stack takes."""
    if fits(volume, depth, options, recipe):
        return
    needed, free = memory_needed(volume, depth, options, recipe), available_memory()
    raise SettingsError(
        f"{volume.source}: got a volume of {depth} x {volume.size('Y')} x {volume.size('X')} "
        f"voxels, which takes about {needed / 1e9:.3g} GB to restore in memory, expected at most "
        f"the {free / 1e9:.3g} GB that are free; save the stack as a file, and restore it with "
        "predict('STACK', output='OUTPUT'), which takes no more memory than there is"
    )
