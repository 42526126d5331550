"""Exact percentiles of data that is read part by part, in constant memory.

A radix select: numbers are mapped to integers of the same order and counted by their leading 16
bits, then by the next 16 within the bins that hold the wanted ranks: one pass over 16-bit images,
two over float32, four over float64.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

#: Bits of a number that are counted in one pass.
_BITS = 16
#: Numbers that are counted at once: what counting them takes beside them stays in the cache.
_AT_ONCE = 2**18

ReadParts = Callable[[], Iterable[NDArray[Any]]]


def percentiles(parts: ReadParts, wanted: Sequence[float]) -> list[float]:
    """Compute percentiles as `numpy.percentile` does, by linear interpolation between ranks.

    Parameters
    ----------
    parts
        Called once per pass; yields all numbers in parts of any shape and of one type: integers or
        finite floats.
    wanted
        Percentiles, from 0 to 100.

    Returns
    -------
    Values, one per percentile of `wanted`.

    Raises
    ------
    ValueError
        If there are no numbers.
    """
    (counts,), dtype = _count(parts(), [()])
    total = int(counts.sum())
    if not total:
        raise ValueError("got no numbers, expected some to take percentiles of")
    positions = [(total - 1) * p / 100 for p in wanted]
    ranks = sorted({int(np.floor(p)) for p in positions} | {int(np.ceil(p)) for p in positions})
    values = dict(zip(ranks, _ranked(parts, counts, ranks, dtype), strict=True))
    results = []
    for position in positions:
        low, high = values[int(np.floor(position))], values[int(np.ceil(position))]
        results.append(float(low + (high - low) * (position - np.floor(position))))
    return results


def _ranked(
    parts: ReadParts, counts: NDArray[np.int64], ranks: Sequence[int], dtype: np.dtype[Any]
) -> list[float]:
    """Return the numbers at `ranks` of the sorted data, from the `counts` of leading bits."""
    # Per rank: the leading digits so far, and the rank among the numbers that share them.
    keys: list[tuple[tuple[int, ...], int]] = []
    for rank in ranks:
        keys.append(_descend(counts, (), rank))
    for _ in range(1, _passes(dtype)):
        prefixes = sorted({prefix for prefix, _ in keys})
        tables, _dtype = _count(parts(), prefixes)
        table = dict(zip(prefixes, tables, strict=True))
        keys = [_descend(table[prefix], prefix, rank) for prefix, rank in keys]
    return [_from_key(prefix, dtype) for prefix, _ in keys]


def _descend(
    counts: NDArray[np.int64], prefix: tuple[int, ...], rank: int
) -> tuple[tuple[int, ...], int]:
    sums = np.cumsum(counts)
    index = int(np.searchsorted(sums, rank, side="right"))
    return (*prefix, index), rank - int(sums[index] - counts[index])


def _count(
    parts: Iterable[NDArray[Any]], prefixes: Sequence[tuple[int, ...]]
) -> tuple[list[NDArray[np.int64]], np.dtype[Any]]:
    """Count the next digit of the numbers that begin with each prefix."""
    tables = [np.zeros(2**_BITS, np.int64) for _ in prefixes]
    dtype = np.dtype(np.uint8)
    for part in parts:
        dtype = part.dtype.newbyteorder("=")
        values = np.ascontiguousarray(part).reshape(-1)
        for start in range(0, len(values), _AT_ONCE):
            digits = _digits(values[start : start + _AT_ONCE])
            for prefix, table in zip(prefixes, tables, strict=True):
                inside: slice | NDArray[np.bool_] = slice(None)
                for level, digit in enumerate(prefix):
                    same = digits[level] == digit
                    inside = same if isinstance(inside, slice) else inside & same
                found = np.bincount(digits[len(prefix)][inside])
                table[: len(found)] += found
    return tables, dtype


def _passes(dtype: np.dtype[Any]) -> int:
    return max(1, dtype.itemsize // 2)


def _digits(values: NDArray[Any]) -> list[NDArray[np.uint16]]:
    """Split numbers into 16-bit digits, leading first, in the order of the numbers."""
    if values.dtype.kind == "f":
        bits = values.view(f"u{values.dtype.itemsize}")
        sign = bits >> (8 * values.dtype.itemsize - 1)
        # Negative floats sort backwards: flip all their bits; of others, only the sign.
        one = np.ones((), bits.dtype)
        flip = np.where(sign.astype(bool), ~(bits & 0), one << (8 * values.dtype.itemsize - 1))
        bits = bits ^ flip
    elif values.dtype.kind == "i":
        # As bit patterns, negative integers sort after the others: flip the sign.
        width = 8 * values.dtype.itemsize
        bits = values.view(f"u{values.dtype.itemsize}")
        bits = bits ^ np.asarray(1 << (width - 1), bits.dtype)
    else:
        bits = values
    count = _passes(values.dtype)
    return [
        (bits >> np.asarray(_BITS * (count - 1 - level)).astype(bits.dtype)).astype(np.uint16)
        for level in range(count)
    ]


def _from_key(digits: tuple[int, ...], dtype: np.dtype[Any]) -> float:
    """Undo `_digits` for one number."""
    key = 0
    for digit in digits:
        key = key << _BITS | digit
    width = 8 * dtype.itemsize
    if dtype.kind == "i":
        return float(key - (1 << (width - 1)))
    if dtype.kind != "f":
        return float(key)
    top = 1 << (width - 1)
    bits = key ^ top if key & top else key ^ ((1 << width) - 1)
    return float(np.asarray(bits, f"u{dtype.itemsize}").view(dtype))
