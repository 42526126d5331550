"""Intensities normalised, and brought back, on the device: the stack's own types cross the bus.

`Normalization.apply` and `Normalization.invert` in PyTorch, with the same bits: double precision,
where NumPy has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
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


def normalised(stored: NDArray[Any], normalization: Normalization, device: torch.device) -> Tensor:
    """Normalise voxels (C, ...), as they are stored, as `Normalization.apply` does, bit for bit.

    They go to the device as they are. Returns single precision on `device`, which has double
    precision.
    """
    there = _as_stored(stored).to(device)
    values = torch.empty(there.shape, device=device)
    fills = normalization.fill or (None,) * len(there)
    channels = zip(
        there.flatten(1),
        values.flatten(1),
        normalization.low,
        normalization.high,
        fills,
        normalization.limits_of(len(there)),
        strict=True,
    )
    for own, into, low, high, fill, limits in channels:
        for some, target in zip(_cut(own), _cut(into), strict=True):
            target.copy_(_exact(some, stored.dtype).sub_(low).div_(high - low))
            if fill is not None:
                target.masked_fill_(~target.isfinite(), (fill - low) / (high - low))
            if limits.padding:
                target.masked_fill_(_exact(some, stored.dtype) == limits.outside, 0)
    return values


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


def _as_stored(stored: NDArray[Any]) -> Tensor:
    """Return voxels as a tensor, those of wide unsigned types as signed ones of the same bits."""
    native = np.ascontiguousarray(stored, stored.dtype.newbyteorder("="))
    if native.dtype.kind == "u" and native.itemsize > 1:
        native = native.view(f"i{native.itemsize}")
    return torch.from_numpy(native if native.flags.writeable else native.copy())


def _exact(bits: Tensor, dtype: np.dtype[Any]) -> Tensor:
    """Copy voxels of a type to double precision."""
    if dtype.kind == "u" and dtype.itemsize > 1:
        return (bits.to(torch.int64) & (1 << 8 * dtype.itemsize) - 1).to(torch.float64)
    return bits.to(torch.float64, copy=True)


def _cut(flat: Tensor) -> Iterator[Tensor]:
    """Cut voxels (n,) into parts that are worked on at once."""
    return iter(torch.split(flat, VOXELS_AT_ONCE[flat.device.type]))
