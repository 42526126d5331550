"""Estimate the memory that a restoration takes, and refuse volumes that would exhaust it."""

from __future__ import annotations

import numpy as np
import torch

from isoslice.data.grid import PlaneGrid
from isoslice.data.measurement import Measurement
from isoslice.data.output_spacing import OutputSpacing
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.consistency import operator_bytes
from isoslice.inference.options import ResolvedOptions, outputs_of
from isoslice.inference.recipes.protocol import Recipe
from isoslice.inference.stages import peak_bytes
from isoslice.inference.stored_profile import ChosenProfile
from isoslice.io.limits import available_memory

#: What networks, blocks and the libraries take whatever the volume's size, on a CPU; bytes for each
#: voxel of a measured plane, normalised and stretched. benchmarks/inmemory.py measures the sum.
FIXED, MEASURED = 500_000_000, 8


def memory_needed(
    volume: Volume,
    depth: int,
    options: ResolvedOptions,
    recipe: Recipe,
    *,
    corrected: bool = False,
) -> int:
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
    corrected
        Whether planes are, or may be, no points, so that the volume is corrected to agree.
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
        + (_correction(volume, depth) if corrected else 0)
        + to_read
        + pixels * planes * MEASURED
        + voxels * (volume.size("T") * returned + fields)
    )


def may_be_corrected(
    options: ResolvedOptions, chosen: ChosenProfile, spacing: OutputSpacing
) -> bool:
    """Whether planes are, or may turn out to be, no points; see `memory_needed`."""
    return chosen.blurred or options.denoise or not PlaneGrid(spacing.positions).is_whole


def _correction(volume: Volume, depth: int) -> int:
    """Count what planes are corrected by: of all channels, and all time points, the same."""
    places = tuple(np.linspace(0, depth - 1, volume.size("Z")).tolist())
    channels = (1.0,) * volume.size("C")
    return operator_bytes([Measurement(places, depth, noise=channels, damping=channels)])


def fits(
    volume: Volume,
    depth: int,
    options: ResolvedOptions,
    recipe: Recipe,
    *,
    corrected: bool = False,
) -> bool:
    """Whether there is as much memory as `memory_needed`."""
    needed = memory_needed(volume, depth, options, recipe, corrected=corrected)
    return needed <= available_memory()


def check_fits(
    volume: Volume,
    depth: int,
    options: ResolvedOptions,
    recipe: Recipe,
    *,
    corrected: bool = False,
) -> None:
    """Raise `SettingsError` if there is less memory than `memory_needed`."""
    if fits(volume, depth, options, recipe, corrected=corrected):
        return
    needed = memory_needed(volume, depth, options, recipe, corrected=corrected)
    free = available_memory()
    raise SettingsError(
        f"{volume.source}: got a volume of {depth} x {volume.size('Y')} x {volume.size('X')} "
        f"voxels, which takes about {needed / 1e9:.3g} GB to restore in memory, expected at most "
        f"the {free / 1e9:.3g} GB that are free; save the stack as a file, and restore it with "
        "predict('STACK', output='OUTPUT'), which takes no more memory than there is"
    )
