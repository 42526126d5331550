"""Choosing a few of many planes, images or crops."""

from __future__ import annotations

import numpy as np


def evenly_spaced(length: int, count: int) -> list[int]:
    """List `count` indices below `length`, evenly spaced, the first and the last among them.

    Fewer if `length` is less; each once, in order.

    Examples
    --------
    >>> evenly_spaced(9, 3)
    [0, 4, 8]
    >>> evenly_spaced(2, 5)
    [0, 1]
    """
    places = np.linspace(0, length - 1, min(count, length)).round().astype(int)
    return [int(place) for place in np.unique(places)]
