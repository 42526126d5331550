"""Noise as a pure function of (seed, channel, voxel position).

A voxel's noise is a hash of its coordinates, not the next number of a stream, so that it is the
same on every machine, however the volume is divided into blocks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from isoslice.runtime.device import at_once


def _signed(value: int) -> int:
    """Reinterpret an unsigned 64-bit integer as a signed one, which PyTorch needs."""
    return value - 2**64 if value >= 2**63 else value


_GOLDEN, _COLUMN = _signed(0x9E3779B97F4A7C15), _signed(0xD1B54A32D192ED03)
_FACTORS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))


def _shifted(x: Tensor, count: int) -> Tensor:
    """Shift right logically; PyTorch shifts signed integers arithmetically."""
    return (x >> count).bitwise_and_(2 ** (64 - count) - 1)


def _mix(x: Tensor) -> Tensor:
    """Scramble 64-bit integers (the finaliser of SplitMix64, Steele et al. 2014), in place."""
    for shift, factor in zip((30, 27), _FACTORS, strict=True):
        x.bitwise_xor_(_shifted(x, shift)).mul_(factor)  # wraps around
    return x.bitwise_xor_(_shifted(x, 31))


def noise_block(
    seed: int,
    shape: tuple[int, int, int, int],
    origin: tuple[int, int, int, int] = (0, 0, 0, 0),
    device: torch.device | None = None,
) -> Tensor:
    """Draw standard normal noise for one block of a volume.

    Parameters
    ----------
    seed
        Any non-negative integer below 2^62.
    shape, origin
        Size and position of the block in the volume, both (C, Z, Y, X).
    device
        Where to compute; the CPU by default. Devices agree to float32 rounding.

    Returns
    -------
    Shape `shape`, float32. A part of a block equals the same part drawn on its own.
    """
    channels, planes, rows, columns = (
        torch.arange(start, start + length, device=device)
        for start, length in zip(origin, shape, strict=True)
    )
    noise = torch.empty(shape, device=device)
    count = at_once(shape[2] * shape[3], noise.device)
    for c in range(shape[0]):
        for z in range(0, shape[1], count):  # few, for memory
            some = channels[c : c + 1], planes[z : z + count], rows, columns
            noise[c, z : z + count] = noise_at(seed, *some)[0]
    return noise


def noise_at(seed: int, channels: Tensor, planes: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Draw what `noise_block` does at any positions: (channels, planes, rows, columns).

    `channels`, `planes`, `rows` and `columns` are numbers in the volume, each of shape (n,), on one
    device.
    """
    key = _mix(torch.tensor([seed], device=columns.device) + _GOLDEN)
    for numbers in (channels, planes, rows):
        key = _mix(key[..., None] * _GOLDEN + (numbers + 1))
    bits = _mix(key[0][..., None] + _mix((columns + 1) * _COLUMN))
    # Box-Muller on the two halves; the half step keeps the logarithm finite.
    radius = (_shifted(bits, 32).float() + 0.5) * 2**-32
    radius.clamp_(max=1 - 2**-24).log_().mul_(-2).sqrt_()
    angle = bits.bitwise_and_(2**32 - 1).float() * (2**-32 * 2 * math.pi)
    return radius.mul_(angle.cos_())
