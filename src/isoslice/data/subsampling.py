"""Choosing a few of many planes, images or crops."""

from __future__ import annotations

import numpy as np


def evenly_spaced(length: int, count: int) -> list[int]:
    """List `count` evenly spaced indices below `length`, including the first and the last.

    Rising, without repetition; all indices if `length` is less than `count`.

    Examples
    --------
    >>> evenly_spaced(9, 3)
    [0, 4, 8]
    >>> evenly_spaced(2, 5)
    [0, 1]
    """
    indices = np.linspace(0, length - 1, min(count, length)).round().astype(int)
    return [int(index) for index in np.unique(indices)]
