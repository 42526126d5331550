"""Intensities normalised, and brought back, on the device: the stack's own types cross the bus.

`Normalization.apply` and `Normalization.invert` in PyTorch, with the same bits: double precision,
where NumPy has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from isoslice.data.normalization import Normalization
from isoslice.runtime.device import VOXELS_AT_ONCE

#: Types of voxels that PyTorch makes of double precision as NumPy does: by way of which type, and
#: in which type of as many bits, since it has few operations for unsigned ones.
#: Half precision is not among them: PyTorch rounds to it twice.
MADE = {
    "int8": (torch.int8, torch.int8),
    "uint8": (torch.uint8, torch.uint8),
    "int16": (torch.int16, torch.int16),
    "uint16": (torch.int32, torch.int16),
    "int32": (torch.int32, torch.int32),
    "uint32": (torch.int64, torch.int32),
    "float32": (torch.float32, torch.float32),
    "float64": (torch.float64, torch.float64),
}


def can_make(dtype: np.dtype[Any]) -> bool:
    """Whether `inverted` makes voxels of a type; the rest is for `Normalization.invert`."""
    return dtype.isnative and dtype.name in MADE


def inverted(values: Tensor, normalization: Normalization, dtype: np.dtype[Any]) -> Tensor:
    """Bring normalised values (C, ...) to intensities, as `Normalization.invert` does, bit for bit.

    Parameters
    ----------
    values
        In single precision, on a device that has double precision.
    normalization
        Of these channels.
    dtype
        Type of the voxels; see `can_make`.

    Returns
    -------
    On the same device, in a type of as many bits, which NumPy's ``view(dtype)`` reads rightly.
    """
    through, stored = MADE[dtype.name]
    integer = dtype.kind in "iu"
    kind = np.iinfo(dtype) if integer else np.finfo(dtype)
    made = torch.empty(values.shape, dtype=stored, device=values.device)
    channels = zip(
        values.flatten(1),
        made.flatten(1),
        normalization.low,
        normalization.high,
        normalization.limits_of(len(values)),
        strict=True,
    )
    for own, into, low, high, limits in channels:
        least, most = float(kind.min), float(kind.max)
        if limits.floor is not None:
            least = max(limits.floor, least)
        if limits.ceiling is not None:
            most = min(limits.ceiling, most)
        for some, target in zip(_cut(own), _cut(into), strict=True):
            exact = some.to(torch.float64).mul_(high - low).add_(low)
            if integer:
                exact.round_()
            target.copy_(exact.clamp_(least, most).to(through))
    return made


def deviations(std: Tensor, normalization: Normalization) -> Tensor:
    """Map normalised standard deviations (C, ...) as `Normalization.scale_deviations` does."""
    scale = np.asarray(normalization.high) - np.asarray(normalization.low)
    columns = torch.from_numpy(scale.astype(np.float32)).reshape(-1, *[1] * (std.ndim - 1))
    return std * columns.to(std.device)


def _cut(flat: Tensor) -> Iterator[Tensor]:
    """Cut voxels (n,) into parts that are worked on at once."""
    return iter(torch.split(flat, VOXELS_AT_ONCE[flat.device.type]))
