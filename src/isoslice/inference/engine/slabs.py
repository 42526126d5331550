"""How thick a slab may be: from a budget of memory to slices."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from isoslice.data.box import Triple
from isoslice.data.frames import Frame
from isoslice.data.volume import Volume
from isoslice.errors import SettingsError
from isoslice.inference.consistency import operator_bytes
from isoslice.inference.engine.worker import Worker
from isoslice.inference.plan import Plan
from isoslice.inference.recipes.protocol import Recipe
from isoslice.inference.tiling import WHOLE

#: Bytes of Python, PyTorch, Zarr and a model; of the network's input, for each pixel that it is
#: given at once; of the estimate, for each pixel of a slice; of a measured plane, for each pixel
#: while it is read, normalised and stretched. Measured: docs/explanation/scaling.md.
FIXED, INPUT, SLICE, MEASURED = 500 * 2**20, 40, 4, 16
#: Slabs no thicker than this, and no fewer of them than that: what is lost when a run is killed,
#: and what workers share.
THICKEST, FEWEST = 128, 16
#: Bytes that any budget stands for at least: Python, PyTorch and one batch take most of them.
LEAST_BUDGET = 10**9
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}


class Sizes(NamedTuple):
    """What a slab's memory depends on."""

    #: Of the volume, (Z, Y, X), and its channels and measured planes.
    shape: Triple
    channels: int
    planes: int
    #: Bytes of one voxel of a field between passes.
    field: int
    #: Bytes of what planes that are no points are corrected by; see `consistency.operator_bytes`.
    correction: int = 0


def sizes_of(plan: Plan, frames: Sequence[Frame], volume: Volume, fields: Sequence[str]) -> Sizes:
    """Take the sizes of a plan's frames; `fields` are the types of fields between passes."""
    frame = frames[0]
    # Frames that lost the same planes are corrected by the same.
    different = {(each.grid.known, each.channels.start): each for each in frames}
    return Sizes(
        (frame.grid.depth, volume.size("Y"), volume.size("X")),
        len(range(volume.size("C"))[frame.channels]),
        volume.size("Z"),
        max(np.dtype(each).itemsize for each in fields),
        operator_bytes([plan.measurement(each) for each in different.values()]),
    )


def parse_memory(text: str) -> int:
    """Read ``4GB``, ``500 MB`` or a number of bytes.

    Raises
    ------
    SettingsError
        If it is none of these.
    """
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?\s*", text, re.IGNORECASE)
    if match is None or not float(match[1]) > 0:
        raise SettingsError(f"got memory {text!r}, expected a size such as 4GB or 500MB")
    base = _UNITS[match[2].upper()]
    if match[3] and match[2]:
        base = 1024 ** "KMGT".index(match[2].upper()) * 1024
    return int(float(match[1]) * base)


def slab_slices(
    sizes: Sizes, budget: int, worker: Worker, recipe: Recipe, asked: int | None = None
) -> tuple[int, int]:
    """Say how many slices a slab of XZ and one of YZ slices has.

    Parameters
    ----------
    sizes
        Of the volume.
    budget, worker
        Bytes of a process, and where it computes.
    recipe
        What passes over slices take.
    asked
        A number to be used whatever the GPU, in whole batches; a budget too small is refused.

    Raises
    ------
    SettingsError
        If the budget is not even enough for the thinnest slab.
    """
    _, y, x = sizes.shape
    return (
        _slices(sizes, (x, y), budget, worker, recipe, asked),
        _slices(sizes, (y, x), budget, worker, recipe, asked),
    )


def _slices(
    sizes: Sizes,
    lateral: tuple[int, int],
    budget: int,
    worker: Worker,
    recipe: Recipe,
    asked: int | None,
) -> int:
    """Say how many slices a slab has, of slices (width, count)."""
    width, count = lateral
    pixels = sizes.shape[0] * width
    batch = recipe.batch_slices(pixels, worker.kind)
    most = -(-asked // batch) if asked else min(THICKEST, -(-count // FEWEST)) // batch
    wanted = max(1, most) * batch
    a_slice = sizes.channels * (pixels * sizes.field + sizes.planes * width * MEASURED)
    room = budget - working_memory(pixels, sizes.channels, worker, recipe) - sizes.correction
    fits = room // a_slice // batch * batch
    if fits < batch:
        least = budget - room + batch * a_slice
        raise SettingsError(
            f"got a memory budget of {budget / 1e9:.3g} GB, expected at least "
            f"{least / 1e9:.3g} GB for slices of {sizes.shape[0]:,} x {width:,} pixels"
            f"{_told_of_correction(sizes)}; give more, for example --memory "
            f"{math.ceil(least / 1e8) / 10}GB, or fewer --workers"
        )
    if worker.memory is not None:  # a GPU's
        fits = min(fits, max(batch, _on_gpu(sizes, width, worker.memory, worker, recipe)))
    return min(wanted, fits) if not asked else wanted


def _told_of_correction(sizes: Sizes) -> str:
    if not sizes.correction:
        return ""
    return (
        f", of which {sizes.correction / 1e9:.3g} GB are for the weights of {sizes.planes:,} "
        "planes that are blurred, noisy or unevenly spaced"
    )


def _on_gpu(sizes: Sizes, width: int, memory: int, worker: Worker, recipe: Recipe) -> int:
    """Say how many slices of a slab have room in a GPU's memory, in whole batches.

    Beside the slab there is a copy of it, and the measured planes in single precision, twice.
    """
    pixels = sizes.shape[0] * width
    batch = recipe.batch_slices(pixels, worker.kind)
    network = batch_bytes(pixels, sizes.channels, worker.kind, recipe)
    a_slice = sizes.channels * 2 * (pixels * sizes.field + sizes.planes * width * 4)
    return max(0, memory - network - sizes.correction) // a_slice // batch * batch


def batch_bytes(pixels: int, channels: int, kind: str, recipe: Recipe) -> int:
    """Bytes that a batch of slices, of so many pixels each, takes in a GPU's memory."""
    batch = recipe.batch_slices(pixels, kind)
    return recipe.network_bytes(pixels, 1, kind) + channels * INPUT * pixels * batch


def working_memory(pixels: int, channels: int, worker: Worker, recipe: Recipe) -> int:
    """Bytes that a process takes beside a slab, whose slices have so many pixels."""
    batch = max(pixels, pixels * recipe.batch_slices(pixels, worker.kind))
    beside = channels * (INPUT * min(batch, WHOLE) + SLICE * batch)
    if worker.kind != "cpu":
        return FIXED + beside
    network = recipe.network_bytes(pixels, worker.threads)
    return (
        FIXED
        + network * (2 if worker.arithmetic.endswith("float32") else 1)
        + (worker.threads * beside)
    )
