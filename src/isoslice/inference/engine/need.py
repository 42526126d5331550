"""What a restoration reads and writes: known from sizes alone, before hours of reading."""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from isoslice.errors import OutputError
from isoslice.inference.options import ResolvedOptions, outputs_of
from isoslice.inference.recipes.protocol import Recipe
from isoslice.inference.stack import Stack
from isoslice.inference.stages import Stage, peak_bytes
from isoslice.io.lazy_array import LazyArray
from isoslice.runtime.text import spoken_bytes

#: A stack of fewer bytes is read within seconds, and what it needs is told after that.
WORTH_TELLING = 10**10


class Need(NamedTuple):
    """Bytes of a restoration on the disk."""

    #: Of the stack, read once (more often where voxels have more than 16 bits) to begin with.
    reads: int
    #: Of the results, before compression.
    made: int
    #: Of what lies beside them, where it is most; fields of 32 bits take up to twice as much.
    beside: int

    @property
    def told(self) -> str:
        """What it needs, in words."""
        return (
            f"the stack is read first, for its intensities ({spoken_bytes(self.reads)}; begun anew "
            f"if that is interrupted); results take up to {spoken_bytes(self.made)}, less what "
            f"compression saves, and {spoken_bytes(self.beside)} or more lie beside them while "
            "they are made"
        )


def need_of(stack: Stack, options: ResolvedOptions, recipe: Recipe) -> Need:
    """Say what restoring a stack will need, without reading a voxel."""
    volume = stack.volume
    shape = (stack.spacing.depth, volume.size("Y"), volume.size("X"))
    channels = volume.size("C")
    together = 1 if stack.separate else channels
    voxels = math.prod(shape) * channels * volume.size("T")
    types = outputs_of(options, volume.data.dtype).values()
    return Need(
        reads=volume.data.nbytes if isinstance(volume.data, LazyArray) else 0,
        made=voxels * sum(dtype.itemsize for dtype in types),
        beside=field_bytes(recipe.stages(options), shape, together, "float16"),
    )


def field_bytes(stages: Sequence[Stage], shape: Sequence[int], channels: int, of_pass: str) -> int:
    """Bytes of a frame's fields on the disk, where they are most."""
    each = peak_bytes(stages, 4 if of_pass == "float32" else 2, in_place=False)
    return each * channels * math.prod(shape)


def free_bytes(folder: Path) -> int:
    """Bytes that are free on a folder's disk."""
    return shutil.disk_usage(folder).free


def check_beside(needed: int, output: Path) -> int:
    """Refuse a disk that what lies beside the output will not fit on; return what is free there.

    Raises
    ------
    OutputError
        If there is less.
    """
    free = free_bytes(output.absolute().parent)
    if needed > free:
        raise OutputError(
            f"{output}: got a disk with {spoken_bytes(free)} free, expected {spoken_bytes(needed)} "
            "for what lies there while the volume is made; choose another disk"
        )
    return free
